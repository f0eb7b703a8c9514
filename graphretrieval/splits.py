"""Leak-free splits: what belongs together stays together, whatever the order of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from graphretrieval.types import Bools, Graph, Ints


def grouped(groups: Ints, shares: Sequence[float], seed: int) -> Ints:
    """A side for every row ``(n,)``; rows of one group land on the same side.

    Args:
        groups: ``(n,)`` group numbers.
        shares: how much each side gets; they add up to one.
        seed: another seed, another split.

    Raises:
        ValueError: the shares do not add up to one.
    """
    if abs(sum(shares) - 1) > 1e-6 or min(shares) < 0:
        raise ValueError(f"the shares {tuple(shares)} do not add up to 1")
    names, member = np.unique(groups, return_inverse=True)
    position = np.array([_uniform(f"{seed}:{name}") for name in names.tolist()])
    edges = np.cumsum(shares)[:-1]
    return np.searchsorted(edges, position, side="right")[member].astype(np.int64)


def _uniform(key: str) -> float:
    """A number in [0, 1) that only the key decides."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) / 2**64


def hold_out(graph: Graph, edges: Ints, share: float, seed: int) -> Bools:
    """Which of these edges are held out ``(len(edges),)``.

    Both directions between two nodes, and all relations between them, go together.
    """
    a, b = graph.src[edges].astype(np.int64), graph.dst[edges].astype(np.int64)
    n = max(1, len(graph.ids))
    pair = np.minimum(a, b) * n + np.maximum(a, b)
    return np.asarray(grouped(pair, (1 - share, share), seed) == 1, np.bool_)
