"""The strongest short walk from a query's anchors to every node in reach, over the graph as arrays.

A walk's strength is its anchor's weight times a factor for every edge: how much its relation
says, its own weight, and less where it leaves a hub (one of a category's thousand members).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from graphretrieval.rankers.adjacency import Adjacency
from graphretrieval.types import (
    Array,
    Bools,
    Graph,
    Ints,
    Path,
    Step,
)

#: How an anchor was found: near the query, by its words, or it is the query itself.
ANCHORS: tuple[str | None, ...] = ("similar", "lexical", None)
# queries times nodes of the table of best walks that is held at once
_CELLS = 20_000_000


@dataclass(frozen=True)
class Walks:
    """Targets reached: entries ``indptr[i]:indptr[i + 1]`` are query i's, rows ascending."""

    indptr: Ints
    rows: Ints
    strength: Array
    _last: Ints = field(repr=False)  # where each target's walk ends in the trail
    _trail: _Trail = field(repr=False)

    def path(self, query: int, row: int) -> Path | None:
        """The strongest walk that reached a row; ``None`` if none did, or it was not kept.

        Walks are kept for batches that fit the table of best walks at once, as single queries do.
        """
        start, end = self.indptr[query], self.indptr[query + 1]
        at = start + np.searchsorted(self.rows[start:end], row)
        if at >= end or self.rows[at] != row or self._last[at] < 0:
            return None
        return self._trail.path(int(self._last[at]), float(self.strength[at]))


@dataclass
class _Trail:
    """All steps taken: each has its node, the step before it and the CSR entry walked along."""

    walker: Walker
    node: list[Ints] = field(default_factory=list)
    parent: list[Ints] = field(default_factory=list)
    entry: list[Ints] = field(default_factory=list)
    kinds: Ints | None = None
    weight: Array | None = None
    size: int = 0

    def add(self, node: Ints, parent: Ints, entry: Ints) -> Ints:
        """Append steps; return their positions."""
        self.node.append(node)
        self.parent.append(parent)
        self.entry.append(entry)
        self.size += len(node)
        return np.arange(self.size - len(node), self.size)

    def path(self, last: int, strength: float) -> Path:
        """The walk that ends with step ``last``."""
        node, parent, entry = (np.concatenate(x) for x in (self.node, self.parent, self.entry))
        way = [last]
        while parent[way[-1]] >= 0:
            way.append(int(parent[way[-1]]))
        way.reverse()
        graph = self.walker.graph
        steps = [self.walker.step(int(entry[position])) for position in way[1:]]
        anchor = ANCHORS[0 if self.kinds is None else int(self.kinds[way[0]])]
        weight = 1.0 if self.weight is None else float(self.weight[way[0]])
        ids = tuple(graph.ids[int(node[p])] for p in way)
        return Path(ids, tuple(steps), strength, anchor, weight)


class Walker:
    """Walks one graph in both directions.

    Args:
        graph: the edges to walk.
        relations: how much each relation carries over, in (0, 1]; by default as
            :data:`~graphretrieval.rankers.adjacency.RELATIONS` says.
    """

    def __init__(self, graph: Graph, relations: Mapping[str, float] | None = None) -> None:
        self.graph = graph
        self.adjacency = Adjacency(graph, relations)

    def leaving(self, rows: Ints, limit: int | None = None) -> tuple[Ints, Ints, Ints, Array]:
        """Entries of some rows, of each the strongest: ``(owner, entry, to, factor)``.

        ``owner[j]`` is a position in ``rows``, ``to[j]`` the row that ``entry[j]`` leads to.
        """
        edges = self.adjacency
        owner, entry = edges.entries(rows, limit)
        return owner, entry, edges.other[entry].astype(np.int64), edges.factor[entry]

    def step(self, entry: int) -> Step:
        """The edge of an entry, as it is walked along."""
        edges = self.adjacency
        relation, outward = divmod(int(edges.kind[entry]), 2)
        direction = "out" if outward else "in"
        return Step(edges.relations[relation], direction, float(edges.weight[entry]))

    def search(
        self,
        indptr: Ints,
        rows: Ints,
        weights: Array,
        *,
        targets: Bools,
        kinds: Ints | None = None,
        hops: int = 3,
        fan_out: int = 100,
        beam: int = 2000,
        limit: int = 400,
    ) -> Walks:
        """Strongest walks from anchors to targets.

        Args:
            indptr: ``(q + 1,)``; query i's anchors are entries ``indptr[i]:indptr[i + 1]``.
            rows: anchors' graph rows.
            weights: anchors' weights, in (0, 1].
            targets: ``(n,)`` nodes that are answers.
            kinds: how each anchor was found, numbers into :data:`ANCHORS`, for the paths.
            hops: most edges of a walk; 0 leaves anchors that are targets themselves.
            fan_out: most edges walked from a node, its strongest.
            beam: most nodes a query's walks go on from.
            limit: most targets kept for a query.
        """
        n, q = max(1, len(self.graph.ids)), len(indptr) - 1
        step = max(1, _CELLS // n)
        parts = []
        for first in range(0, q, step):
            last = min(q, first + step)
            mine = slice(int(indptr[first]), int(indptr[last]))
            trail = _Trail(
                self,
                kinds=None if kinds is None else kinds[mine],
                weight=weights[mine],
            )
            own = indptr[first : last + 1] - indptr[first]
            found = self._search(own, rows[mine], weights[mine], trail, hops, fan_out, beam)
            parts.append(_targets(found, trail, targets, last - first, n, limit))
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _search(
        self,
        indptr: Ints,
        rows: Ints,
        weights: Array,
        trail: _Trail,
        hops: int,
        fan_out: int,
        beam: int,
    ) -> tuple[Array, Ints]:
        """Best strength and last step of every (query, node), flat ``(q · n,)``."""
        n, q, edges = len(self.graph.ids), len(indptr) - 1, self.adjacency
        best = np.zeros(q * n, np.float32)
        last = np.full(q * n, -1, np.int64)
        owner = np.repeat(np.arange(q), np.diff(indptr))
        none = np.full(len(rows), -1, np.int64)
        position = trail.add(np.asarray(rows, np.int64), none, none)
        front = _improved(owner * n + rows, np.asarray(weights, np.float32), position, best, last)
        for _ in range(hops):
            front = front[_strongest(front // n, best[front], beam)]
            if not len(front):
                break
            mine, entry = edges.entries(front % n, fan_out)
            strength = best[front][mine] * edges.factor[entry]
            cell = front[mine] // n * n + edges.other[entry]
            keep = np.flatnonzero(strength > best[cell])
            keep = keep[_first_best(cell[keep], strength[keep])]
            position = trail.add(
                edges.other[entry[keep]].astype(np.int64), last[front[mine[keep]]], entry[keep]
            )
            front = _improved(cell[keep], strength[keep], position, best, last)
        return best, last


def _improved(cell: Ints, strength: Array, position: Ints, best: Array, last: Ints) -> Ints:
    """Write stronger walks into the table; return the cells that changed."""
    keep = _first_best(cell, strength)
    keep = keep[strength[keep] > best[cell[keep]]]
    best[cell[keep]] = strength[keep]
    last[cell[keep]] = position[keep]
    return cell[keep]


def _first_best(cell: Ints, strength: Array) -> Ints:
    """Of the entries of each cell the strongest, the first of equals."""
    order = np.lexsort((-strength, cell))
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = cell[order][1:] != cell[order][:-1]
    return order[fresh]


def _strongest(group: Ints, strength: Array, limit: int) -> Ints:
    """At most ``limit`` entries of each group, the strongest."""
    order = np.lexsort((-strength, group))
    sorted_group = group[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = sorted_group[1:] != sorted_group[:-1]
    start = np.flatnonzero(fresh)
    rank = np.arange(len(order)) - np.repeat(start, np.diff(np.append(start, len(order))))
    return np.sort(order[rank < limit])


def _targets(
    found: tuple[Array, Ints], trail: _Trail, targets: Bools, q: int, n: int, limit: int
) -> Walks:
    best, last = found
    cell = np.flatnonzero((best > 0) & np.tile(targets, q)) if n else np.empty(0, np.int64)
    cell = cell[_strongest(cell // n, best[cell], limit)]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell // n, minlength=q))])
    return Walks(indptr.astype(np.int64), cell % n, best[cell], last[cell], trail)


def _joined(parts: list[Walks]) -> Walks:
    """Walks of consecutive blocks of queries; their paths stay with the blocks."""
    shift: npt.NDArray[np.int64] = np.cumsum([0, *(p.indptr[-1] for p in parts)])
    indptr = [
        parts[0].indptr,
        *(p.indptr[1:] + s for p, s in zip(parts[1:], shift[1:], strict=False)),
    ]
    trail = parts[0]._trail
    return Walks(
        np.concatenate(indptr),
        np.concatenate([p.rows for p in parts]),
        np.concatenate([p.strength for p in parts]),
        np.full(int(shift[-1]), -1, np.int64),
        trail,
    )
