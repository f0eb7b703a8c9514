"""A linear map into the space of text: what would a description of this picture or sound say?

After DeViSE (Frome et al. 2013) with ridge regression: for features X of items and T the mean
vectors of their texts, ``W = (XᵀX + λI)⁻¹ XᵀT``. Texts stay where they are, but for a metric
learned from descriptions of one thing, where there are enough. Mapping into the texts' space,
rather than out of it, has more hubs among the mapped items (Shigeto et al. 2015), yet keeps
whatever the text space knows of words, and languages, that no pair ever showed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from graphretrieval.aligners.metric import TEXT, Metric, learned
from graphretrieval.aligners.pairs import Judge, Material
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.protocols import Progress, silent
from graphretrieval.types import Array, Bools, Ints, State, Supervision

Doubles = npt.NDArray[np.float64]

# λ as multiples of an item's mean squared length
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
# λ is chosen on at most so many items: one decomposition of that size takes a second or two
ROWS = 2500
# for modalities with too few held items to choose
DEFAULT = 1.0
# mean reciprocal ranks of a few hundred questions are known to a few hundredths
ABOUT = 0.02


class PivotAligner:
    """Every other modality mapped into the text vectors' space by ridge regression.

    The maps' outputs are left unnormalised: an unsure prediction is short.

    Args:
        columns: the first and one past the last text column that are the space; None takes all.
        penalty: λ as a multiple of the items' mean squared length; chosen on held pairs if None.
        metric: learn a metric of the texts.

    ``part`` names the text encoder's columns that are the space, where it has several parts.
    """

    part = "meaning"

    def __init__(
        self,
        *,
        columns: tuple[int, int] | None = None,
        penalty: float | None = None,
        metric: bool = True,
    ) -> None:
        self.columns = columns
        self.penalty = penalty
        self.metric = metric
        self.metric_: Metric | None = None
        self.means_: dict[str, Array] = {}
        self.maps_: dict[str, Array] = {}
        self.penalties_: dict[str, float] = {}
        self.span_: tuple[int, int] | None = None

    @property
    def dim(self) -> int:
        """Columns of ``embed``: those of the text vectors."""
        start, stop = self._span()
        return stop - start

    @property
    def choices(self) -> dict[str, bool]:
        """What a fit on everything keeps of this one: whether a metric pays."""
        return {"metric": self.metric_ is not None}

    def fit(
        self,
        features: Mapping[str, Array],
        supervision: Supervision,
        *,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn a map for every modality that texts, or described items, are paired with.

        Raises:
            NothingToLearn: there are no texts, or no pairs with them.
        """
        material = Material.of(features, supervision, seed)
        fitted = material.fitted(everything=True)
        texts = self._texts(material)
        if self.metric:
            self.metric_ = learned(texts, material, supervision.unseen.get(TEXT), seed, progress)
        texts = self._measured(texts)
        targets = _targets(material, fitted, texts) if TEXT in features else {}
        targets = {m: t for m, t in targets.items() if len(t[0])}
        if not targets:
            raise NothingToLearn(
                f"the pivot needs pairs between texts and other items, of {sorted(features)}",
                remedy="link texts to what they describe by DESCRIBES",
            )
        self.span_ = self.columns or (0, texts.shape[1])
        for i, (modality, (rows, t)) in enumerate(targets.items()):
            progress(i, len(targets), f"mapping {modality} into the texts' space")
            penalty = self.penalty or _choose(material, modality, texts, seed)
            x = material.features[modality][rows]
            self.means_[modality] = x.mean(axis=0)
            self.maps_[modality] = _ridge(x - self.means_[modality], t, penalty)
            self.penalties_[modality] = penalty
        return self

    def embed(self, modality: str, features: Array) -> Array:
        """Text columns by the metric, predictions for others; zeros where there is no map."""
        start, stop = self._span()
        if modality == TEXT:
            return self._measured(np.array(features[:, start:stop], np.float32))
        if modality not in self.maps_:
            return np.zeros((len(features), self.dim), np.float32)
        centred = np.asarray(features, np.float32) - self.means_[modality]
        return np.asarray(centred @ self.maps_[modality], np.float32)

    def state(self) -> State:
        """The maps, and the metric."""
        span = self._span()
        arrays = {} if self.metric_ is None else self.metric_.arrays()
        for m, w in self.maps_.items():
            arrays |= {f"{m}.map": w, f"{m}.mean": self.means_[m]}
        options = {
            "columns": list(self.columns) if self.columns else None,
            "penalty": self.penalty,
            "metric": self.metric,
        }
        settings = {"span": list(span), "penalties": self.penalties_, "options": options}
        return State(arrays, settings)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted aligner back from its state."""
        options = dict(state.settings["options"])
        columns = options.pop("columns")
        out = cls(columns=tuple(columns) if columns else None, **options)
        out.metric_ = Metric.restored(state.arrays)
        start, stop = state.settings["span"]
        out.span_ = (start, stop)
        out.penalties_ = dict(state.settings["penalties"])
        out.maps_ = {m: state.arrays[f"{m}.map"] for m in out.penalties_}
        out.means_ = {m: state.arrays[f"{m}.mean"] for m in out.penalties_}
        return out

    def _span(self) -> tuple[int, int]:
        if self.span_ is None:
            raise NotFitted("the pivot has learned no map yet", remedy="call fit first")
        return self.span_

    def _measured(self, texts: Array) -> Array:
        return texts if self.metric_ is None else self.metric_(texts)

    def _texts(self, material: Material) -> Array:
        if TEXT not in material.features:
            return np.empty((0, 0), np.float32)
        start, stop = self.columns or (0, material.features[TEXT].shape[1])
        return material.features[TEXT][:, start:stop]


class WordPivot(PivotAligner):
    """The same into the space of the texts' words: exact names, in any language of the collection.

    A sentence model knows what English means; which words a thing was called by, it forgets.
    No metric is learned: the axes of words were made of the very descriptions it would learn from.
    """

    part = "words"

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"metric": False, **options})


def _targets(
    material: Material, rows: Mapping[str, Bools], texts: Array
) -> dict[str, tuple[Ints, Doubles]]:
    """For each modality its described rows, and the mean vector of their texts.

    A modality without texts of its own (spoken descriptions of pictures) takes the targets of the
    described items it is paired with.
    """
    pairs = material.pairs_within(rows)
    out: dict[str, tuple[Ints, Doubles]] = {}
    for (a, b), p in pairs.items():
        if TEXT in (a, b):
            other, text = (b, p[:, 0]) if a == TEXT else (a, p[:, 1])
            out[other] = _means(p[:, 1] if a == TEXT else p[:, 0], texts[text])
    direct = dict(out)
    for (a, b), p in pairs.items():
        for new, known, r, s in ((a, b, p[:, 0], p[:, 1]), (b, a, p[:, 1], p[:, 0])):
            if known in direct and new not in (TEXT, *direct):
                described, t = direct[known]
                at = np.clip(np.searchsorted(described, s), 0, len(described) - 1)
                has = described[at] == s
                if has.any():
                    out[new] = _means(r[has], t[at[has]])
    return out


def _means(owner: Ints, vectors: npt.NDArray[Any]) -> tuple[Ints, Doubles]:
    """The distinct owners, ascending, and the mean of each one's vectors."""
    order = np.argsort(owner, kind="stable")
    rows, first, count = np.unique(owner[order], return_index=True, return_counts=True)
    if not len(rows):
        return rows, np.zeros((0, vectors.shape[1]))
    total = np.add.reduceat(vectors[order], first, axis=0, dtype=np.float64)
    return rows, total / count[:, None]


def _choose(material: Material, modality: str, texts: Array, seed: int) -> float:
    """λ by held items; one decomposition serves all.

    Of the λ that let held pairs be found about as well as the best, the one whose predictions are
    nearest to the texts' means: ranking does not care for lengths, but their use as confidence
    does.
    """
    found = _targets(material, material.fitted(everything=False), texts).get(modality)
    kept = _targets(material, material.held, texts).get(modality)
    if found is None or kept is None or len(found[0]) < 2:
        return DEFAULT
    take = np.sort(np.random.default_rng(seed).permutation(len(found[0]))[:ROWS])
    rows, t = found[0][take], found[1][take] - found[1][take].mean(axis=0)
    asked, wanted = kept[0], kept[1] - found[1][take].mean(axis=0)
    x = material.features[modality]
    mean = x[rows].mean(axis=0)
    left, energy, right = _svd((x[rows] - mean).astype(np.float64))
    inner = (left.T @ t) * energy[:, None]  # (r, dim)
    turned = (x[asked] - mean) @ right
    unit = float(np.square(energy).sum()) / len(take)
    tried = [
        turned @ (inner / (np.square(energy) + penalty * unit)[:, None]) for penalty in PENALTIES
    ]
    ranks = _found_by_pairs(material, modality, texts, asked, tried, seed)
    errors = [float(np.square(y - wanted).sum()) for y in tried]
    good = [i for i, rank in enumerate(ranks) if rank >= (1 - ABOUT) * max(ranks)]
    return PENALTIES[min(good, key=lambda i: errors[i])]


def _found_by_pairs(
    material: Material,
    modality: str,
    texts: Array,
    asked: Ints,
    tried: Sequence[Doubles],
    seed: int,
) -> list[float]:
    """How well held pairs with texts are found by each of several predictions of ``asked``."""
    judge = Judge(material, seed, classes=False)
    judge.pairs = {key: p for key, p in judge.pairs.items() if modality in key and TEXT in key}

    def embed(predicted: Doubles, m: str, rows: Ints) -> Array:
        chosen = texts[rows] if m == TEXT else predicted[np.searchsorted(asked, rows)]
        return np.asarray(chosen, np.float32)

    return [judge(partial(embed, y)) or 0.0 for y in tried]


def _svd(x: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """U, s, V of ``x = U diag(s) Vᵀ`` by the smaller Gram matrix, without directions of nothing."""
    if x.shape[0] <= x.shape[1]:
        values, left = np.linalg.eigh(x @ x.T)
        keep = values > 1e-10 * max(values[-1], 1e-12)
        s = np.sqrt(values[keep])
        return left[:, keep], s, (x.T @ left[:, keep]) / s
    values, right = np.linalg.eigh(x.T @ x)
    keep = values > 1e-10 * max(values[-1], 1e-12)
    s = np.sqrt(values[keep])
    return (x @ right[:, keep]) / s, s, right[:, keep]


def _ridge(x: Array, t: Doubles, penalty: float) -> Array:
    """(XᵀX + λI)⁻¹ XᵀT, from whichever side is smaller."""
    z = x.astype(np.float64)
    strength = penalty * max(float(np.square(z).sum()) / len(z), 1e-12)
    if z.shape[0] < z.shape[1]:
        inner = np.linalg.solve(z @ z.T + strength * np.eye(len(z)), t)
        return np.asarray(z.T @ inner, np.float32)
    gram = z.T @ z + strength * np.eye(z.shape[1])
    return np.asarray(np.linalg.solve(gram, z.T @ t), np.float32)
