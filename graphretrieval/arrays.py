"""Arrays that every room works on: normalised rows, the k best of a row, and sparse adjacency."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from graphretrieval.types import Array, Graph, Ints


def normalise(x: npt.NDArray[Any], axis: int = -1) -> Array:
    """Rows at unit Euclidean length; a row of zeros stays zero. Same shape, float32."""
    x = np.asarray(x, np.float32)
    norm = np.linalg.norm(x, axis=axis, keepdims=True)
    return np.asarray(x / np.maximum(norm, 1e-12), np.float32)


def top_k(scores: npt.NDArray[Any], k: int) -> tuple[Array, Ints]:
    """The k greatest of each row, best first; equal scores go to the lower column.

    Args:
        scores: ``(q, n)``.
        k: how many; fewer come back where n is smaller.

    Returns:
        Values and columns, each ``(q, min(k, n))``.
    """
    scores = np.asarray(scores, np.float32)
    q, n = scores.shape
    k = min(k, n)
    if k == 0:
        return np.empty((q, 0), np.float32), np.empty((q, 0), np.int64)
    if k < n:
        # the k-th greatest value; everything above it is in, ties at it by column
        kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]  # (q, 1)
        above, level = scores > kth, scores == kth
        room = k - above.sum(axis=1, keepdims=True)
        chosen = above | (level & (np.cumsum(level, axis=1) <= room))
        columns = np.nonzero(chosen)[1].reshape(q, k)
    else:
        columns = np.broadcast_to(np.arange(n), (q, n))
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return (
        np.take_along_axis(values, order, axis=1),
        np.take_along_axis(columns, order, axis=1).astype(np.int64),
    )


def grouped(keys: npt.NDArray[Any], n: int) -> tuple[Ints, Ints]:
    """Positions by key, equal keys in their given order: a counting sort, linear in their number.

    Args:
        keys: ``(m,)`` in ``[0, n)``.
        n: how many keys there are.

    Returns:
        ``(m,)`` positions, and ``(n + 1,)`` where each key's begin.
    """
    m = len(keys)
    table = csr_matrix((np.ones(m, np.int8), (keys, np.arange(m))), (n, m))
    return table.indices.astype(np.int64), table.indptr.astype(np.int64)


@dataclass(frozen=True)
class Csr:
    """Compressed sparse rows: row i's neighbours are ``indices[indptr[i]:indptr[i + 1]]``.

    ``edge`` holds, for each entry, the position of its edge in the graph it came from.
    """

    indptr: Ints = field(repr=False)  # (n + 1,)
    indices: Ints = field(repr=False)  # (m,)
    weights: Array = field(repr=False)  # (m,)
    edge: Ints = field(repr=False)  # (m,)

    def __len__(self) -> int:
        return len(self.indptr) - 1


def csr(
    n: int,
    rows: npt.NDArray[Any],
    columns: npt.NDArray[Any],
    weights: npt.NDArray[Any],
    edge: npt.NDArray[Any] | None = None,
) -> Csr:
    """Adjacency from coordinates; within a row, entries keep their given order."""
    order, indptr = grouped(rows, n)
    edge = np.arange(len(rows)) if edge is None else edge
    return Csr(
        indptr,
        np.asarray(columns, np.int64)[order],
        np.asarray(weights, np.float32)[order],
        np.asarray(edge, np.int64)[order],
    )


def adjacency(graph: Graph, edges: Ints | None = None, direction: str = "out") -> Csr:
    """The graph's edges (or those at positions ``edges``) as sparse rows.

    Args:
        graph: n nodes.
        edges: positions of the edges to take; all by default.
        direction: ``out`` (row = src), ``in`` (row = dst) or ``both``.
    """
    take = np.arange(len(graph.src)) if edges is None else np.asarray(edges, np.int64)
    src, dst, weight = graph.src[take], graph.dst[take], graph.weight[take]
    if direction == "in":
        src, dst = dst, src
    elif direction == "both":
        src, dst = np.concatenate([src, dst]), np.concatenate([dst, src])
        weight, take = np.concatenate([weight, weight]), np.concatenate([take, take])
    return csr(len(graph.ids), src, dst, weight, take)


def expand(indptr: Ints, rows: Ints, limit: int | None = None) -> tuple[Ints, Ints]:
    """Positions of all entries of some rows of a CSR, without a Python loop.

    Args:
        indptr: ``(n + 1,)``.
        rows: ``(r,)``, repeats allowed.
        limit: at most this many entries of each row, its first.

    Returns:
        ``(owner, position)``: entry ``position[j]`` belongs to ``rows[owner[j]]``.
    """
    return spans(indptr[rows], indptr[rows + 1] - indptr[rows], limit)


def spans(start: Ints, count: Ints, limit: int | None = None) -> tuple[Ints, Ints]:
    """Positions of stretches of an array, one after another.

    Args:
        start: where each stretch begins.
        count: how long it is.
        limit: at most this many positions of each, its first.

    Returns:
        ``(owner, position)``: ``position[j]`` belongs to stretch ``owner[j]``.
    """
    if limit is not None:
        count = np.minimum(count, limit)
    owner = np.repeat(np.arange(len(start)), count)
    before = np.cumsum(count) - count
    position = np.arange(count.sum()) - np.repeat(before, count) + np.repeat(start, count)
    return owner, position


class Grown:
    """A matrix that rows are added to: with room at its end most additions copy nothing.

    ``x`` is the matrix as it stands; what was handed out before an addition stays valid.
    """

    def __init__(self, x: npt.NDArray[Any], *, slack: float = 1.25) -> None:
        self._slack = slack
        self._n = len(x)
        self._buffer = self._larger(x, len(x))

    @property
    def x(self) -> npt.NDArray[Any]:
        """All rows, to be read and overwritten."""
        return self._buffer[: self._n]

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Add rows at the end."""
        n = self._n + len(rows)
        if n > len(self._buffer):
            self._buffer = self._larger(self.x, n)
        self._buffer[self._n : n] = rows
        self._n = n

    def _larger(self, x: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
        out = np.empty((int(self._slack * n) + 256, *x.shape[1:]), x.dtype)
        out[: len(x)] = x
        return out
