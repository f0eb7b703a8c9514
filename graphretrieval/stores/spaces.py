"""Vectors in Neo4j, by space: written beside one another, never mixed, one of them in use.

Neo4j compares by cosine. So that its ranking is that of the inner product, an item's vector x gets
one more coordinate √(M² − ‖x‖²), a query's 0 (Bachrach et al. 2014): cos = ⟨q, x⟩ / (‖q‖·M).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from graphretrieval.errors import SpaceMismatch, StoreError
from graphretrieval.stores import cypher
from graphretrieval.stores.bolt import Bolt, Rows
from graphretrieval.types import Array, Space

# the graph that HNSW walks is searched this much wider than k, and cut to k by exact scores:
# measured at 200,000 vectors in docs/neo4j.md
WIDER, LEAST_WIDE = 8, 120
# vectors of one round trip
BATCH = 2_000
# the most that an index of Neo4j 5 and later takes
MAX_DIM = 4096
# an index being built is looked at so often
LOOK_EVERY = 0.25
_EPS = 1e-6


class Spaces:
    """The spaces of one database."""

    def __init__(self, bolt: Bolt) -> None:
        self.bolt = bolt
        self._modern: bool | None = None
        self._known: dict[str, Space] = {}

    def all(self) -> dict[str, Space]:
        """Every space there is, by name."""
        rows = self.bolt.read(lambda tx: [r["space"] for r in tx.run(cypher.SPACES)])
        self._known = {row["name"]: _space(row) for row in rows}
        return self._known

    def current(self) -> str | None:
        """The space in use, if any."""
        row = self.bolt.read(lambda tx: tx.run(cypher.META).single(strict=True).data())
        return None if row["space"] is None else str(row["space"])

    def build(self, space: Space) -> None:
        """Make a space with its indexes, beside those there are; see :meth:`register`."""
        self.register(space)
        self.index(space)

    def index(self, space: Space) -> None:
        """Index a space's vectors; done after they are written, it takes a third of the time."""
        for modality in space.modalities:
            self.bolt.run(cypher.create_vector_index(space.name, modality, space.dim + 1))

    def register(self, space: Space) -> None:
        """Make a space without indexes.

        Raises:
            SpaceMismatch: one of that name is there already, made by something else.
        """
        if not 0 < space.dim < MAX_DIM:
            raise SpaceMismatch(
                f"the space {space.name!r} has {space.dim} dimensions, an index takes fewer than "
                f"{MAX_DIM}",
                remedy="learn with fewer or smaller aligners",
            )
        values = {**asdict(space), "modalities": json.dumps(space.modalities)}
        there = self.bolt.write(
            lambda tx: tx.run(cypher.PUT_SPACE, name=space.name, values=values).single(strict=True)
        )
        self._must_equal(_space(there["space"]), space)

    def put(self, space: Space, ids: Sequence[str], vectors: Array) -> None:
        """Write vectors ``(n, dim)`` back to their nodes.

        Raises:
            SpaceMismatch: the space stored under that name is another, or the vectors are.
        """
        stored = self._stored(space.name)
        self._must_equal(stored, space)
        if vectors.shape != (len(ids), space.dim):
            raise SpaceMismatch(
                f"vectors of shape {vectors.shape} do not fit the space {space.name!r} of "
                f"{space.dim} dimensions and {len(ids)} ids",
                remedy="write the vectors of the model that the space was made of",
            )
        longest = float(np.linalg.norm(vectors, axis=1).max(initial=0.0))
        if longest > space.norm * (1 + 1e-3) + _EPS:
            raise SpaceMismatch(
                f"a vector of length {longest:.4f} does not fit the space {space.name!r}, whose "
                f"vectors are at most {space.norm:.4f} long",
                remedy="build a new space of a greater norm",
            )
        query = cypher.put_vectors(space.name)
        for start in range(0, len(ids), BATCH):
            some = lengthened(vectors[start : start + BATCH], space.norm)
            rows = Rows(
                {"id": i, "vector": v}
                for i, v in zip(ids[start : start + BATCH], some.tolist(), strict=True)
            )
            self.bolt.write(lambda tx: tx.run(query, rows=rows).consume())  # noqa: B023

    def put_similar(self, name: str, edges: Sequence[tuple[str, str, float]]) -> None:
        """Copy edges derived in a space, for people to look at; they are marked with its name.

        Args:
            name: of the space.
            edges: ids of both ends, and the weight.
        """
        for start in range(0, len(edges), BATCH):
            rows = Rows(
                {"src": s, "dst": d, "weight": w} for s, d, w in edges[start : start + BATCH]
            )
            self.bolt.write(
                lambda tx: tx.run(cypher.PUT_DERIVED, rows=rows, space=name).consume()  # noqa: B023
            )

    def drop_similar(self, but: str) -> None:
        """Remove the copies of edges derived in other spaces than this."""
        asked = {"space": but, "limit": 10 * BATCH}
        while self.bolt.write(
            lambda tx: tx.run(cypher.REMOVE_DERIVED, asked).single(strict=True)["n"]
        ):
            pass

    def use(self, name: str) -> None:
        """Switch to a space, once its indexes have taken in all vectors.

        Raises:
            StoreError: an index could not be built.
        """
        space = self._stored(name)
        wanted = {cypher.vector_index(name, m) for m in space.modalities}
        # asked again and again: 200,000 vectors take longer than any one call may
        while True:
            states = {r["name"]: r["state"] for r in self.bolt.run(cypher.INDEXES)}
            failed = sorted(i for i in wanted if states.get(i) in (None, "FAILED"))
            if failed:
                raise StoreError(
                    f"the vector index {failed[0]} could not be built",
                    remedy="see the server's log; publish again makes it anew",
                )
            if all(states[i] == "ONLINE" for i in wanted):
                break
            time.sleep(LOOK_EVERY)
        self.bolt.write(lambda tx: tx.run(cypher.USE_SPACE, name=name).consume())

    def drop(self, name: str) -> None:
        """Remove a space that is not in use, with its vectors and indexes.

        Raises:
            SpaceMismatch: it is in use, or not there.
        """
        space = self._stored(name)
        if self.current() == name:
            raise SpaceMismatch(f"the space {name!r} is in use", remedy="switch to another first")
        for modality in space.modalities:
            self.bolt.run(cypher.drop_vector_index(name, modality))
        query = cypher.remove_vectors(name)
        while self.bolt.write(lambda tx: tx.run(query, limit=BATCH).single(strict=True)["n"]):
            pass
        self.bolt.write(lambda tx: tx.run(cypher.DROP_SPACE, name=name).consume())

    def search(
        self, name: str, queries: Array, k: int, modality: str | None
    ) -> list[list[tuple[str, float]]]:
        """For each query the nearest (id, inner product), best first; ties by id."""
        space = self._known.get(name) or self._stored(name)
        queries = np.atleast_2d(np.asarray(queries, np.float32))
        if queries.shape[1] != space.dim:
            raise SpaceMismatch(
                f"queries of {queries.shape[1]} dimensions do not fit the space {name!r} of "
                f"{space.dim}",
                remedy="ask with vectors of the same model",
            )
        modalities = space.modalities if modality is None else (modality,)
        wide = max(LEAST_WIDE, WIDER * k)
        modern = self.modern()
        texts = [
            cypher.nearest(name, m, modern=modern) for m in modalities if m in space.modalities
        ]
        out: list[list[tuple[str, float]]] = []
        for q in queries:
            length = float(np.linalg.norm(q))
            if length == 0 or k < 1:
                out.append([])
                continue
            asked = {"vector": [*q.tolist(), 0.0], "k": wide}
            rows = self.bolt.read(
                lambda tx: [list(r) for text in texts for r in tx.run(text, asked)]  # noqa: B023
            )
            found = [(i, (2 * s - 1) * length * space.norm) for i, s in rows]
            found.sort(key=lambda hit: (-hit[1], hit[0]))
            out.append(found[:k])
        return out

    def modern(self) -> bool:
        """Whether the server has the SEARCH clause (Cypher 25 of 2026 and later)."""
        if self._modern is None:
            self._modern = int(self.version().split(".")[0]) >= 2026
        return self._modern

    def version(self) -> str:
        """The server's version."""
        row = self.bolt.read(lambda tx: tx.run(cypher.VERSION).single(strict=True))
        return str(row["versions"][0])

    def _stored(self, name: str) -> Space:
        found = self.all().get(name)
        if found is None:
            raise SpaceMismatch(
                f"no space is called {name!r}",
                remedy=f"there are: {', '.join(self._known) or 'none yet; run fit'}",
            )
        return found

    def _must_equal(self, stored: Space, given: Space) -> None:
        if stored != given:
            raise SpaceMismatch(
                f"the space {given.name!r} was made by {stored.signature} with {stored.dim} "
                f"dimensions, these vectors by {given.signature} with {given.dim}",
                remedy="vectors of two spaces cannot be compared: build a new space and switch",
            )


def lengthened(vectors: Array, norm: float) -> Array:
    """Items ``(n, d)`` → ``(n, d + 1)``, all of length ``norm``."""
    rest = np.maximum(norm**2 - np.sum(vectors.astype(np.float64) ** 2, axis=1), 0.0)
    return np.concatenate([vectors, np.sqrt(rest)[:, None].astype(np.float32)], axis=1)


def name_of(version: str, signature: str) -> str:
    """A space's name from its model's version and what made it: two models never share one."""
    import hashlib

    digest = hashlib.sha256(signature.encode()).hexdigest()[:8]
    return f"{re.sub('[^a-z0-9]', '', version.lower())[:16]}_{digest}"


def _space(row: dict[str, Any]) -> Space:
    return Space(
        row["name"],
        int(row["dim"]),
        row["signature"],
        float(row["norm"]),
        tuple(json.loads(row["modalities"])),
    )
