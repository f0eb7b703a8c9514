"""How good a ranking is: AP, P@K, R@K, NDCG, MRR, each as expected under random order of ties.

Equal scores are not an order: every figure is the mean over all orders of tied items (McSherry &
Najork 2008), so it never depends on the order files were read in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval.types import Array, Bools

CUTS = (1, 5, 10)
# score rows held sorted at once
_CHUNK_CELLS = 20_000_000


def evaluate(
    scores: npt.NDArray[Any], relevance: npt.NDArray[Any], cuts: tuple[int, ...] = CUTS
) -> dict[str, Array]:
    """Per-query values over the whole gallery.

    Args:
        scores: ``(q, g)``, higher first; −inf for items that are not in a query's gallery.
        relevance: ``(q, g)``, 0 or 1.
        cuts: the K of precision, recall and NDCG.

    Returns:
        ``ap``, ``mrr`` and, for each K, ``recall@K`` (the literature's R@K: whether any right
        answer is among the first K), ``precision@K`` and ``ndcg@K``; each ``(q',)`` for the q'
        queries that have a right answer.
    """
    right = np.asarray(relevance, np.bool_) & np.isfinite(scores)
    kept = np.flatnonzero(right.any(axis=1))
    step = max(1, _CHUNK_CELLS // max(1, right.shape[1]))
    parts = [
        _chunk(np.asarray(scores, np.float32)[rows], right[rows], cuts)
        for rows in np.split(kept, range(step, len(kept), step))
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunk(scores: Array, right: Bools, cuts: tuple[int, ...]) -> dict[str, Array]:
    order = np.argsort(-scores, axis=1, kind="stable")
    s = np.take_along_axis(scores, order, axis=1)
    r = np.take_along_axis(right, order, axis=1).astype(np.float64)
    q, g = s.shape
    place = np.arange(g)
    fresh = np.ones((q, g), np.bool_)
    fresh[:, 1:] = s[:, 1:] != s[:, :-1]
    start = np.maximum.accumulate(np.where(fresh, place, 0), axis=1)  # first place of the tie
    last = np.ones((q, g), np.bool_)
    last[:, :-1] = fresh[:, 1:]
    end = np.minimum.accumulate(np.where(last, place, g)[:, ::-1], axis=1)[:, ::-1]
    size = end - start + 1.0
    total = np.concatenate([np.zeros((q, 1)), np.cumsum(r, axis=1)], axis=1)
    before = np.take_along_axis(total, start, axis=1)  # right answers above the tie
    within = np.take_along_axis(total, end + 1, axis=1) - before  # right answers in it
    hit = within / size  # expected relevance of each place
    out = {"ap": _average_precision(place, start, size, before, within, r.sum(axis=1))}
    first = _first_hit(place, start, size, before, within)  # P(the first right answer is here)
    out["mrr"] = (first / (place + 1)).sum(axis=1)
    discount = 1 / np.log2(place + 2)
    for k in cuts:
        out[f"recall@{k}"] = np.minimum(first[:, :k].sum(axis=1), 1)
        out[f"precision@{k}"] = hit[:, :k].sum(axis=1) / k
        ideal = np.cumsum(discount[:k])[np.minimum(r.sum(axis=1).astype(int), min(k, g)) - 1]
        out[f"ndcg@{k}"] = (hit[:, :k] * discount[:k]).sum(axis=1) / ideal
    return {name: np.asarray(value, np.float32) for name, value in out.items()}


def _average_precision(
    place: npt.NDArray[Any],
    start: npt.NDArray[Any],
    size: npt.NDArray[Any],
    before: npt.NDArray[Any],
    within: npt.NDArray[Any],
    total: npt.NDArray[Any],
) -> npt.NDArray[Any]:
    """Expected AP: at place i of a tie, P(right here) · E[right up to here | right here] / rank."""
    i = place - start  # tied items above, on average mixed
    others = np.where(size > 1, i * (within - 1) / np.maximum(size - 1, 1), 0)
    expected = within / size * (before + 1 + others) / (place + 1)
    return np.asarray(expected.sum(axis=1) / total)


def _first_hit(
    place: npt.NDArray[Any],
    start: npt.NDArray[Any],
    size: npt.NDArray[Any],
    before: npt.NDArray[Any],
    within: npt.NDArray[Any],
) -> npt.NDArray[Any]:
    """P(the first right answer stands at this place): only in the first tie that holds one."""
    i = place - start
    mine = (before == 0) & (within > 0)
    # the i items above, of the same tie, are all wrong: falling products of hypergeometrics
    remaining = np.maximum(size - i, 1)
    here = np.where(mine, np.minimum(within / remaining, 1.0), 0.0)
    survive = np.where(mine, 1 - here, 1.0)
    above = np.cumprod(np.concatenate([np.ones((len(here), 1)), survive[:, :-1]], axis=1), axis=1)
    return np.asarray(here * above)


def chance_map(relevance: npt.NDArray[Any]) -> Array:
    """Expected AP of a random order of each row ``(q, g)``: what a ranking must beat."""
    scores = np.zeros(relevance.shape, np.float32)
    return evaluate(scores, relevance)["ap"]


def map_at(scores: npt.NDArray[Any], relevance: npt.NDArray[Any], k: int, divisor: str) -> float:
    """mAP of the first K, with its divisor named, because that alone can double it.

    Args:
        scores: ``(q, g)``, without ties.
        relevance: ``(q, g)``, 0 or 1.
        k: the cut.
        divisor: ``relevant`` (right answers there are, at most K) or ``found`` (those in the
            first K: inflates).

    Raises:
        ValueError: another divisor.
    """
    if divisor not in ("relevant", "found"):
        raise ValueError(f"the divisor is {divisor!r}; choose relevant or found")
    order = np.argsort(-np.asarray(scores), axis=1, kind="stable")[:, :k]
    r = np.take_along_axis(np.asarray(relevance, np.float64), order, axis=1)
    precision = np.cumsum(r, axis=1) / np.arange(1, r.shape[1] + 1)
    total = np.asarray(relevance).sum(axis=1)
    by = np.minimum(total, k) if divisor == "relevant" else r.sum(axis=1)
    ap = (precision * r).sum(axis=1) / np.maximum(by, 1)
    return float(ap[total > 0].mean())


def bootstrap(values: npt.NDArray[Any], *, seed: int = 0, draws: int = 1000) -> tuple[float, float]:
    """95 % percentile interval of a mean over queries (Efron 1979)."""
    means = resampled_means(values, seed=seed, draws=draws)
    lo, hi = np.quantile(means, [0.025, 0.975])
    return float(lo), float(hi)


def paired(
    a: npt.NDArray[Any], b: npt.NDArray[Any], *, seed: int = 0, draws: int = 1000
) -> tuple[float, float, float, float]:
    """Paired bootstrap of mean(a − b) over queries: difference, interval, two-sided p."""
    gap = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    means = resampled_means(gap, seed=seed, draws=draws)
    lo, hi = np.quantile(means, [0.025, 0.975])
    return float(gap.mean()), float(lo), float(hi), two_sided(means)


def resampled_means(
    values: npt.NDArray[Any], *, seed: int = 0, draws: int = 1000
) -> npt.NDArray[np.float64]:
    """Means of ``draws`` samples with replacement ``(draws,)``."""
    rng = np.random.default_rng(seed)
    values = np.asarray(values, np.float64)
    return values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)


def two_sided(means: npt.NDArray[Any]) -> float:
    """Bootstrap p that a mean is not zero, never below what the draws can show."""
    tail = min(float(np.mean(means <= 0)), float(np.mean(means >= 0)))
    return min(1.0, 2 * max(tail, 1 / len(means)))
