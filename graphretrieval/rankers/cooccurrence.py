"""Which ends of a relation occur together: what is in one category is often in another as well.

Two categories are tied as far as more items are in both than chance would put there. An item that
is in one of them, and a category, are then worth the sum of the ties from the item's categories to
it. The same holds for the ends of any relation: places that a text mentions, sources it cites.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy.sparse import csr_matrix

from graphretrieval.types import Array, Graph, Ints

#: A node with more ends says nothing of which of them belong together.
MOST = 100
#: Ends that met fewer times may have met by chance.
FEWEST = 2


@dataclass(frozen=True)
class Cooccurrence:
    """Ties between the ends of one relation, and who links to which of them."""

    #: ``(n, n)`` 0 or 1, from source to end.
    links: csr_matrix = field(repr=False)
    #: ``(n, n)`` from 0 to 1, symmetric: normalised pointwise mutual information (Bouma 2009).
    ties: csr_matrix = field(repr=False)

    @classmethod
    def of(cls, graph: Graph, relation: str) -> Self:
        """Counted over all nodes that such edges leave."""
        n, edges = len(graph.ids), graph.edges_of(relation)
        src, dst = graph.src[edges].astype(np.int64), graph.dst[edges].astype(np.int64)
        few = np.bincount(src, minlength=n)[src] <= MOST
        src, dst = src[few], dst[few]
        links = csr_matrix((np.ones(len(src), np.float32), (src, dst)), (n, n))
        links.data[:] = 1
        n_sources = len(np.unique(src))
        met = (links.T @ links).tocoo()
        of = np.bincount(links.indices, minlength=n) / max(n_sources, 1)
        # where all link to both, that they meet says nothing
        kept = (met.row != met.col) & (met.data >= FEWEST) & (met.data < n_sources)
        a, b, share = met.row[kept], met.col[kept], met.data[kept] / n_sources
        strength = np.log(share / (of[a] * of[b])) / -np.log(share)
        up = strength > 0
        ties = csr_matrix((strength[up].astype(np.float32), (a[up], b[up])), (n, n))
        return cls(links, ties)

    def between(self, sources: Ints, ends: Ints) -> Array:
        """Each source's links, by their ties to each end ``(s, e)``; its own link says nothing."""
        return np.asarray((self.links[sources] @ self.ties[:, ends]).toarray(), np.float32)

    def of_pairs(self, sources: Ints, ends: Ints) -> Array:
        """The same of pairs ``(p,)``."""
        both = self.links[sources].multiply(self.ties[ends])
        return np.asarray(both.sum(axis=1), np.float32).ravel()

    def heard(self, source: int, end: int) -> Ints:
        """The source's links that are tied to an end, the most surely tied first."""
        tied = self.links[[source]].multiply(self.ties[[end]]).tocoo()
        return np.asarray(tied.col[np.argsort(-tied.data, kind="stable")], np.int64)
