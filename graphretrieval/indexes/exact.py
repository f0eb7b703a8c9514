"""Brute force: one matrix product, the answer every other index is measured against."""

from __future__ import annotations

from typing import Self

import numpy as np

from graphretrieval.arrays import top_k
from graphretrieval.errors import NotFitted, QueryError
from graphretrieval.types import Array, Ints


class ExactIndex:
    """All inner products, a block at a time, so that memory stays bounded.

    Args:
        block: rows scored at once.
        queries: queries scored at once; block × queries × 4 bytes is the working memory.
    """

    def __init__(self, *, block: int = 65_536, queries: int = 256) -> None:
        self.block = block
        self.queries = queries
        self.vectors_: Array | None = None

    def build(self, vectors: Array) -> Self:
        """Keep the vectors ``(n, d)``, float32."""
        self.vectors_ = np.ascontiguousarray(vectors, np.float32)
        return self

    def search(self, queries: Array, k: int) -> tuple[Array, Ints]:
        """Scores and rows ``(q, min(k, n))``, best first; ties go to the lower row.

        Raises:
            NotFitted: nothing was built.
            QueryError: the queries are not ``(q, d)`` with the index's d, or k is negative.
        """
        vectors = self._built()
        queries = np.asarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != vectors.shape[1]:
            raise QueryError(
                f"queries of shape {queries.shape} do not fit {vectors.shape[1]} columns",
                remedy=f"give an array (q, {vectors.shape[1]})",
            )
        if k < 0:
            raise QueryError(f"k is {k}", remedy="ask for 0 or more")
        k = min(k, len(vectors))
        scores = np.empty((len(queries), k), np.float32)
        rows = np.empty((len(queries), k), np.int64)
        for start in range(0, len(queries), self.queries):
            part = slice(start, start + self.queries)
            scores[part], rows[part] = self._search(vectors, queries[part], k)
        return scores, rows

    def __len__(self) -> int:
        return 0 if self.vectors_ is None else len(self.vectors_)

    def _built(self) -> Array:
        if self.vectors_ is None:
            raise NotFitted("the index is empty", remedy="call build(vectors) first")
        return self.vectors_

    def _search(self, vectors: Array, queries: Array, k: int) -> tuple[Array, Ints]:
        best = np.empty((len(queries), 0), np.float32)
        rows = np.empty((len(queries), 0), np.int64)
        for start in range(0, len(vectors), self.block):
            values, columns = top_k(queries @ vectors[start : start + self.block].T, k)
            # earlier rows stand first, so that top_k's rule for ties keeps the lower row
            values = np.concatenate([best, values], axis=1)
            columns = np.concatenate([rows, columns + start], axis=1)
            best, chosen = top_k(values, k)
            rows = np.take_along_axis(columns, chosen, axis=1)
        return best, rows
