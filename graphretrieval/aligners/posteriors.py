"""Semantic matching: each modality's items as probabilities of the collection's categories.

Rasiwasia et al. 2010: one calibrated classifier per modality; the inner product of two posteriors,
Σ_c p(c | a) p(c | b), is the probability that two items share a category. The temperature of the
greatest likelihood is also within .001 of the best for ranking, so there is no other sharpening.

Where many items have no category, theirs are guessed and learned from as well
(:mod:`~graphretrieval.aligners.guesses`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils.extmath import randomized_svd

from graphretrieval.aligners.guesses import agreement, guesses, trust
from graphretrieval.aligners.least_squares import Classifier, learn
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.protocols import Progress, silent
from graphretrieval.types import Array, Bools, Ints, State, Supervision

FOLDS = 10
LEAST = 2  # labelled rows that a category needs in a modality
ROUNDS = 2  # of guessing; a third gained nothing
ALIKE = 1.1  # rows of which none counts so many times another's count are not weighed
ENOUGH = 0.2  # fewer unlabelled rows for each labelled one are not worth the time
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
        tasks = _tasks(features, supervision, self.per_category, self.rows, seed)
        found: dict[str, _Learned] = {}
        for i, (modality, task) in enumerate(tasks.items()):
            progress(i, len(tasks), f"learning the categories of {modality}")
            learned = task.learn(task.labels, task.labelled.astype(np.float32))
            if learned is not None:
                found[modality] = learned
        if not found:
            raise NothingToLearn(
                f"no modality has two categories with {LEAST} labelled items each",
                remedy="put items into at least two categories, or use an aligner that needs none",
            )
        for modality, learned in _guessed(tasks, found, supervision, progress).items():
            self.classifiers_[modality] = learned.classifier
            self.columns_[modality] = learned.columns
        self.categories_ = next(iter(tasks.values())).labels.shape[1]
        if self.categories_ > self.widest:
            honest = np.vstack([learned.left_out for learned in found.values()])
            self.project_ = _axes(honest, self.widest, seed)
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

    def embed_categories(self) -> Array:
        """``(C, dim)``: what is in one category for certain, and in no other.

        Raises:
            NotFitted: nothing was learned yet.
        """
        self._require_fitted()
        if self.project_ is None:
            return np.eye(self.categories_, dtype=np.float32)
        return self.project_

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


@dataclass(frozen=True)
class _Learned:
    """A classifier, and the probabilities it gave to rows that were left out."""

    classifier: Classifier
    columns: Ints
    rows: Ints = field(repr=False)
    left_out: Array = field(repr=False)  # (len(rows), c)

    def posteriors(self, x: Array) -> Array:
        """Probabilities ``(n, c)`` of any rows."""
        return _spread(self.classifier.probabilities(x), self.columns, self.left_out.shape[1])

    def honest(self, x: Array) -> Array:
        """Probabilities of the modality's rows ``(n, c)``, each by a classifier without it."""
        out = self.posteriors(x)
        out[self.rows] = self.left_out
        return out


@dataclass(frozen=True)
class _Task:
    """One modality's rows; ``free`` may be guessed, the others are labelled or kept aside."""

    x: Array = field(repr=False)
    labels: Array = field(repr=False)  # (n, c), zeros where kept aside
    free: Bools = field(repr=False)
    groups: Ints = field(repr=False)
    families: Ints = field(repr=False)  # (c,)
    per_category: int
    rows: int
    seed: int

    @property
    def labelled(self) -> Bools:
        return np.asarray(self.labels.any(1))

    def learn(self, targets: Array, weights: Array) -> _Learned | None:
        """A classifier from rows of some weight; None without two categories to tell apart."""
        if targets.shape[1] < 2:
            return None
        guessed = np.zeros(targets.shape, np.bool_)
        guessed[np.arange(len(targets)), targets.argmax(1)] = (weights > 0) & ~self.labelled
        columns = np.flatnonzero(((self.labels > 0) | guessed).sum(0) >= LEAST)
        if len(columns) < 2:
            return None
        rng = np.random.default_rng(self.seed)
        chosen = _choose(self.labels[:, columns] > 0, self.per_category, self.rows, rng)
        if guessed.any():
            room = self.rows - len(chosen)
            more = _choose(guessed[:, columns], self.per_category, room, rng)
            chosen = np.union1d(chosen, more)
        y = targets[np.ix_(chosen, columns)]
        folds = _folds(self.groups[chosen], y.argmax(1), rng)
        y = y / y.sum(1, keepdims=True)
        count = weights[chosen] if guessed.any() else _rarity(y)
        classifier, out = learn(
            self.x[chosen],
            y,
            folds,
            seed=self.seed,
            weights=count,
            families=self.families[columns],
        )
        return _Learned(classifier, columns, chosen, _spread(out, columns, targets.shape[1]))


def _tasks(
    features: Mapping[str, Array], supervision: Supervision, per_category: int, rows: int, seed: int
) -> dict[str, _Task]:
    groups = _groups(features, supervision)
    out = {}
    for m, x in features.items():
        if m not in supervision.labels:
            continue
        labels = np.asarray(supervision.labels[m], np.float32)
        held = supervision.validation.get(m, np.zeros(len(x), np.bool_))
        labels = np.where(held[:, None], 0, labels)
        free = ~held & ~labels.any(1)
        families = supervision.families
        if len(families) != labels.shape[1]:
            families = np.arange(labels.shape[1])
        out[m] = _Task(
            np.asarray(x, np.float32), labels, free, groups[m], families, per_category, rows, seed
        )
    return out


def _guessed(
    tasks: Mapping[str, _Task],
    found: Mapping[str, _Learned],
    supervision: Supervision,
    progress: Progress,
) -> dict[str, _Learned]:
    """Learned once more from the labels and from guesses, which links have a say in."""
    if not any(tasks[m].free.sum() > ENOUGH * tasks[m].labelled.sum() for m in found):
        return dict(found)
    may = {m: tasks[m].free | tasks[m].labelled for m in found}
    labels = {m: tasks[m].labels for m in found}
    pairs = {
        (a, b): rows[may[a][rows[:, 0]] & may[b][rows[:, 1]]]
        for (a, b), rows in supervision.pairs.items()
        if a in may and b in may
    }
    agree = agreement({m: f.honest(tasks[m].x) for m, f in found.items()}, labels, pairs)
    now = dict(found)
    for step in range(ROUNDS):
        progress(step, ROUNDS, "guessing categories")
        said = {m: f.posteriors(tasks[m].x) for m, f in now.items()}
        for m, guessed in guesses(said, labels, pairs, agree).items():
            count = trust(guessed, labels[m], may[m])
            now[m] = tasks[m].learn(guessed, count) or now[m]
    progress(ROUNDS, ROUNDS, "guessing categories")
    return now


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


def _rarity(y: Array) -> Array | None:
    """How much each row counts ``(n,)``: 1 / √ the rows of its category; None where all alike.

    Halfway between rows that count alike, by which the rare are taken for the common, and
    categories that do (Mahajan et al. 2018).
    """
    count = y @ (1 / np.sqrt(np.maximum(y.sum(0), 1e-9)))
    return np.asarray(count, np.float32) if count.max() > ALIKE * count.min() else None


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
