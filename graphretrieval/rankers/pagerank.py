"""Personalised PageRank: where a walker is met who begins at the anchors and soon begins anew.

Haveliwala 2002. A path tells the best way to a node; this counts all ways, so that a picture all
of whose captions are near a query is met more often than one of which a single caption is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from graphretrieval.rankers.adjacency import Adjacency
from graphretrieval.types import Array, Ints

# the chance to begin anew, and steps (what is left after four is under a half)
RESTART, STEPS = 0.15, 4


def pagerank(
    edges: Adjacency,
    indptr: Ints,
    rows: Ints,
    weights: Array,
    *,
    steps: int = STEPS,
    fan_out: int | None = None,
    beam: int | None = None,
) -> csr_matrix:
    """How often each node is met ``(q, n)``, of each query's walkers a share; rows sum to ≤ 1.

    A walker leaves a node by any of its edges alike, in either direction, and is lost with the
    weight that an edge lacks.

    Args:
        edges: of the graph.
        indptr: ``(q + 1,)``; query i's anchors are entries ``indptr[i]:indptr[i + 1]``.
        rows: anchors' graph rows.
        weights: how many begin at each anchor, as a share of all of the query's.
        steps: after which nobody walks on.
        fan_out: edges walked along from a node at most, its strongest; all if not given.
        beam: nodes a query's walkers go on from at most, where most of them are.
    """
    q, n = len(indptr) - 1, max(1, len(edges))
    owner = np.repeat(np.arange(q), np.diff(indptr))
    begun = np.bincount(owner, weights, minlength=q)[owner]
    cell, share = _summed(owner * n + rows, RESTART * weights / np.maximum(begun, 1e-9))
    met = [(cell, share)]
    for _ in range(steps):
        if beam is not None and len(cell) > beam:
            keep = _fullest(cell // n, share, beam)
            cell, share = cell[keep], share[keep]
        node = cell % n
        mine, entry = edges.entries(node, fan_out)
        leaving = (1 - RESTART) * share / np.maximum(edges.count[node], 1)
        moved = leaving[mine] * np.minimum(edges.weight[entry], 1)
        cell, share = _summed(cell[mine] - node[mine] + edges.other[entry], moved)
        met.append((cell, share))
    cell, share = (np.concatenate(x) for x in zip(*met, strict=True))
    return csr_matrix((share.astype(np.float32), (cell // n, cell % n)), (q, n))


def _summed(cell: Ints, share: npt.NDArray[np.floating]) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Each cell once, ascending, with the sum of its shares."""
    once, place = np.unique(cell, return_inverse=True)
    return once, np.bincount(place, share, minlength=len(once)).astype(np.float64)


def _fullest(owner: Ints, share: npt.NDArray[np.floating], limit: int) -> Ints:
    """At most ``limit`` entries of each owner, the greatest; owners ascend."""
    order = np.lexsort((-share, owner))
    count = np.bincount(owner)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    return np.asarray(order[rank < limit], np.int64)
