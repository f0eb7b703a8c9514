"""Leak-free splits: what belongs together stays together, whatever the order of rows.

A side is decided by a hash of the group's name and the seed, never by a position: a collection
that grows keeps the sides it had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from graphretrieval.errors import ConfigError
from graphretrieval.types import Bools, Graph, Ints


def grouped(groups: Ints | Sequence[str], shares: Sequence[float], seed: int) -> Ints:
    """A side for every row ``(n,)``; rows of one group land on the same side.

    Args:
        groups: ``(n,)`` group numbers or names.
        shares: how much each side gets, of many groups; they add up to one.
        seed: another seed, another split.

    Raises:
        ConfigError: the shares do not add up to one, or one is negative.
    """
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    return _sides([str(name) for name in names.tolist()], shares, seed)[member]


def hold_out(
    graph: Graph, edges: Ints, share: float, seed: int, *, groups: Ints | None = None
) -> Bools:
    """Which of these edges are held out ``(len(edges),)``.

    Both directions between two nodes, and all relations between them, go together.

    Args:
        graph: n nodes.
        edges: positions of the edges to choose from.
        share: of the linked pairs, about.
        seed: another seed, another choice.
        groups: ``(n,)`` numbers of nodes that say the same (:func:`components`): edges between
            the same two groups go together, so that no twin of a held-out edge gives it away.

    Raises:
        ConfigError: the share is not between 0 and 1.
    """
    node = np.arange(len(graph.ids)) if groups is None else _first_of_group(groups)
    return np.asarray(_sides_of_pairs(graph, edges, node, (1 - share, share), seed) == 1, np.bool_)


def folds(graph: Graph, count: int, seed: int) -> list[Bools]:
    """All edges in so many parts ``(m,)`` each, every edge in one.

    Both directions between two nodes, and all relations between them, go together.
    """
    edges, node = np.arange(len(graph.src)), np.arange(len(graph.ids))
    side = _sides_of_pairs(graph, edges, node, (1 / count,) * count, seed)
    return [np.asarray(side == i, np.bool_) for i in range(count)]


def components(graph: Graph, edges: Ints, contents: Sequence[str | None] | None = None) -> Ints:
    """Which nodes hang together ``(n,)``: a group's number is the lowest row in it.

    Args:
        graph: n nodes.
        edges: positions of the edges that tie nodes together.
        contents: ``(n,)``; nodes of equal content (a text, a hash) are twins and hang together,
            ``None`` is like nothing else.
    """
    n = len(graph.ids)
    a, b = graph.src[edges].astype(np.int64), graph.dst[edges].astype(np.int64)
    if contents is not None:
        first: dict[str, int] = {}
        twin = [i if c is None else first.setdefault(c, i) for i, c in enumerate(contents)]
        a, b = np.concatenate([a, np.arange(n)]), np.concatenate([b, np.array(twin, np.int64)])
    matrix = csr_matrix((np.ones(len(a), np.bool_), (a, b)), (n, n))
    return _first_of_group(connected_components(matrix, directed=False)[1])


def _sides_of_pairs(
    graph: Graph, edges: Ints, node: Ints, shares: Sequence[float], seed: int
) -> Ints:
    """A side for each edge; ``node[row]`` stands for the row, so that twins go together."""
    n = max(1, len(graph.ids))
    a, b = node[graph.src[edges]], node[graph.dst[edges]]
    pair, member = np.unique(np.minimum(a, b) * n + np.maximum(a, b), return_inverse=True)
    # ids hold no line break
    names = [f"{graph.ids[p // n]}\n{graph.ids[p % n]}" for p in pair.tolist()]
    return _sides(names, shares, seed)[member]


def _first_of_group(groups: Ints) -> Ints:
    """For each row the first row of its group ``(n,)``."""
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    return first[member].astype(np.int64)


def _sides(names: Sequence[str], shares: Sequence[float], seed: int) -> Ints:
    if not len(shares) or abs(sum(shares) - 1) > 1e-6 or min(shares) < 0:
        raise ConfigError(
            f"the shares {tuple(shares)} do not add up to 1", remedy="give shares between 0 and 1"
        )
    position = np.array([_uniform(f"{seed}:{name}") for name in names])
    return np.searchsorted(np.cumsum(shares)[:-1], position, side="right").astype(np.int64)


def _uniform(key: str) -> float:
    """A number in [0, 1) that only the key decides."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) / 2**64
