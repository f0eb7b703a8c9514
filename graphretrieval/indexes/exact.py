"""Brute force: one matrix product, the answer every other index is measured against."""

from __future__ import annotations

from typing import Self

import numpy as np

from graphretrieval.arrays import Grown, top_k
from graphretrieval.errors import NotFitted, QueryError
from graphretrieval.types import Array, Bools, Ints


class ExactIndex:
    """All inner products, a block at a time, so that memory stays bounded.

    Args:
        block: rows scored at once.
        queries: queries scored at once; block × queries × 4 bytes is the working memory.
    """

    def __init__(self, *, block: int = 65_536, queries: int = 256) -> None:
        self.block = block
        self.queries = queries
        self._vectors: Grown | None = None
        self._dead: Grown | None = None

    def build(self, vectors: Array) -> Self:
        """Keep the vectors ``(n, d)``, float32."""
        self._vectors = Grown(np.asarray(vectors, np.float32))
        self._dead = Grown(np.zeros(len(vectors), np.bool_))
        return self

    def upsert(self, rows: Ints, vectors: Array) -> None:
        """Replace rows, or add those that follow the last one, in order.

        Raises:
            NotFitted: nothing was built.
            QueryError: a row would leave a gap.
        """
        kept, dead = self._built()
        new = rows >= len(kept.x)
        if not np.array_equal(rows[new], len(kept.x) + np.arange(new.sum())):
            raise QueryError(
                f"rows {rows[new][:3]} do not follow the last of {len(kept.x)}",
                remedy="add rows in order, without gaps",
            )
        kept.x[rows[~new]] = vectors[~new]
        dead.x[rows[~new]] = False
        kept.append(np.asarray(vectors[new], np.float32))
        dead.append(np.zeros(int(new.sum()), np.bool_))

    def remove(self, rows: Ints) -> None:
        """Rows that are not to be found any more; the others keep their numbers."""
        kept, dead = self._built()
        kept.x[rows] = 0
        dead.x[rows] = True

    def search(self, queries: Array, k: int) -> tuple[Array, Ints]:
        """Scores and rows ``(q, min(k, n))``, best first; ties go to the lower row.

        Raises:
            NotFitted: nothing was built.
            QueryError: the queries are not ``(q, d)`` with the index's d, or k is negative.
        """
        kept, dead = self._built()
        vectors = kept.x
        queries = np.asarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != vectors.shape[1]:
            raise QueryError(
                f"queries of shape {queries.shape} do not fit {vectors.shape[1]} columns",
                remedy=f"give an array (q, {vectors.shape[1]})",
            )
        if k < 0:
            raise QueryError(f"k is {k}", remedy="ask for 0 or more")
        k = min(k, len(self))
        scores = np.empty((len(queries), k), np.float32)
        rows = np.empty((len(queries), k), np.int64)
        for start in range(0, len(queries), self.queries):
            part = slice(start, start + self.queries)
            scores[part], rows[part] = self._search(vectors, dead.x, queries[part], k)
        return scores, rows

    def __len__(self) -> int:
        return 0 if self._dead is None else int((~self._dead.x).sum())

    def _built(self) -> tuple[Grown, Grown]:
        if self._vectors is None or self._dead is None:
            raise NotFitted("the index is empty", remedy="call build(vectors) first")
        return self._vectors, self._dead

    def _search(self, vectors: Array, dead: Bools, queries: Array, k: int) -> tuple[Array, Ints]:
        best = np.empty((len(queries), 0), np.float32)
        rows = np.empty((len(queries), 0), np.int64)
        for start in range(0, len(vectors), self.block):
            scores = queries @ vectors[start : start + self.block].T
            scores[:, dead[start : start + self.block]] = -np.inf
            values, columns = top_k(scores, k)
            # earlier rows stand first, so that top_k's rule for ties keeps the lower row
            values = np.concatenate([best, values], axis=1)
            columns = np.concatenate([rows, columns + start], axis=1)
            best, chosen = top_k(values, k)
            rows = np.take_along_axis(columns, chosen, axis=1)
        return best, rows
