"""Which ends of a relation occur together: what is in one category is often in another as well.

Two categories go together as far as more items are in both than chance would put there; where they
never meet though both are large, they keep out each other. What an item's categories say of one
more is the mean of that. The same holds for the ends of any relation: places that a text mentions,
the picture and the sound that it describes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy.sparse import csr_matrix

from graphretrieval.types import Array, Graph, Ints

#: A node with more ends says nothing of which of them belong together.
MOST = 100
#: Where fewer of the links than this share have company, most nodes are meant to have one end: that
#: two never met says nothing there.
COMPANY = 0.5
#: Meetings added to those seen and to those expected: a rare end that never met another may yet.
PRIOR = 0.1


@dataclass(frozen=True)
class Cooccurrence:
    """How the ends of one relation go together, and who links to which of them.

    Two ends go together by log((met + a) / (expected + a)), the ratio of meetings to what chance
    would have, shrunk where both are few (after DuMouchel 1999), with a = :data:`PRIOR`.
    """

    #: ``(n, n)`` 0 or 1, from source to end.
    links: csr_matrix = field(repr=False)
    #: ``(n, n)`` log(1 + met / a), symmetric; an end does not meet itself.
    met: csr_matrix = field(repr=False)
    #: ``(n,)`` links to each end over the root of all sources: the product of two is what chance
    #: would have. All 0 where only meetings count; ``met`` is then above chance already.
    share: Array = field(repr=False)

    @classmethod
    def of(cls, graph: Graph, relation: str) -> Self:
        """Counted over all nodes that such edges leave."""
        n, edges = len(graph.ids), graph.edges_of(relation)
        src, dst = graph.src[edges].astype(np.int64), graph.dst[edges].astype(np.int64)
        kept = np.bincount(src, minlength=n)[src] <= MOST
        src, dst = src[kept], dst[kept]
        links = csr_matrix((np.ones(len(src), np.float32), (src, dst)), (n, n))
        links.data[:] = 1
        met = (links.T @ links).tocoo()
        apart = met.row != met.col
        a, b, times = met.row[apart], met.col[apart], met.data[apart]
        counts, several = np.bincount(links.indices, minlength=n), np.diff(links.indptr)
        share = counts / np.sqrt(max(int(np.count_nonzero(several)), 1))
        worth = np.log1p(times / PRIOR)
        if several[several > 1].sum() < COMPANY * len(links.data):
            worth = np.maximum(worth - _chance(share[a] * share[b]), 0)
            share = np.zeros(n)
        ties = csr_matrix((worth.astype(np.float32), (a, b)), (n, n))
        ties.eliminate_zeros()
        return cls(links, ties, share.astype(np.float32))

    def between(self, asking: Ints, asked: Ints, *, backwards: bool = False) -> Array:
        """How each source's links go together with each end ``(s, e)``, 0 where it has none.

        ``asking`` are the sources and ``asked`` the ends, or the other way round (``backwards``).
        """
        sources, ends = (asked, asking) if backwards else (asking, asked)
        own = self.links[sources]
        # what chance would have depends on how many link to an end alone
        shares, at = np.unique(self.share[ends], return_inverse=True)
        here = np.unique(own.indices)
        chance = own[:, here] @ _chance(np.outer(self.share[here], shares))
        met = (own @ self.met[ends].T).toarray()
        out = np.asarray((met - chance[:, at]) / _several(own)[:, None], np.float32)
        return np.ascontiguousarray(out.T) if backwards else out

    def of_pairs(self, sources: Ints, ends: Ints) -> Array:
        """The same of pairs ``(p,)``."""
        own = self.links[sources]
        met = np.asarray(own.multiply(self.met[ends]).sum(axis=1)).ravel()
        other = np.repeat(self.share[ends], np.diff(own.indptr))
        own.data = _chance(self.share[own.indices] * other)
        chance = np.asarray(own.sum(axis=1)).ravel()
        return np.asarray((met - chance) / _several(own), np.float32)

    def company(self, source: int, end: int) -> Ints:
        """The source's links that go together with an end, those first that do so most."""
        own = self.links[[source]].indices
        met = np.asarray(self.met[[end]].toarray())[0, own]
        worth = met - _chance(self.share[own] * self.share[end])
        order = np.argsort(-worth, kind="stable")
        best: Ints = own[order[worth[order] > 0]].astype(np.int64)
        return best


def _chance(expected: Array) -> Array:
    """What is owed to chance: log(1 + expected / a)."""
    return np.asarray(np.log1p(expected / PRIOR))


def _several(own: csr_matrix) -> Ints:
    """How many links each source has, 1 if none."""
    several: Ints = np.maximum(np.diff(own.indptr), 1)
    return several
