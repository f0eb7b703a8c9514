"""How good a ranking is: AP, P@K, R@K, NDCG, MRR, each as expected under random order of ties.

Equal scores are not an order: every figure is the mean over all orders of tied items (McSherry &
Najork, "Computing information retrieval performance measures efficiently in the presence of tied
scores", 2008), so it never depends on the order files were read in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval.errors import ConfigError, InputRefused
from graphretrieval.types import JSON, Array, Bools, Ints

Floats = npt.NDArray[np.float64]

CUTS = (1, 5, 10)
# of confidence, as reliability is told
BINS = 10
# cells of the score matrix (or of a bootstrap's draws) worked on at once: about 200 MB
_CHUNK_CELLS = 2_000_000


@dataclass(frozen=True)
class _Sorted:
    """Rankings, best first, where each place knows the tie it stands in; all ``(q, g)``."""

    place: Ints  # (g,): 0, 1, …
    start: Ints  # first place of the tie
    size: Floats  # how many items share the score
    before: Floats  # right answers above the tie
    within: Floats  # right answers in the tie
    gain: Floats  # expected relevance of the place
    ideal: Floats  # relevance in the best order there could be
    total: Floats  # (q,): right answers of the query


def evaluate(
    scores: npt.NDArray[Any], relevance: npt.NDArray[Any], cuts: Sequence[int] = CUTS
) -> dict[str, Array]:
    """Per-query values over the whole gallery.

    Args:
        scores: ``(q, g)``, higher first; −inf for items that are not in a query's gallery.
        relevance: ``(q, g)``, 0 or 1; greater than 1 counts as 1 except in NDCG, where it is the
            gain.
        cuts: the K of precision, recall and NDCG.

    Returns:
        Values ``(q',)`` for the q' :func:`answerable` queries, in order: ``ap``, ``mrr`` and, for
        each K, ``recall@K`` (whether any right answer is among the first K: R@K as papers on
        captions report it), ``found@K`` (the share of its right answers among the first K: the
        textbook's recall), ``precision@K`` and ``ndcg@K``.

    Raises:
        InputRefused: a score is not a number, or the shapes differ.
    """
    parts = [_measured(s, gain, cuts) for s, gain in _chunks(scores, relevance)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def answerable(scores: npt.NDArray[Any], relevance: npt.NDArray[Any]) -> Bools:
    """Which queries have a right answer in their gallery ``(q,)``; the others are left out.

    Raises:
        InputRefused: a score is not a number, or the shapes differ.
    """
    scores, relevance = np.asarray(scores), np.asarray(relevance)
    if scores.shape != relevance.shape or scores.ndim != 2:
        raise InputRefused(
            f"scores are {scores.shape}, but relevance is {relevance.shape}",
            remedy="give both as (queries, gallery)",
        )
    if np.isnan(scores).any():
        raise InputRefused(
            f"{int(np.isnan(scores).sum())} scores are not a number",
            remedy="give −inf to items that are not in a query's gallery",
        )
    return np.asarray(((relevance > 0) & (scores > -np.inf)).any(axis=1), np.bool_)


def summary(values: Mapping[str, npt.NDArray[Any]]) -> dict[str, float]:
    """Means over queries of what :func:`evaluate` returned; 0 where no query had an answer."""
    return {name: float(np.mean(v)) if len(v) else 0.0 for name, v in values.items()}


def chance_map(relevance: npt.NDArray[Any]) -> Array:
    """Expected AP of a random order, for each row of ``(q, g)`` that has a right answer.

    With R of n items right: E[AP] = (H + (R − 1)/(n − 1) · (n − H)) / n, H the n-th harmonic
    number: at rank i, one of n chances to be right there, and (i − 1)(R − 1)/(n − 1) right
    answers expected above.
    """
    right = np.asarray(relevance) > 0
    n = right.shape[1]
    total = right.sum(axis=1)
    total = total[total > 0]
    harmonic = np.sum(1 / np.arange(1, n + 1))
    others = (total - 1) / max(n - 1, 1)
    return np.asarray((harmonic + others * (n - harmonic)) / max(n, 1), np.float32)


def hubness(scores: npt.NDArray[Any], k: int = 10) -> float:
    """Skewness of how often each item is among the first k ``(q, g)``; 0 where all are alike.

    Radovanović et al. 2010, "Hubs in space": the greater, the more a few items crowd out the rest.
    """
    scores = np.asarray(scores)
    k = min(k, scores.shape[1])
    if not k or not len(scores):
        return 0.0
    first = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    often = np.bincount(first.ravel(), minlength=scores.shape[1]).astype(np.float64)
    spread = often.std()
    return float(np.mean((often - often.mean()) ** 3) / spread**3) if spread else 0.0


def map_at(scores: npt.NDArray[Any], relevance: npt.NDArray[Any], k: int, divisor: str) -> float:
    """mAP of the first K, with its divisor named, because that alone can double it.

    Args:
        scores: ``(q, g)``, as for :func:`evaluate`.
        relevance: ``(q, g)``, 0 or 1.
        k: the cut.
        divisor: ``relevant``: the right answers there are, at most K. ``found``: those expected
            among the first K, which flatters rankings that find little; 0 where none is.

    Raises:
        ConfigError: another divisor.
        InputRefused: a score is not a number, or the shapes differ.
    """
    if divisor not in ("relevant", "found"):
        raise ConfigError(f"the divisor is {divisor!r}", remedy="choose relevant or found")
    parts = []
    for s, gain in _chunks(scores, relevance):
        ranked = _sorted(s, gain)
        precision = _expected_precision(ranked)[:, :k].sum(axis=1)
        found = (ranked.within / ranked.size)[:, :k].sum(axis=1)
        by = np.minimum(ranked.total, k) if divisor == "relevant" else found
        parts.append(precision / np.where(by > 0, by, 1))
    values = np.concatenate(parts)
    return float(values.mean()) if len(values) else 0.0


def bootstrap(values: npt.NDArray[Any], *, seed: int = 0, draws: int = 1000) -> tuple[float, float]:
    """95 % percentile interval of a mean over queries (Efron 1979)."""
    return interval(resampled_means(values, seed=seed, draws=draws))


def paired(
    a: npt.NDArray[Any], b: npt.NDArray[Any], *, seed: int = 0, draws: int = 1000
) -> tuple[float, float, float, float]:
    """Paired bootstrap of mean(a − b) over queries: difference, 95 % interval, two-sided p."""
    gap = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    means = resampled_means(gap, seed=seed, draws=draws)
    return float(gap.mean()), *interval(means), two_sided(means)


def resampled_means(values: npt.NDArray[Any], *, seed: int = 0, draws: int = 1000) -> Floats:
    """Means of ``draws`` samples with replacement ``(draws,)``.

    Raises:
        InputRefused: there is nothing to draw from.
    """
    values = np.asarray(values, np.float64)
    n = len(values)
    if not n:
        raise InputRefused("there are no values to resample", remedy="give at least one query's")
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_CELLS // n)
    sizes = [min(step, draws - first) for first in range(0, draws, step)]
    return np.concatenate([values[rng.integers(0, n, (d, n))].mean(axis=1) for d in sizes])


def interval(means: npt.NDArray[Any]) -> tuple[float, float]:
    """The middle 95 % of resampled means."""
    lo, hi = np.quantile(means, [0.025, 0.975])
    return float(lo), float(hi)


def two_sided(means: npt.NDArray[Any]) -> float:
    """Bootstrap p that a mean is not zero, never below what the draws can show."""
    tail = min(float(np.mean(means <= 0)), float(np.mean(means >= 0)))
    return min(1.0, 2 * max(tail, 1 / len(means)))


def bin_of(said: npt.NDArray[Any]) -> Ints:
    """Which of the ten bins of confidence each probability is in ``(n,)``."""
    return np.asarray(np.minimum((said * BINS).astype(np.int64), BINS - 1))


def reliability(said: npt.NDArray[Any], right: npt.NDArray[Any]) -> dict[str, JSON]:
    """How often what was said with some confidence is right, in ten bins of confidence.

    Args:
        said: ``(n,)`` probabilities.
        right: ``(n,)``.

    Returns:
        ``bins`` that are not empty: ``from``, ``to``, how many ``pairs``, the mean ``said`` and
        the share ``right``; and the ``expected_calibration_error``, the mean distance of these two
        (Naeini et al. 2015), over all ``pairs``.
    """
    place = bin_of(said)
    rows: list[dict[str, JSON]] = []
    off = 0.0
    for i in range(BINS):
        mine = place == i
        if mine.any():
            mean, share = float(said[mine].mean()), float(right[mine].mean())
            rows.append(
                {
                    "from": i / BINS,
                    "to": (i + 1) / BINS,
                    "pairs": int(mine.sum()),
                    "said": round(mean, 4),
                    "right": round(share, 4),
                }
            )
            off += abs(mean - share) * int(mine.sum()) / len(said)
    return {"bins": rows, "expected_calibration_error": round(off, 4), "pairs": len(said)}


def _chunks(
    scores: npt.NDArray[Any], relevance: npt.NDArray[Any]
) -> Iterator[tuple[npt.NDArray[Any], Floats]]:
    """Scores and gains of the answerable queries, a bounded number of cells at a time."""
    scores, relevance = np.asarray(scores), np.asarray(relevance)
    kept = np.flatnonzero(answerable(scores, relevance))
    if scores.dtype.kind != "f":  # counts and bits have no −inf and cannot be negated
        scores = scores.astype(np.float64)
    step = max(1, _CHUNK_CELLS // max(1, scores.shape[1]))
    for rows in np.split(kept, range(step, len(kept), step)):
        s = scores[rows]
        yield s, np.where(s > -np.inf, np.maximum(relevance[rows], 0), 0).astype(np.float64)


def _sorted(scores: npt.NDArray[Any], gain: Floats) -> _Sorted:
    order = np.argsort(-scores, axis=1)
    s = np.take_along_axis(scores, order, axis=1)
    gain = np.take_along_axis(gain, order, axis=1)
    start, end = _ties(s)
    size = (end - start + 1).astype(np.float64)
    before, within = _inside(gain > 0, start, end)
    _, gains = _inside(gain, start, end)
    ideal = -np.sort(-gain, axis=1)
    place = np.arange(s.shape[1])
    return _Sorted(place, start, size, before, within, gains / size, ideal, (gain > 0).sum(axis=1))


def _ties(s: npt.NDArray[Any]) -> tuple[Ints, Ints]:
    """First and last place of the run of equal values around each place ``(q, g)``."""
    place = np.arange(s.shape[1])
    fresh = np.ones(s.shape, np.bool_)
    fresh[:, 1:] = s[:, 1:] != s[:, :-1]
    last = np.ones(s.shape, np.bool_)
    last[:, :-1] = fresh[:, 1:]
    start = np.maximum.accumulate(np.where(fresh, place, 0), axis=1)
    end = np.minimum.accumulate(np.where(last, place, len(place))[:, ::-1], axis=1)[:, ::-1]
    return start, end


def _inside(values: npt.NDArray[Any], start: Ints, end: Ints) -> tuple[Floats, Floats]:
    """Sums of ``values`` above the tie of each place, and within it."""
    total = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=total[:, 1:])
    before = np.take_along_axis(total, start, axis=1)
    return before, np.take_along_axis(total, end + 1, axis=1) - before


def _measured(scores: npt.NDArray[Any], gain: Floats, cuts: Sequence[int]) -> dict[str, Array]:
    ranked = _sorted(scores, gain)
    right = ranked.within / ranked.size  # expected share of right answers at each place
    first = _first_hit(ranked)
    discount = 1 / np.log2(ranked.place + 2)
    out = {
        "ap": _expected_precision(ranked).sum(axis=1) / ranked.total,
        "mrr": (first / (ranked.place + 1)).sum(axis=1),
    }
    for k in cuts:
        found = right[:, :k].sum(axis=1)
        out[f"recall@{k}"] = np.minimum(first[:, :k].sum(axis=1), 1)
        out[f"found@{k}"] = found / ranked.total
        out[f"precision@{k}"] = found / k
        best = ranked.ideal[:, :k] @ discount[:k]
        out[f"ndcg@{k}"] = ranked.gain[:, :k] @ discount[:k] / best
    return {name: np.asarray(value, np.float32) for name, value in out.items()}


def _expected_precision(ranked: _Sorted) -> Floats:
    """E[right at a place · precision there]: the terms that average precision adds up.

    At place i of a tie of s items, r of them right: r/s · (before + 1 + i·(r − 1)/(s − 1)) / rank.
    """
    i = ranked.place - ranked.start
    above = i * (ranked.within - 1) / np.maximum(ranked.size - 1, 1)
    right = ranked.within / ranked.size
    return np.asarray(right * (ranked.before + 1 + above) / (ranked.place + 1))


def _first_hit(ranked: _Sorted) -> Floats:
    """P(the first right answer stands at this place): only in the first tie that holds one."""
    mine = (ranked.before == 0) & (ranked.within > 0)
    # drawn without replacement: the tied items above were all wrong
    left = ranked.size - (ranked.place - ranked.start)
    here = np.where(mine, np.minimum(ranked.within / left, 1.0), 0.0)
    missed = np.ones_like(here)
    missed[:, 1:] = np.cumprod(1 - here[:, :-1], axis=1)
    return here * missed
