"""Score parts → one score: a non-negative weight for each, fitted on held-out queries.

Listwise softmax cross-entropy (ListNet, Cao et al. 2007): with x the parts of a candidate over
their scales, P(candidate | query) = softmax(w · x), w ≥ 0. Weights grow with how surely the
collection knows the query, ``w = u + k v``: words that it holds are evidence beside their meaning,
words that it never saw have no other. New queries' weights lean towards the best part alone where
that surely orders those better that they were not fitted on; parts that repeat what others say are
heard only where queries are surely ordered better with them.

How sure a hit is: a logistic curve (Platt 1999) over its score, its share log P(candidate | query),
which tells a clear winner from one of many, and how surely the query is known, fitted on scores by
weights that were learned from other queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import logsumexp

from graphretrieval.cpus import one_thread
from graphretrieval.types import JSON, Array, Bools, Ints, State

FOLDS = 3
# a weight below this share of the greatest is owed to the chance of few queries; those of new and
# of known queries are apart: a walk from an item to its own links is worth dozens of likenesses
SPECK = 0.1
# how much of a new query's weights the best part may be given for itself, the least first
SHARES = (0.0, 0.5, 0.75, 0.9, 1.0)
# queries known at least so surely are judged apart from the others
SURE = 0.5
# pulls weights together where few queries say anything
RIDGE = 1e-3
# best candidates of a query that the calibration learns from
_TOP = 5
# how often what is asked for is taken not to be there at all
_ABSENT = 0.2

# confidence before anything is learned: the share that softmax gives; few answers move it little
_PRIOR = np.array([0.0, 1.0, 0.0, 0.0])

Floats = npt.NDArray[np.float64]


class FusionRanker:
    """Weighs score parts; a row's contributions add up to its score.

    Args:
        ridge: weight of the penalty ``‖w‖²``.
    """

    def __init__(self, *, ridge: float = RIDGE) -> None:
        self.ridge = ridge
        self.judged: dict[str, JSON] = {}

    def fit(
        self,
        parts: Array,
        relevant: Array,
        queries: Ints,
        known: Array,
        *,
        absent: float = 0.0,
        by_share: bool = True,
        optional: Sequence[Sequence[int]] = (),
        seed: int = 0,
    ) -> Self:
        """Learn weights and calibration.

        Args:
            parts: ``(n, p)`` candidates of all queries.
            relevant: ``(n,)`` 0 or 1; queries without a relevant candidate are left out.
            queries: ``(n,)`` query numbers.
            known: ``(n,)`` from 0 to 1, how surely each candidate's query is known.
            absent: how often a query's answer is not there for each time that it is; 1 in 5 at
                least.
            by_share: whether its share among the query's candidates tells how sure one is; not
                where there may be few.
            optional: groups of columns, each heard only where it surely helps beside those before.
            seed: of the folds.
        """
        order = np.argsort(queries, kind="stable")
        x = np.asarray(parts, np.float64)[order]
        k = np.asarray(known, np.float64)[order]
        right = np.asarray(relevant)[order] > 0
        owner = np.unique(np.asarray(queries)[order], return_inverse=True)[1]
        asked = np.bincount(owner, weights=right)[owner] > 0
        x, k, right = x[asked], k[asked], right[asked]
        owner = np.unique(owner[asked], return_inverse=True)[1]
        self.scale_ = _scale(x, owner)
        x = x / self.scale_
        if not len(x):
            self.weights_, held = np.full((2, x.shape[1]), 1 / max(1, x.shape[1])), np.empty(0)
        else:
            single = np.stack([_ap(part, right, owner) for part in x.T])  # (p, q)
            heard = np.ones(x.shape[1], np.bool_)
            heard[[c for group in optional for c in group]] = False
            chosen = self._chosen(x * heard, single * heard[:, None], k, right, owner, seed)
            for group in optional:
                if x[:, list(group)].any():
                    more = heard.copy()
                    more[list(group)] = True
                    tried = self._chosen(x * more, single * more[:, None], k, right, owner, seed)
                    if better_on_average(tried[2], chosen[2]):
                        chosen, heard = tried, more
            self.weights_, held, fused = chosen
            self.judged = {"parts": single.mean(axis=1).tolist(), "fused": float(fused.mean())}
        self._calibrate(held, k, right, owner, max(absent, _ABSENT), by_share)
        return self

    def _between(self, known: Floats | float) -> Floats:
        """w ``(n, p)`` or ``(1, p)`` for each k."""
        k = np.clip(np.reshape(known, (-1, 1)), 0, 1)
        return np.asarray(self.weights_[0] + k * self.weights_[1])

    def _chosen(
        self, x: Floats, single: Floats, k: Floats, right: Bools, owner: Ints, seed: int
    ) -> tuple[Floats, Floats, Floats]:
        """Fitted weights ``(2, p)``, or the best part alone where fitting does not pay.

        ``single`` is the average precision of each part alone ``(p, q)``. Returns also scores
        ``(n,)`` by weights that were fitted without the query, and their average precision ``(q,)``
        before any leaning.
        """
        p = x.shape[1]
        both = np.hstack([x, x * k[:, None]])
        fold = np.random.default_rng(seed).integers(0, FOLDS, owner.max() + 1)[owner]
        held = np.zeros(len(x))
        for i in range(FOLDS):
            mine = fold == i
            if mine.any() and not mine.all():
                held[mine] = both[mine] @ self._listnet(both[~mine], right[~mine], owner[~mine])
        fused = _ap(held, right, owner)
        out = np.reshape(self._listnet(both, right, owner), (2, p))
        out[out < SPECK * out.max(axis=1, keepdims=True)] = 0
        new = k[np.flatnonzero(np.diff(owner, prepend=-1))] < SURE  # (q,)
        if new.any():
            best = int(np.argmax(single[:, new].mean(axis=1)))
            # as sharp as the fused score is, so that scores stay comparable
            alone = np.eye(p)[best] * max(float(out[0].sum()), 1.0)
            judged = [_ap((1 - t) * held + t * (x @ alone), right, owner)[new] for t in SHARES]
            lead = int(np.argmax([ap.mean() for ap in judged]))
            share = SHARES[lead] if better_on_average(judged[lead], judged[0]) else 0.0
            leant = share * (alone - out[0])
            out += [leant, -leant]  # of a query that is known nothing changes
            held += (1 - k) * (x @ leant)
        return out, held, fused

    def _listnet(self, x: Floats, right: Bools, owner: Ints) -> Floats:
        """u and v, one behind the other ``(2p,)``."""
        owner = np.unique(owner, return_inverse=True)[1]
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        target = right / np.bincount(owner, weights=right)[owner]
        q = len(starts)

        def loss(w: Floats) -> tuple[float, Floats]:
            s = x @ w
            s = s - np.maximum.reduceat(s, starts)[owner]
            e = np.exp(s)
            z = np.add.reduceat(e, starts)[owner]
            value = float(-np.sum(target * (s - np.log(z))) / q + self.ridge * w @ w)
            return value, x.T @ (e / z - target) / q + 2 * self.ridge * w

        with one_thread():  # a dozen weights: threads would only wait for each other
            found = minimize(
                loss,
                np.ones(x.shape[1]),
                jac=True,
                method="L-BFGS-B",
                bounds=[(0, None)] * x.shape[1],
                options={"maxiter": 100},
            )
        return np.asarray(found.x)

    def _calibrate(
        self,
        score: Floats,
        known: Floats,
        right: Bools,
        owner: Ints,
        absent: float,
        by_share: bool,
    ) -> None:
        """P(right | evidence) by logistic regression; what scores more is never less sure.

        Each query asks once more as if its answers were not there, so that a clear winner among
        poor candidates is not taken for an answer.
        """
        rest = ~right
        parts = [
            _shown(score, known, right, owner),
            _shown(score[rest], known[rest], right[rest], owner[rest]),
        ]
        said, r = (np.concatenate(x) for x in zip(*parts, strict=True))
        prior = _PRIOR
        if not by_share:
            said[:, 1], prior = 0, np.array([1.0, 0.0, 0.0, 0.0])
        weight = np.repeat((1.0, absent), [len(x) for x, _ in parts])
        # Platt's smoothed targets keep the slope finite where all are right or wrong
        t = np.where(r > 0, (r.sum() + 1) / (r.sum() + 2), 1 / (len(r) - r.sum() + 2))

        def loss(w: Floats) -> tuple[float, Floats]:
            z = said @ w
            value = float(np.sum(weight * (np.logaddexp(0, z) - t * z)))
            gap = weight * (1 / (1 + np.exp(-np.clip(z, -500, 500))) - t)
            off = (w - prior) * [1, 1, 1, 0]
            return value + float(off @ off), gap @ said + 2 * off

        found = minimize(
            loss,
            prior,
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None), (0, None), (None, None), (None, None)],
        )
        self.calibration_ = np.asarray(found.x)

    def weigh(self, parts: Array, known: Array | float) -> Array:
        """Contributions ``(n, p)``; ``known`` is one number, or one for each row."""
        k = np.asarray(known, np.float64)
        return np.asarray(parts * (self._between(k) / self.scale_), np.float32)

    def log_odds(self, scores: Array, known: float) -> tuple[float, float]:
        """Slope and level of the calibration of one query's candidates.

        Args:
            scores: ``(n,)`` of all candidates of the query.
            known: how surely the query is known.
        """
        score = np.asarray(scores, np.float64)
        by_score, by_share, by_known, level = map(float, self.calibration_)
        spread = float(logsumexp(score)) if len(score) else 0.0
        level += by_known * float(np.clip(known, 0, 1)) - by_share * spread
        return by_score + by_share, level

    def state(self) -> State:
        """Weights, scales and calibration."""
        arrays = {"weights": self.weights_, "scale": self.scale_, "calibration": self.calibration_}
        return State(arrays, {"ridge": self.ridge})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted ranker back."""
        ranker = cls(ridge=state.settings["ridge"])
        ranker.weights_ = np.asarray(state.arrays["weights"])
        ranker.scale_ = np.asarray(state.arrays["scale"])
        ranker.calibration_ = np.asarray(state.arrays["calibration"])
        return ranker


def _shown(score: Floats, known: Floats, right: Bools, owner: Ints) -> tuple[Floats, Floats]:
    """Evidence of the best few of each query, and which are right, 0 or 1."""
    top = _top(score, owner) if len(score) else np.empty(0, np.int64)
    return _evidence(score, known, owner)[top], right[top].astype(np.float64)


def _evidence(score: Floats, known: Floats, owner: Ints) -> Floats:
    """What confidence is told by ``(n, 4)``: score, log share among its query's, known, and one.

    Candidates of one query stand together.
    """
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    size = np.diff(np.append(starts, len(owner)))
    if not len(score):
        return np.empty((0, 4))
    best = np.repeat(np.maximum.reduceat(score, starts), size)
    spread = np.log(np.add.reduceat(np.exp(score - best), starts))
    share = score - best - np.repeat(spread, size)
    return np.stack([score, share, known, np.ones_like(score)], axis=1)


def _scale(x: Floats, owner: Ints) -> Floats:
    """The mean of each part's greatest value for a query: most parts are 0 nearly everywhere."""
    if not len(x):
        return np.ones(x.shape[1])
    best = np.maximum.reduceat(np.abs(x), np.flatnonzero(np.diff(owner, prepend=-1)), axis=0)
    said = np.maximum((best > 0).sum(axis=0), 1)
    return np.where(best.any(axis=0), best.sum(axis=0) / said, 1.0)


def better_on_average(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> bool:
    """Whether a's mean is above b's by more than its standard error."""
    gap = a - b
    return bool(gap.mean() > gap.std() / np.sqrt(len(gap)) and gap.mean() > 0)


def _ap(score: Floats, right: Bools, owner: Ints) -> Floats:
    """Average precision of each query ``(q,)``, ties to the disadvantage of right answers."""
    order = np.lexsort((right, -score, owner))
    r, o = right[order].astype(np.float64), owner[order]
    starts = np.flatnonzero(np.diff(o, prepend=-1))
    size = np.diff(np.append(starts, len(o)))
    rank = np.arange(len(o)) - np.repeat(starts, size) + 1
    total = np.cumsum(r)
    seen = total - np.repeat(total[starts] - r[starts], size)
    ap = np.add.reduceat(seen / rank * r, starts) / np.add.reduceat(r, starts)
    return np.asarray(ap)


def _top(score: Floats, owner: Ints) -> Ints:
    """The best few candidates of each query."""
    order = np.lexsort((-score, owner))
    starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
    size = np.diff(np.append(starts, len(order)))
    rank = np.arange(len(order)) - np.repeat(starts, size)
    return order[rank < _TOP]
