"""By which blocks a query is likened to items of its own modality, where its walks begin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphretrieval.arrays import normalise
from graphretrieval.rankers.fusion import better_on_average
from graphretrieval.retriever.model import PROBABILITIES
from graphretrieval.types import Array, Bools


def compared(raw: Mapping[str, Array]) -> list[str]:
    """The blocks that items are likened by: probabilities only where there is nothing else."""
    return [b for b in raw if b != PROBABILITIES] or list(raw)


def joined(raw: Mapping[str, Array], weights: Mapping[str, float] | None = None) -> Array:
    """Blocks at unit length, side by side: the inner product is their mean cosine.

    Queries that weigh blocks otherwise have it in their lengths.
    """
    blocks = compared(raw)
    n = len(blocks)
    weights = weights or {}
    used = [normalise(raw[b]) * np.float32(n * weights.get(b, 1 / n)) for b in blocks]
    return np.asarray(np.concatenate(used, axis=1) / np.sqrt(n), np.float32)


def choose(cosines: Array, right: Bools) -> Array | None:
    """Weights of blocks ``(b,)``, summing to 1, that find like items sooner than even ones.

    Args:
        cosines: ``(b, q, g)``, of each block.
        right: ``(q, g)``: which items are like each query; every query has one.

    Returns:
        The best of a few mixtures, or ``None`` where none surely beats even weights.
    """

    def found(weights: Array) -> Array:
        """How soon each query meets the first that is right, 1 / rank ``(q,)``."""
        scores = np.tensordot(weights, cosines, 1)
        best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
        return np.asarray(1 / (1 + (scores > best).sum(axis=1)))

    even, *others = _mixtures(len(cosines))
    if not others:
        return None
    tried = [found(weights) for weights in others]
    lead = int(np.argmax([ranks.mean() for ranks in tried]))
    return others[lead] if better_on_average(tried[lead], found(even)) else None


def _mixtures(blocks: int) -> list[Array]:
    """Even weights, then each block alone, then half of each with the even ones."""
    even = np.full(blocks, 1 / blocks, np.float32)
    if blocks < 2:
        return [even]
    alone = np.eye(blocks, dtype=np.float32)
    return [even, *alone, *(0.5 * (alone + even))]
