"""Semantic matching: each modality's items as probabilities of the collection's categories.

Rasiwasia et al. 2010: one calibrated classifier per modality; the inner product of two posteriors,
Σ_c p(c | a) p(c | b), is the probability that two items share a category. The temperature of the
greatest likelihood is also within .001 of the best for ranking, so there is no other sharpening.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils.extmath import randomized_svd

from graphretrieval.aligners.least_squares import Classifier, learn
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.protocols import Progress, silent
from graphretrieval.types import Array, Ints, State, Supervision

FOLDS = 10
LEAST = 2  # labelled rows that a category needs in a modality
LEARNED = ("mean", "landmarks", "weights", "bias")
NUMBERS = ("scale", "width", "temperature")


class PosteriorAligner:
    """Category probabilities as the common space.

    Args:
        widest: more categories than this are projected to as many columns.
        per_category: rows a category that are learned from, at most.
        rows: rows a modality that are learned from, at most.
    """

    def __init__(self, *, widest: int = 256, per_category: int = 200, rows: int = 6000) -> None:
        self.widest = widest
        self.per_category = per_category
        self.rows = rows
        self.classifiers_: dict[str, Classifier] = {}
        self.columns_: dict[str, Ints] = {}
        self.project_: Array | None = None
        self.categories_ = 0

    @property
    def dim(self) -> int:
        """Columns of ``embed``: the categories, or ``widest`` if they are more.

        Raises:
            NotFitted: nothing was learned yet.
        """
        self._require_fitted()
        return self.categories_ if self.project_ is None else self.project_.shape[1]

    def fit(
        self,
        features: Mapping[str, Array],
        supervision: Supervision,
        *,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn one classifier for each modality in which two categories have two items each.

        Raises:
            NothingToLearn: there is no such modality.
        """
        groups = _groups(features, supervision)
        honest = []
        todo = [m for m in features if m in supervision.labels]
        for i, modality in enumerate(todo):
            progress(i, len(todo), f"learning the categories of {modality}")
            labels = _trained_on(supervision, modality)
            self.categories_ = labels.shape[1]
            columns = np.flatnonzero((labels > 0).sum(0) >= LEAST)
            if len(columns) < 2:
                continue
            rng = np.random.default_rng(seed)
            chosen = _choose(labels[:, columns] > 0, self.per_category, self.rows, rng)
            targets = labels[np.ix_(chosen, columns)]
            folds = _folds(groups[modality][chosen], targets.argmax(1), rng)
            targets = targets / targets.sum(1, keepdims=True)
            classifier, left_out = learn(features[modality][chosen], targets, folds, seed=seed)
            self.classifiers_[modality] = classifier
            self.columns_[modality] = columns
            honest.append(_spread(left_out, columns, self.categories_))
        if not honest:
            raise NothingToLearn(
                f"no modality has two categories with {LEAST} labelled items each",
                remedy="put items into at least two categories, or use an aligner that needs none",
            )
        if self.categories_ > self.widest:
            self.project_ = _axes(np.vstack(honest), self.widest, seed)
        return self

    def embed(self, modality: str, features: Array) -> Array:
        """Posteriors ``(n, dim)``; zeros for a modality that was not fitted.

        Raises:
            NotFitted: nothing was learned yet.
        """
        self._require_fitted()
        if modality not in self.classifiers_ or len(features) == 0:
            return np.zeros((len(features), self.dim), np.float32)
        x = np.asarray(features, np.float32)
        known = self.classifiers_[modality].probabilities(x)
        posteriors = _spread(known, self.columns_[modality], self.categories_)
        return posteriors if self.project_ is None else posteriors @ self.project_

    def state(self) -> State:
        """Each modality's classifier, and the projection if there is one.

        Raises:
            NotFitted: nothing was learned yet.
        """
        self._require_fitted()
        arrays: dict[str, npt.NDArray[Any]] = {}
        numbers: dict[str, dict[str, float]] = {}
        for modality, classifier in self.classifiers_.items():
            arrays |= {f"{modality}.{name}": getattr(classifier, name) for name in LEARNED}
            arrays[f"{modality}.columns"] = self.columns_[modality]
            numbers[modality] = {name: getattr(classifier, name) for name in NUMBERS}
        if self.project_ is not None:
            arrays["project"] = self.project_
        settings = {"widest": self.widest, "per_category": self.per_category, "rows": self.rows}
        learned = {"categories": self.categories_, "classifiers": numbers}
        return State(arrays, {"settings": settings, **learned})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted aligner back from its state."""
        aligner = cls(**state.settings["settings"])
        aligner.categories_ = int(state.settings["categories"])
        for modality, numbers in state.settings["classifiers"].items():
            learned: dict[str, Any] = {n: state.arrays[f"{modality}.{n}"] for n in LEARNED}
            aligner.classifiers_[modality] = Classifier(**learned, **numbers)
            aligner.columns_[modality] = state.arrays[f"{modality}.columns"]
        aligner.project_ = state.arrays.get("project")
        return aligner

    def _require_fitted(self) -> None:
        if not self.classifiers_:
            raise NotFitted(
                "the posterior aligner was used before it learned any category",
                remedy="call fit, or load a model",
            )


def _trained_on(supervision: Supervision, modality: str) -> Array:
    labels = np.asarray(supervision.labels[modality], np.float32)
    held = supervision.validation.get(modality)
    return labels if held is None else np.where(held[:, None], 0, labels)


def _groups(features: Mapping[str, Array], supervision: Supervision) -> dict[str, Ints]:
    """Items linked by any chain of pairs get one number: the captions of one picture, say."""
    start, total = {}, 0
    for modality, x in features.items():
        start[modality] = total
        total += len(x)
    a, b = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for (first, second), pairs in supervision.pairs.items():
        if first in start and second in start and len(pairs):
            a.append(pairs[:, 0] + start[first])
            b.append(pairs[:, 1] + start[second])
    rows, columns = np.concatenate(a), np.concatenate(b)
    linked = coo_array((np.ones(len(rows)), (rows, columns)), shape=(total, total))
    _, group = connected_components(linked, directed=False)
    return {m: group[start[m] : start[m] + len(x)].astype(np.int64) for m, x in features.items()}


def _choose(member: npt.NDArray[np.bool_], each: int, limit: int, rng: np.random.Generator) -> Ints:
    """Labelled rows, ascending: at most ``each`` a category and ``limit`` in all, by lot."""
    rank = rng.permutation(len(member))
    order = np.argsort(rank)
    # a row stays if it is among the first `each` of any category it belongs to
    place = np.cumsum(member[order], axis=0)  # (n, c)
    stays = (member[order] & (place <= each)).any(1)
    rows = order[stays]
    if len(rows) > limit:
        # the rarest categories' rows first, so that none is lost
        earliest = np.where(member[rows], np.cumsum(member[rows], axis=0), len(rows)).min(1)
        rows = rows[np.argsort(earliest, kind="stable")[:limit]]
    return np.sort(rows)


def _folds(groups: Ints, label: Ints, rng: np.random.Generator) -> Ints:
    """A fold for each row: groups whole, and dealt out category by category."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    order = np.lexsort((rng.permutation(len(first)), label[first]))
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(first)) % FOLDS
    return fold[group]


def _spread(known: Array, columns: Ints, categories: int) -> Array:
    """``(n, known categories)`` → ``(n, categories)``, 0 where there is no classifier."""
    out = np.zeros((len(known), categories), np.float32)
    out[:, columns] = known
    return out


def _axes(posteriors: Array, width: int, seed: int, rows: int = 4000) -> Array:
    """Orthonormal axes ``(c, width)`` that keep the inner products of posteriors best."""
    sample = posteriors[np.random.default_rng(seed).permutation(len(posteriors))[:rows]]
    width = min(width, *sample.shape)
    _, _, axes = randomized_svd(sample, width, random_state=seed)
    return np.ascontiguousarray(axes.T, np.float32)
