"""Score parts → one score: a non-negative weight for each, fitted on held-out queries.

Listwise softmax cross-entropy (ListNet, Cao et al. 2007): with x the parts of a candidate over
their scales, P(candidate | query) = softmax(w · x), w ≥ 0. Where the fused order is not at least
as good as the best part alone on queries it was not fitted on, that part is used alone.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from graphretrieval.types import JSON, Array, Bools, Ints, State

FOLDS = 5
# pulls weights together where few queries say anything
RIDGE = 1e-3
# hits less sure than this are called no match
UNSURE = 0.15
# best candidates of a query that the calibration learns from
_TOP = 5

Floats = npt.NDArray[np.float64]


class FusionRanker:
    """Weighs score parts; a row's contributions add up to its score.

    Args:
        ridge: weight of the penalty ``‖w‖²``.
    """

    def __init__(self, *, ridge: float = RIDGE) -> None:
        self.ridge = ridge
        self.judged: dict[str, JSON] = {}

    def fit(self, parts: Array, relevant: Array, queries: Ints, *, seed: int = 0) -> Self:
        """Learn weights and calibration.

        Args:
            parts: ``(n, p)`` candidates of all queries.
            relevant: ``(n,)`` 0 or 1; queries without a relevant candidate are left out.
            queries: ``(n,)`` query numbers.
            seed: of the folds.
        """
        order = np.argsort(queries, kind="stable")
        x = np.asarray(parts, np.float64)[order]
        right = np.asarray(relevant)[order] > 0
        owner = np.unique(np.asarray(queries)[order], return_inverse=True)[1]
        asked = np.bincount(owner, weights=right)[owner] > 0
        x, right = x[asked], right[asked]
        owner = np.unique(owner[asked], return_inverse=True)[1]
        self.scale_ = (
            np.maximum(np.quantile(np.abs(x), 0.98, axis=0), 1e-6)
            if len(x)
            else (np.ones(parts.shape[1]))
        )
        x = x / self.scale_
        self.weights_ = self._chosen(x, right, owner, seed)
        self._calibrate(x @ self.weights_, right, owner)
        return self

    def _chosen(self, x: Floats, right: Bools, owner: Ints, seed: int) -> Floats:
        """Fitted weights, or the best part alone where fitting does not pay."""
        p = x.shape[1]
        if not len(x):
            return np.full(p, 1 / p)
        single = np.array([_mean_ap(x[:, i], right, owner) for i in range(p)])
        self.judged = {"parts": single.tolist()}
        alone = np.zeros(p)
        alone[int(np.argmax(single))] = 1.0
        fold = np.random.default_rng(seed).integers(0, FOLDS, owner.max() + 1)[owner]
        held = np.zeros(len(x))
        for i in range(FOLDS):
            mine = fold == i
            if mine.any() and not mine.all():
                held[mine] = x[mine] @ self._listnet(x[~mine], right[~mine], owner[~mine], p)
        fused = _mean_ap(held, right, owner)
        self.judged["fused"] = fused
        if fused >= single.max():
            return self._listnet(x, right, owner, p)
        # a temperature of its own keeps the scores comparable with fused ones
        best = int(np.argmax(single))
        sharpness = max(float(self._listnet(x[:, [best]], right, owner, 1)[0]), 1.0)
        return np.asarray(alone * sharpness)

    def _listnet(self, x: Floats, right: Bools, owner: Ints, p: int) -> Floats:
        owner = np.unique(owner, return_inverse=True)[1]
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        target = right / np.bincount(owner, weights=right)[owner]
        q = len(starts)

        def loss(w: Floats) -> tuple[float, Floats]:
            s = x @ w
            s = s - np.maximum.reduceat(s, starts)[owner]
            e = np.exp(s)
            z = np.add.reduceat(e, starts)[owner]
            value = -np.sum(target * (s - np.log(z))) / q + self.ridge * w @ w
            slope = x.T @ (e / z - target) / q + 2 * self.ridge * w
            return float(value), slope

        found = minimize(
            loss,
            np.ones(p),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None)] * p,
            options={"maxiter": 200},
        )
        return np.asarray(found.x)

    def _calibrate(self, score: Floats, right: Bools, owner: Ints) -> None:
        """P(right | score) = 1 / (1 + exp(−(a · score + b))), a ≥ 0 (Platt 1999)."""
        top = _top(score, owner) if len(score) else np.empty(0, np.int64)
        s, r = score[top], right[top].astype(np.float64)
        # Platt's smoothed targets keep the slope finite where all are right or wrong
        t = np.where(r > 0, (r.sum() + 1) / (r.sum() + 2), 1 / (len(r) - r.sum() + 2))

        def loss(ab: Floats) -> tuple[float, Floats]:
            z = ab[0] * s + ab[1]
            value = float(np.sum(np.logaddexp(0, z) - t * z))
            gap = 1 / (1 + np.exp(-np.clip(z, -500, 500))) - t
            return value, np.array([np.sum(gap * s), np.sum(gap)])

        found = minimize(
            loss,
            np.array([1.0, 0.0]),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None), (None, None)],
        )
        self.slope_, self.offset_ = float(found.x[0]), float(found.x[1])

    def weigh(self, parts: Array) -> Array:
        """Contributions ``(n, p)``."""
        return np.asarray(parts * (self.weights_ / self.scale_), np.float32)

    def confidence(self, scores: Array) -> Array:
        """Calibrated probability that a hit of this score is right ``(n,)``."""
        z = self.slope_ * np.asarray(scores, np.float64) + self.offset_
        return np.asarray(1 / (1 + np.exp(-np.clip(z, -500, 500))), np.float32)

    @property
    def threshold(self) -> float:
        """The score under which the best hit is called no match."""
        if self.slope_ <= 1e-9:
            return -np.inf
        return float((np.log(UNSURE / (1 - UNSURE)) - self.offset_) / self.slope_)

    def state(self) -> State:
        """Weights, scales and calibration."""
        arrays = {"weights": self.weights_, "scale": self.scale_}
        calibration = {"slope": self.slope_, "offset": self.offset_}
        return State(arrays, {"ridge": self.ridge, **calibration})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted ranker back."""
        ranker = cls(ridge=state.settings["ridge"])
        ranker.weights_ = np.asarray(state.arrays["weights"])
        ranker.scale_ = np.asarray(state.arrays["scale"])
        ranker.slope_, ranker.offset_ = state.settings["slope"], state.settings["offset"]
        return ranker


def _mean_ap(score: Floats, right: Bools, owner: Ints) -> float:
    """Mean over queries of average precision, ties to the disadvantage of right answers."""
    order = np.lexsort((right, -score, owner))
    r, o = right[order].astype(np.float64), owner[order]
    starts = np.flatnonzero(np.diff(o, prepend=-1))
    size = np.diff(np.append(starts, len(o)))
    rank = np.arange(len(o)) - np.repeat(starts, size) + 1
    total = np.cumsum(r)
    seen = total - np.repeat(total[starts] - r[starts], size)
    ap = np.add.reduceat(seen / rank * r, starts) / np.add.reduceat(r, starts)
    return float(ap.mean())


def _top(score: Floats, owner: Ints) -> Ints:
    """The best few candidates of each query."""
    order = np.lexsort((-score, owner))
    starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
    size = np.diff(np.append(starts, len(order)))
    rank = np.arange(len(order)) - np.repeat(starts, size)
    return order[rank < _TOP]
