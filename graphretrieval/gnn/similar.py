"""Edges between items that are alike: mutual nearest neighbours, with hubs held back.

In many dimensions a few items are among the nearest of everything. As in CSLS (Conneau et al. 2018,
"Word translation without parallel data") likeness is corrected by how near both ends are to their
own nearest, ``2 cos(i, j) − r_i − r_j``, and an edge stands only where each end chooses the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from graphretrieval.arrays import top_k
from graphretrieval.types import SIMILAR_TO, Array, Graph, Ints


@dataclass(frozen=True)
class Similar:
    """Edges between rows, each pair once; ``weight`` is the cosine of its ends, in (0, 1]."""

    src: Ints = field(compare=False, repr=False)  # (m,)
    dst: Ints = field(compare=False, repr=False)  # (m,)
    weight: Array = field(compare=False, repr=False)  # (m,)

    @classmethod
    def joined(cls, parts: Sequence[Similar] = ()) -> Similar:
        """All edges of several; none by default."""
        none = np.empty(0, np.int64)
        return cls(
            np.concatenate([none, *(p.src for p in parts)]),
            np.concatenate([none, *(p.dst for p in parts)]),
            np.concatenate([np.empty(0, np.float32), *(p.weight for p in parts)]),
        )

    def __len__(self) -> int:
        return len(self.src)

    def moved(self, at: npt.NDArray[np.integer]) -> Similar:
        """The edges where row i is now ``at[i]``; those of rows that are gone (−1) are left out."""
        src, dst = at[self.src].astype(np.int64), at[self.dst].astype(np.int64)
        there = (src >= 0) & (dst >= 0)
        return Similar(src[there], dst[there], self.weight[there])

    def added_to(self, graph: Graph) -> Graph:
        """A graph with these edges as ``SIMILAR_TO``, but where it has such an edge of its own."""
        if not len(self):
            return graph
        n, own = len(graph.ids), graph.edges_of(SIMILAR_TO)
        fresh = ~np.isin(self.src * n + self.dst, graph.src[own] * np.int64(n) + graph.dst[own])
        names = graph.relations
        names = names if SIMILAR_TO in names else (*names, SIMILAR_TO)
        kind = np.full(int(fresh.sum()), names.index(SIMILAR_TO))
        return Graph(
            graph.ids,
            graph.modalities,
            graph.modality,
            names,
            np.concatenate([graph.src, self.src[fresh]]).astype(np.int32),
            np.concatenate([graph.dst, self.dst[fresh]]).astype(np.int32),
            np.concatenate([graph.relation, kind]).astype(np.int16),
            np.concatenate([graph.weight, self.weight[fresh]]).astype(np.float32),
            graph.revision,
        )


def mutual(lists: Ints, cosines: Array, k: int) -> Similar:
    """Edges between items that are among each other's k best once hubs are held back.

    Args:
        lists: ``(n, m)``, each item's nearest others, the nearest first.
        cosines: ``(n, m)``, theirs.
        k: how many each chooses of its m; r is the mean cosine of the k nearest.
    """
    n, k = len(lists), min(k, lists.shape[1])
    if not k:
        return Similar.joined()
    r = cosines[:, :k].mean(axis=1)  # (n,)
    _, best = top_k(2 * cosines - r[:, None] - r[lists], k)
    src = np.repeat(np.arange(n), k)
    dst = np.take_along_axis(lists, best, axis=1).ravel()
    weight = np.take_along_axis(cosines, best, axis=1).ravel()
    once = (src < dst) & np.isin(src * n + dst, dst * n + src) & (weight > 0)
    return Similar(src[once], dst[once], np.minimum(weight[once], 1.0).astype(np.float32))
