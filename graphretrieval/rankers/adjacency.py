"""Every node's edges in both directions, strongest first, in rows that can be rewritten one by one.

What a walk along an edge is worth: how much its relation says, its own weight, and less where it
leaves a hub. A row that outgrows its room moves to the end; when half of the room is waste, all
rows are packed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval.arrays import spans
from graphretrieval.types import (
    DESCRIBES,
    IN_CATEGORY,
    NEXT,
    PART_OF,
    RELATED_TO,
    SIMILAR_TO,
    SUBCATEGORY_OF,
    Array,
    Bools,
    Graph,
    Ints,
)

#: How much an edge of a relation is believed to carry over; others as ``OTHER``.
RELATIONS: Mapping[str, float] = {
    DESCRIBES: 0.9,
    RELATED_TO: 0.9,
    PART_OF: 0.8,
    NEXT: 0.6,
    SIMILAR_TO: 0.5,
    IN_CATEGORY: 0.5,
    SUBCATEGORY_OF: 0.4,
}
OTHER = 0.7
# room for growth: of all rows together, and of one that moved
SLACK, ROOM = 1.5, 1.25

#: An edge as rows and relation: (src, relation, dst).
Key = tuple[int, int, int]


class Adjacency:
    """Row i's entries are ``start[i] : start[i] + count[i]`` of ``other, kind, weight, factor``.

    ``kind`` is twice the relation's number, plus one where the edge leaves the row's node.

    Args:
        graph: the edges.
        worth: how much each relation carries over, in (0, 1]; :data:`RELATIONS` by default.
    """

    def __init__(self, graph: Graph, worth: Mapping[str, float] | None = None) -> None:
        self.worth = RELATIONS if worth is None else worth
        self.relations = list(graph.relations)
        n, m = len(graph.ids), len(graph.src)
        rows = np.concatenate([graph.src, graph.dst]).astype(np.int64)
        other = np.concatenate([graph.dst, graph.src]).astype(np.int32)
        kind = np.tile(graph.relation.astype(np.int32) * 2, 2)
        kind[:m] += 1
        weight = np.tile(graph.weight.astype(np.float32), 2)
        # edges of the same kind that leave the same node share its attention
        group = rows * max(1, 2 * len(self.relations)) + kind
        _, member, crowd = np.unique(group, return_inverse=True, return_counts=True)
        factor = self._factor(kind, weight, crowd[member] if m else crowd)
        order = np.lexsort((other, -factor, rows))
        self._used = len(order)
        self._live = len(order)
        self.start = np.zeros(n, np.int64)
        self.count: Ints = np.bincount(rows, minlength=n).astype(np.int64)
        self.start[1:] = np.cumsum(self.count)[:-1]
        self._room = self.count.copy()
        self.other: npt.NDArray[np.int32] = _buffer(other[order])
        self.kind: npt.NDArray[np.int32] = _buffer(kind[order])
        self.weight: Array = _buffer(weight[order])
        self.factor: Array = _buffer(factor[order])

    def __len__(self) -> int:
        return len(self.start)

    def entries(self, rows: Ints, limit: int | None = None) -> tuple[Ints, Ints]:
        """``(owner, position)``: entry ``position[j]`` belongs to ``rows[owner[j]]``."""
        return spans(self.start[rows], self.count[rows], limit)

    def neighbours(self, rows: Ints, relation: str, *, outward: bool) -> Ints:
        """Rows at the other end of one relation's edges, walked along or against the arrow."""
        if relation not in self.relations:
            return np.empty(0, np.int64)
        _, at = self.entries(rows)
        mine = self.kind[at] == 2 * self.relations.index(relation) + outward
        return np.asarray(self.other[at[mine]], np.int64)

    def linked(self, rows: Ints, but_by: Sequence[str] = ()) -> Bools:
        """Which rows have an edge of any other relation than these ``(r,)``."""
        counts = np.array([r not in but_by for r in self.relations], np.bool_)
        out = np.zeros(len(rows), np.bool_)
        owner, at = self.entries(rows)
        if len(counts):
            out[owner[counts[self.kind[at] // 2]]] = True
        return out

    def relation(self, name: str) -> int:
        """The number of a relation, a new one if it was not there."""
        if name not in self.relations:
            self.relations.append(name)
        return self.relations.index(name)

    def grow(self, n: int) -> None:
        """Room for nodes up to row n − 1, without edges."""
        more = n - len(self)
        if more > 0:
            nothing = np.zeros(more, np.int64)
            self.start = np.concatenate([self.start, nothing])
            self.count = np.concatenate([self.count, nothing])
            self._room = np.concatenate([self._room, nothing])

    def edges(self) -> tuple[Ints, Ints, Ints, Array]:
        """All edges: ``(src, relation, dst, weight)``, each ``(m,)``."""
        src, at = self.entries(np.arange(len(self)))
        outward = self.kind[at] % 2 == 1
        src, at = src[outward], at[outward]
        relation, dst = self.kind[at].astype(np.int64) // 2, self.other[at].astype(np.int64)
        return src, relation, dst, self.weight[at]

    def edges_at(self, row: int) -> list[Key]:
        """All edges of one node."""
        at = slice(self.start[row], self.start[row] + self.count[row])
        pairs = zip(self.other[at].tolist(), self.kind[at].tolist(), strict=True)
        return [(row, k // 2, o) if k % 2 else (o, k // 2, row) for o, k in pairs]

    def change(self, gone: Iterable[Key], come: Mapping[Key, float]) -> Ints:
        """Take edges out and put others in; one that is there already gets the new weight.

        Returns:
            The rows whose edges are not what they were, ascending.
        """
        drop: dict[int, set[tuple[int, int]]] = {}
        put: dict[int, dict[tuple[int, int], float]] = {}
        for src, relation, dst in (*gone, *come):
            drop.setdefault(src, set()).add((dst, 2 * relation + 1))
            drop.setdefault(dst, set()).add((src, 2 * relation))
        for (src, relation, dst), weight in come.items():
            put.setdefault(src, {})[dst, 2 * relation + 1] = weight
            put.setdefault(dst, {})[src, 2 * relation] = weight
        touched = sorted(drop)
        for row in touched:
            self._rewrite(row, drop[row], put.get(row, {}))
        if self._used > 2 * self._live + 4096:
            self._pack()
        return np.array(touched, np.int64)

    def _rewrite(
        self, row: int, drop: set[tuple[int, int]], put: Mapping[tuple[int, int], float]
    ) -> None:
        at = slice(self.start[row], self.start[row] + self.count[row])
        width = 2 * len(self.relations)
        code = self.other[at].astype(np.int64) * width + self.kind[at]
        keep = ~np.isin(code, [o * width + k for o, k in drop])
        other = np.append(self.other[at][keep], [o for o, _ in put]).astype(np.int32)
        kind = np.append(self.kind[at][keep], [k for _, k in put]).astype(np.int32)
        weight = np.append(self.weight[at][keep], list(put.values())).astype(np.float32)
        crowd = np.bincount(kind, minlength=1)[kind]
        factor = self._factor(kind, weight, crowd)
        order = np.lexsort((other, -factor))
        self._live += len(order) - int(self.count[row])
        self._place(row, len(order))
        at = slice(self.start[row], self.start[row] + len(order))
        self.other[at], self.kind[at] = other[order], kind[order]
        self.weight[at], self.factor[at] = weight[order], factor[order]

    def _place(self, row: int, size: int) -> None:
        if size > self._room[row]:
            room = int(ROOM * size) + 4
            if self._used + room > len(self.other):
                for name in ("other", "kind", "weight", "factor"):
                    setattr(self, name, _buffer(getattr(self, name)[: self._used], room))
            self.start[row], self._room[row] = self._used, room
            self._used += room
        self.count[row] = size

    def _pack(self) -> None:
        _, at = self.entries(np.arange(len(self)))
        for name in ("other", "kind", "weight", "factor"):
            setattr(self, name, _buffer(getattr(self, name)[at]))
        self.start = np.cumsum(self.count) - self.count
        self._room = self.count.copy()
        self._used = self._live = len(at)

    def _factor(self, kind: npt.NDArray[np.int32], weight: Array, crowd: Ints) -> Array:
        worth = np.array([self.worth.get(r, OTHER) for r in self.relations] or [0], np.float32)
        alone = worth[kind // 2] * np.minimum(weight, 1.0)
        return np.asarray(alone / (1 + np.log(np.maximum(crowd, 1))), np.float32)


def _buffer(values: npt.NDArray[Any], more: int = 0) -> npt.NDArray[Any]:
    """The values at the head of a larger array; memory that is not written to costs nothing."""
    out = np.empty(int(SLACK * (len(values) + more)) + 1024, values.dtype)
    out[: len(values)] = values
    return out


def below(adjacency: Adjacency, row: int, down: str, members: str) -> Bools:
    """Members of a category or of any below it: a mark for each node."""
    seen = np.zeros(len(adjacency), np.bool_)
    front = np.array([row])
    while len(front):
        seen[front] = True
        front = np.unique(adjacency.neighbours(front, down, outward=False))
        front = front[~seen[front]]
    seen[adjacency.neighbours(np.flatnonzero(seen), members, outward=False)] = True
    return seen
