"""Learned vectors written back to Neo4j, so that it can search them itself, and who is alike.

An item's vector there is all its blocks, raw and refined, side by side: the inner product with a
query's blocks, each times the weight its gate gives it, is the content and graph part of the score.
The model's ``SIMILAR_TO`` edges are copied there for people to look at; nothing reads them back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from graphretrieval.errors import StoreError
from graphretrieval.protocols import Progress, silent
from graphretrieval.retriever.model import Model
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.stores.replica import Replica
from graphretrieval.stores.spaces import name_of
from graphretrieval.types import SEARCHED, Space

if TYPE_CHECKING:
    from graphretrieval.retriever.retriever import Retriever

# rows of one call, and of one step of the progress bar
BATCH = 10_000
# room for items that come later and are longer than all there are
HEADROOM = 1.01


def signature(model: Model) -> str:
    """What made a model's vectors: stages, their settings, and a digest of all they learned."""
    digest = hashlib.sha256()
    stages: dict[str, Mapping[str, Any]] = {"encoder": model.encoders, "aligner": model.aligners}
    stages["refiner"] = model.refiners
    for kind, members in stages.items():
        for name, stage in sorted(members.items()):
            state = stage.state()
            digest.update(
                f"{kind}/{name}/{json.dumps(dict(state.settings), sort_keys=True)}".encode()
            )
            for key, array in sorted(state.arrays.items()):
                digest.update(key.encode())
                digest.update(np.ascontiguousarray(array).tobytes())
    parts = [*sorted(model.encoders), *model.aligners]
    return f"{'+'.join(parts)} {digest.hexdigest()[:16]}"


def space_of(model: Model) -> str:
    """The name of a model's space in the database."""
    return name_of(str(model.meta["version"]), signature(model))


def publish(kb: Retriever, *, progress: Progress = silent) -> Space:
    """Build the space of the model in service beside the one in use, fill it, and switch to it.

    Derived edges of the model take the place of the former's.

    Raises:
        StoreError: the store is not on a server.
        SpaceMismatch: the database holds something else under the space's name.
    """
    store = neo4j_of(kb)
    model, graph = kb.model, kb.store.export()
    rows = np.sort(np.concatenate([graph.rows_of(m) for m in SEARCHED]))
    ids = [graph.ids[int(i)] for i in rows]
    vectors = kb.vectors(ids)
    longest = float(np.linalg.norm(vectors, axis=1).max(initial=0.0))
    modalities = tuple(m for m in SEARCHED if len(graph.rows_of(m)))
    made_by = signature(model)
    name = name_of(str(model.meta["version"]), made_by)
    there = store.spaces.all().get(name)
    norm = there.norm if there is not None else longest * HEADROOM
    space = Space(name, vectors.shape[1], made_by, norm, modalities)
    store.spaces.register(space)
    for start in range(0, len(ids), BATCH):
        progress(start, len(ids), "writing vectors back")
        store.spaces.put(space, ids[start : start + BATCH], vectors[start : start + BATCH])
    progress(len(ids), len(ids), "writing vectors back")
    store.spaces.index(space)  # after the vectors: a third of the time
    progress(0, 1, "indexing vectors")
    store.spaces.use(name)
    progress(1, 1, "indexing vectors")
    _copy_similar(kb, store, name, progress)
    return space


def _copy_similar(kb: Retriever, store: Neo4jStore, space: str, progress: Progress) -> None:
    ids, edges = kb.bundles.similar(kb.serving.newest().version)
    ends = zip(edges.src.tolist(), edges.dst.tolist(), edges.weight.tolist(), strict=True)
    rows = [(ids[s], ids[d], weight) for s, d, weight in ends]
    for start in range(0, len(rows), BATCH):
        progress(start, len(rows), "copying likeness")
        store.spaces.put_similar(space, rows[start : start + BATCH])
    progress(len(rows), len(rows), "copying likeness")
    store.spaces.drop_similar(but=space)


def republish(kb: Retriever) -> bool:
    """Write vectors back anew and drop all other spaces, so that none holds what nodes that are
    gone gave their neighbours.

    Returns:
        Whether none does any more: without a model here, there is nothing to write instead.
    """
    spaces = neo4j_of(kb).spaces
    if not spaces.all():
        return True
    if kb.bundles.current() is None:
        return False
    used = publish(kb).name
    for name in spaces.all().keys() - {used}:
        spaces.drop(name)
    return True


def neo4j_of(kb: Retriever) -> Neo4jStore:
    """The store on a server behind a knowledge base."""
    store: Any = kb.store
    found = store.remote if isinstance(store, Replica) else store
    if not isinstance(found, Neo4jStore):
        raise StoreError("the store holds no vectors", remedy="open one by neo4j://user@host")
    return found
