"""Several short walks from a query's anchors to one node, strongest first: why, and why else.

Met in the middle: one step ahead from the anchors, up to two back from the node, joined where they
meet. A walk is worth what it is worth to :class:`~graphretrieval.rankers.walks.Walker`, and visits
no node twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from graphretrieval.rankers.walks import ANCHORS, Walker
from graphretrieval.types import Array, Ints, Path

# of one kind (the same relations walked the same way) so many are shown before others get a chance
ALIKE = 2
# walks looked at, the strongest: of a hub's thousand ways to a node nobody reads the last
MOST = 2000


@dataclass(frozen=True)
class _Legs:
    """Pieces of walks: entries walked along ``(p, hops)``, from and to which node, how strong."""

    start: Ints = field(repr=False)
    end: Ints = field(repr=False)
    entries: Ints = field(repr=False)
    strength: Array = field(repr=False)


def ways(
    walker: Walker,
    rows: Ints,
    weights: Array,
    kinds: Ints,
    target: int,
    *,
    count: int = 5,
    hops: int = 3,
    fan_out: int = 100,
) -> list[Path]:
    """The strongest walks of at most ``hops`` (0 to 3) edges from anchors to a node.

    Args:
        walker: of the graph.
        rows: anchors' graph rows.
        weights: anchors' weights, in (0, 1].
        kinds: how each anchor was found, numbers into :data:`~.walks.ANCHORS`.
        target: the row to get to.
        count: most walks; where there are many, of each kind at most two.
        hops: most edges of a walk.
        fan_out: most edges walked from a node, its strongest.
    """
    here = np.flatnonzero(rows == target)
    found = [(here, np.empty((len(here), 0), np.int64), weights[here])]
    if hops:
        back = [_leading_to(walker, np.array([target]), fan_out)]
        found.append(_from_anchors(rows, weights, back[0]))
        ahead = _first_steps(walker, rows, weights, fan_out)
        if hops > 1:
            found.append(_joined(ahead, back[0]))
        if hops > 2:
            before = _leading_to(walker, np.unique(back[0].start), fan_out)
            found.append(_joined(ahead, _strongest(_continued(before, back[0]))))
    shown: list[Path] = []
    for owner, entries, strength in found:
        best = np.argsort(-strength, kind="stable")[:MOST]
        for anchor, way, worth in zip(owner[best], entries[best], strength[best], strict=True):
            nodes = [int(rows[anchor]), *(int(walker.adjacency.other[e]) for e in way)]
            if len(set(nodes)) == len(nodes):
                ids = tuple(walker.graph.ids[n] for n in nodes)
                steps = tuple(walker.step(int(e)) for e in way)
                start = ANCHORS[int(kinds[anchor])]
                shown.append(Path(ids, steps, float(worth), start, float(weights[anchor])))
    return _varied(sorted(shown, key=lambda p: (-p.strength, len(p.steps), p.nodes)), count)


def _leading_to(walker: Walker, ends: Ints, fan_out: int) -> _Legs:
    """Single steps that end in one of these rows; edges are walked both ways, so a neighbour's."""
    _, _, near, _ = walker.leaving(ends)
    near = np.unique(near)
    owner, entry, to, factor = walker.leaving(near, fan_out)
    mine = np.isin(to, ends)
    return _Legs(near[owner[mine]], to[mine], entry[mine][:, None], factor[mine])


def _first_steps(walker: Walker, rows: Ints, weights: Array, fan_out: int) -> _Legs:
    """Single steps away from the anchors; ``start`` is the anchor's position."""
    owner, entry, to, factor = walker.leaving(rows, fan_out)
    return _Legs(owner, to, entry[:, None], weights[owner] * factor)


def _from_anchors(rows: Ints, weights: Array, back: _Legs) -> tuple[Ints, Ints, Array]:
    a, b = _meetings(rows, back.start)
    return a, back.entries[b], np.asarray(weights[a] * back.strength[b], np.float32)


def _joined(ahead: _Legs, back: _Legs) -> tuple[Ints, Ints, Array]:
    a, b = _meetings(ahead.end, back.start)
    entries = np.concatenate([ahead.entries[a], back.entries[b]], axis=1)
    return ahead.start[a], entries, np.asarray(ahead.strength[a] * back.strength[b], np.float32)


def _continued(first: _Legs, second: _Legs) -> _Legs:
    a, b = _meetings(first.end, second.start)
    entries = np.concatenate([first.entries[a], second.entries[b]], axis=1)
    strength = np.asarray(first.strength[a] * second.strength[b], np.float32)
    return _Legs(first.start[a], second.end[b], entries, strength)


def _strongest(legs: _Legs) -> _Legs:
    """The strongest legs that leave each node; one suffices to know the best walk through it."""
    order = np.lexsort((-legs.strength, legs.start))
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = legs.start[order][1:] != legs.start[order][:-1]
    first = np.flatnonzero(fresh)
    rank = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    keep = order[rank < ALIKE * len(ANCHORS)]
    return _Legs(legs.start[keep], legs.end[keep], legs.entries[keep], legs.strength[keep])


def _meetings(ends: Ints, starts: Ints) -> tuple[Ints, Ints]:
    """All pairs ``(i, j)`` with ``ends[i] == starts[j]``."""
    order = np.argsort(starts, kind="stable")
    low = np.searchsorted(starts[order], ends, "left")
    size = np.searchsorted(starts[order], ends, "right") - low
    i = np.repeat(np.arange(len(ends)), size)
    j = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size) + np.repeat(low, size)
    return i, order[j]


def _varied(paths: list[Path], count: int) -> list[Path]:
    """The first of each kind before the third of one; in the order of their strength.

    A node that is an anchor twice, by its words and by its likeness, begins the stronger walk only.
    """
    seen: dict[tuple[object, ...], int] = {}
    chosen: list[Path] = []
    rest: list[Path] = []
    once: dict[object, Path] = {}
    for path in paths:
        once.setdefault((path.nodes, path.steps), path)
    for path in once.values():
        kind = (path.anchor, *((s.type, s.direction) for s in path.steps))
        seen[kind] = seen.get(kind, 0) + 1
        (chosen if seen[kind] <= ALIKE else rest).append(path)
    taken = (chosen + rest)[:count]
    return sorted(taken, key=lambda p: (-p.strength, len(p.steps), p.nodes))
