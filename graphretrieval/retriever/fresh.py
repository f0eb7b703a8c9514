"""Raw vectors of nodes that a model has not seen: encoded and aligned by what it has learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphretrieval.config import Config
from graphretrieval.errors import InputRefused, SnapshotTooOld
from graphretrieval.gnn.similar import Similar
from graphretrieval.protocols import GraphStore
from graphretrieval.retriever import features
from graphretrieval.retriever.bundle import Embedded
from graphretrieval.retriever.model import PROBABILITIES, Model
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import SEARCHED, Array, Graph, Ints, Modality, Node


def raw_of(model: Model, nodes: Sequence[Node], config: Config) -> dict[str, Array]:
    """Unscaled block vectors ``(len(nodes), d_block)``; zeros for nodes without content."""
    out = {b: np.zeros((len(nodes), a.dim), np.float32) for b, a in model.aligners.items()}
    by: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        by.setdefault(node.modality, []).append(i)
    with MediaReader(Limits.of(config)) as reader:
        for modality, places in by.items():
            mine = [nodes[i] for i in places]
            if modality not in SEARCHED:
                _place_by_name(model, mine, places, out)
                continue
            if modality in model.encoders:
                x = features.encode(model.encoders[modality], mine, reader, config)
            else:
                places = [i for i in places if "vector" in nodes[i].properties]
                x = _brought(modality, [nodes[i] for i in places])
            if len(x):
                for block, rows in model.align(modality, x).items():
                    out[block][places] = rows
    return out


def _brought(modality: str, nodes: Sequence[Node]) -> Array:
    """Vectors that nodes brought; none at all if they cannot be read any more."""
    try:
        found = features.own_vectors({modality: nodes})
    except InputRefused:
        found = {}  # their file was moved away: as for media, the rows stay zero
    return found.get(modality, np.empty((0, 0), np.float32))


def _place_by_name(
    model: Model, nodes: Sequence[Node], places: Sequence[int], out: dict[str, Array]
) -> None:
    """A node that is not searched lies where its name does, a category as its members do."""
    if Modality.TEXT in model.encoders:
        x = features.of_names(model.encoders[Modality.TEXT], nodes)
        for block, rows in model.align(Modality.TEXT, x).items():
            if block != PROBABILITIES:
                out[block][places] = rows
    members = model.of_categories()
    for place, node in zip(places, nodes, strict=True):
        if node.id in members:
            out[PROBABILITIES][place] = members[node.id]


def catch_up(
    model: Model,
    store: GraphStore,
    graph: Graph,
    embedded: Embedded,
    since: int,
    config: Config,
) -> dict[str, Array]:
    """Raw vectors of all nodes of ``graph``: those embedded, and fresh ones where newer.

    Args:
        model: encodes what is new or changed.
        store: holds the nodes.
        graph: at the newest revision.
        embedded: vectors of the nodes as they were at revision ``since``.
        since: revision of ``embedded``.
        config: limits and caches.
    """
    source = _as_they_were(store, graph, embedded, since)
    stale, known = np.flatnonzero(source < 0), np.flatnonzero(source >= 0)
    raw = {}
    for block, x in embedded.raw.items():
        raw[block] = np.zeros((len(source), x.shape[1]), np.float32)
        raw[block][known] = x[source[known]]
    if len(stale):
        found = store.get([graph.ids[int(i)] for i in stale])
        there = [i for i, node in zip(stale, found, strict=True) if node is not None]
        made = raw_of(model, [node for node in found if node is not None], config)
        for block, x in raw.items():
            x[there] = made[block]
    return raw


def still_similar(store: GraphStore, graph: Graph, embedded: Embedded, since: int) -> Similar:
    """Derived edges between rows of ``graph`` that are as they were; arguments as above."""
    if not len(embedded.similar):
        return embedded.similar
    source = _as_they_were(store, graph, embedded, since)
    known = np.flatnonzero(source >= 0)
    at = np.full(len(embedded.ids), -1, np.int64)
    at[source[known]] = known
    return embedded.similar.moved(at)


def _as_they_were(store: GraphStore, graph: Graph, embedded: Embedded, since: int) -> Ints:
    """Where each node of ``graph`` is among those embedded; −1 if it is new or was changed."""
    if list(embedded.ids) == list(graph.ids):
        source = np.arange(len(graph.ids))
    else:
        old = {name: i for i, name in enumerate(embedded.ids)}
        source = np.array([old.get(name, -1) for name in graph.ids], np.int64)
    since = since if since <= graph.revision else 0  # of another store, or a lost past
    source[[graph.row[i] for i in _changed(store, since) if i in graph.row]] = -1
    return source


def _changed(store: GraphStore, since: int) -> set[str]:
    try:
        return {node.id for node in store.changes_since(since).nodes}
    except SnapshotTooOld:  # what was deleted is not told any more, but nodes know their revision
        return {node.id for node in store.nodes() if node.revision > since}
