"""How near an item is to whatever is asked: what hubs are held back by.

In many dimensions a few items are among the nearest of everything, and where an item's vector has
absorbed texts of the query's own language it lies nearer to all queries in it. As in CSLS (Conneau
et al. 2018, "Word translation without parallel data") the mean similarity to the nearest of many
questions is taken off an item's similarity to one; here by a weight that gates learn. What is
linked to an item is no stranger's question and does not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from graphretrieval.arrays import spans
from graphretrieval.rankers.adjacency import Adjacency
from graphretrieval.retriever.model import Model, Vectors
from graphretrieval.types import Array, Bools, Ints

#: Items of each kind of query that stand for the questions people ask.
ASKERS = 1000
# the nearest of them that count
NEAREST = 10
# with fewer askers the nearest are not near
FEWEST = 5 * NEAREST
# items compared at once
PAGE = 4096


class Hubs:
    """Hubness of the collection's refined vectors, worked out where it is asked for and kept.

    Args:
        model: knows who asks.
        vectors: of the collection.
        adjacency: the collection's edges.
        visible: ``(n,)`` nodes that may ask.
    """

    def __init__(
        self, model: Model, vectors: Vectors, adjacency: Adjacency, visible: Bools
    ) -> None:
        self._model, self._vectors, self._adjacency = model, vectors, adjacency
        self._visible = visible
        self._askers: dict[str, _Askers] = {}
        self._known: dict[tuple[str, str], Array] = {}

    def follow(self, vectors: Vectors, visible: Bools, changed: Ints, moved: Ints) -> None:
        """Go on with vectors of which some rows are others.

        Args:
            vectors: as they are now.
            visible: ``(n,)`` with the rows that are new; who was deleted and came back has one.
            changed: rows whose raw vectors are others, or that are gone.
            moved: rows whose refined vectors or edges are others.
        """
        self._vectors, self._visible = vectors, visible
        for kind, before in list(self._askers.items()):
            now = self._askers[kind] = self._of_kind(kind)
            if not np.array_equal(before.rows, now.rows) or np.isin(changed, now.rows).any():
                for block in self._model.hubs:
                    self._known.pop((kind, block), None)
        for key, known in self._known.items():
            more = np.full(len(vectors.graph.ids) - len(known), np.nan, np.float32)
            self._known[key] = np.concatenate([known, more])
            self._known[key][moved] = np.nan

    def of(self, kind: str, block: str, rows: Ints) -> Array:
        """Mean cosine ``(t,)`` of items' refined vectors to the nearest askers of a kind.

        Zero where the collection has too few of that kind.
        """
        key = (kind, block)
        if key not in self._known:
            self._known[key] = np.full(len(self._vectors.graph.ids), np.nan, np.float32)
        known = self._known[key]
        fresh = rows[np.isnan(known[rows])]
        if len(fresh):
            known[fresh] = self.at(kind, block, fresh, self._vectors.refined[block][fresh])
        return known[rows]

    def at(self, kind: str, block: str, rows: Ints, refined: Array) -> Array:
        """The same ``(t,)`` for items whose refined vectors ``(t, d)`` are these."""
        if kind not in self._askers:
            self._askers[kind] = self._of_kind(kind)
        askers = self._askers[kind]
        if len(askers.rows) < FEWEST:
            return np.zeros(len(rows), np.float32)
        return askers.nearness(self._vectors.raw[block][askers.rows], rows, refined)

    def _of_kind(self, kind: str) -> _Askers:
        row = self._vectors.graph.row
        there = [row[name] for name in self._model.askers.get(kind, ()) if name in row]
        rows = np.array(there, np.int64)
        return _Askers.of(rows[self._visible[rows]], self._adjacency)


@dataclass(frozen=True)
class _Askers:
    """Items that ask, by row; ``linked[i]`` is a neighbour of the asker ``owner[i]``, or itself."""

    rows: Ints = field(repr=False)
    owner: Ints = field(repr=False)
    linked: Ints = field(repr=False)  # ascending

    @classmethod
    def of(cls, rows: Ints, adjacency: Adjacency) -> _Askers:
        """Those rows, with whom they are linked."""
        owner, at = adjacency.entries(rows)
        owner = np.concatenate([np.arange(len(rows)), owner])
        linked = np.concatenate([rows, adjacency.other[at].astype(np.int64)])
        order = np.argsort(linked, kind="stable")
        return cls(rows, owner[order], linked[order])

    def nearness(self, asked: Array, rows: Ints, refined: Array) -> Array:
        """Mean of the greatest inner products of items with strangers' questions ``(t,)``."""
        out = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), PAGE):
            some = rows[start : start + PAGE]
            scores = refined[start : start + PAGE] @ asked.T  # (page, askers)
            first = np.searchsorted(self.linked, some, "left")
            count = np.searchsorted(self.linked, some, "right") - first
            item, at = spans(first, count)
            scores[item, self.owner[at]] = -1
            best = np.partition(scores, -NEAREST, axis=1)[:, -NEAREST:]
            out[start : start + PAGE] = best.mean(axis=1)
        return out
