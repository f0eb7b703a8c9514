"""Which rows belong together, which are kept for choosing settings, and how well they are found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from graphretrieval import splits
from graphretrieval.aligners.basis import Basis
from graphretrieval.arrays import normalise
from graphretrieval.types import Array, Bools, Ints, Supervision

# kept for choosing settings where the caller marks no rows: enough to tell, cheap to lose
HELD_SHARE = 0.15
# questions per direction: the mean of a rank is then known to a few per cent
QUESTIONS = 400

Pairs = dict[tuple[str, str], Ints]


@dataclass(frozen=True)
class Material:
    """What aligners of several modalities learn from.

    ``pairs[a, b]`` ``(p, 2)``, a < b, has both directions of a description together;
    ``labels[m]`` ``(n_m, C)`` only modalities with any label; ``held[m]`` ``(n_m,)`` marks rows
    that settings are chosen on; ``given`` says that the caller marked them, so that they are never
    fitted on.
    """

    features: Mapping[str, Array] = field(repr=False)
    pairs: Pairs = field(repr=False)
    labels: Mapping[str, Array] = field(repr=False)
    held: Mapping[str, Bools] = field(repr=False)
    given: bool

    @classmethod
    def of(cls, features: Mapping[str, Array], supervision: Supervision, seed: int) -> Material:
        """Sort out what was given."""
        features = {m: np.asarray(x, np.float32) for m, x in sorted(features.items()) if len(x)}
        pairs = _merged(features, supervision)
        labels = {
            m: np.asarray(supervision.labels[m], np.float32)
            for m in features
            if m in supervision.labels and np.any(supervision.labels[m])
        }
        marks = {m: v for m, v in supervision.validation.items() if m in features}
        given = any(np.any(v) for v in marks.values())
        if given:
            none = {m: np.zeros(len(x), np.bool_) for m, x in features.items()}
            held: dict[str, Bools] = {**none, **marks}
        else:
            held = _held_families(features, pairs, seed)
        return cls(features, pairs, labels, held, given)

    def fitted(self, everything: bool) -> dict[str, Bools]:
        """Rows to fit on: all but the held ones, or ``everything`` the caller did not mark."""
        if everything and not self.given:
            return {m: np.ones(len(x), np.bool_) for m, x in self.features.items()}
        return {m: ~held for m, held in self.held.items()}

    def pairs_within(self, rows: Mapping[str, Bools]) -> Pairs:
        """Pairs with both ends among these rows; kinds without any are left out."""
        kept = {(a, b): p[rows[a][p[:, 0]] & rows[b][p[:, 1]]] for (a, b), p in self.pairs.items()}
        return {key: p for key, p in kept.items() if len(p)}

    def bases(self, views: Sequence[str], size: int, seed: int) -> dict[str, Basis]:
        """Principal axes of these modalities, from all rows that may be fitted on."""
        rows = self.fitted(everything=True)
        return {m: Basis.of(self.features[m][rows[m]], size, seed) for m in views}

    def joined(self, rows: Mapping[str, Bools]) -> list[str]:
        """Modalities that pairs or labels among these rows join to another."""
        views = {m for key in self.pairs_within(rows) for m in key}
        labelled = [m for m, y in self.labels.items() if np.any(y[rows[m]])]
        return sorted(views | (set(labelled) if len(labelled) > 1 else set()))


#: Vectors of some rows of a modality, ``(modality, rows) -> (r, dim)``.
Embed = Callable[[str, Ints], Array]


class Judge:
    """Mean reciprocal rank of held pairs, and class precision of held rows, by cosine, in [0, 1].

    Both count equally where both are known; ``None`` comes back where nothing is.
    """

    def __init__(self, material: Material, seed: int, *, classes: bool = True) -> None:
        rng = np.random.default_rng(seed)
        self.pairs = {
            key: p if len(p) <= QUESTIONS else p[np.sort(rng.permutation(len(p))[:QUESTIONS])]
            for key, p in sorted(material.pairs_within(material.held).items())
        }
        self.labels = material.labels
        self.rows: dict[str, Ints] = {}
        for m, y in material.labels.items():
            rows = np.flatnonzero(material.held[m] & np.any(y, axis=1))
            if classes and len(rows):
                self.rows[m] = np.sort(rng.permutation(rows)[:QUESTIONS])

    def __call__(self, embed: Embed) -> float | None:
        """The score of an embedding; higher is better."""
        ranks = [self._pairs(a, b, p, embed) for (a, b), p in self.pairs.items()]
        vectors = {m: normalise(embed(m, rows)) for m, rows in self.rows.items()}
        precisions = [self._classes(a, b, vectors) for a in vectors for b in vectors if a != b]
        parts = [float(np.mean(x)) for x in (ranks, precisions) if x]
        return float(np.mean(parts)) if parts else None

    def _pairs(self, a: str, b: str, pairs: Ints, embed: Embed) -> float:
        both = []
        for m, n, asks, answers in (
            (a, b, pairs[:, 0], pairs[:, 1]),
            (b, a, pairs[:, 1], pairs[:, 0]),
        ):
            who, i = np.unique(asks, return_inverse=True)
            gallery, j = np.unique(answers, return_inverse=True)
            right = np.zeros((len(who), len(gallery)), np.bool_)
            right[i, j] = True
            scores = normalise(embed(m, who)) @ normalise(embed(n, gallery)).T
            best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
            rank = 1 + (scores > best).sum(1) + 0.5 * ((scores == best) & ~right).sum(1)
            both.append(float((1 / rank).mean()))
        return float(np.mean(both))

    def _classes(self, a: str, b: str, vectors: Mapping[str, Array]) -> float:
        right = self.labels[a][self.rows[a]] @ self.labels[b][self.rows[b]].T > 0
        asked = right.any(axis=1)
        if not asked.any():
            return 0.0
        right = right[asked]
        scores = vectors[a][asked] @ vectors[b].T
        hit = np.take_along_axis(right, np.argsort(-scores, axis=1, kind="stable"), axis=1)
        precision = np.cumsum(hit, axis=1) / np.arange(1, hit.shape[1] + 1)
        return float(((precision * hit).sum(1) / hit.sum(1)).mean())


def _merged(features: Mapping[str, Array], supervision: Supervision) -> Pairs:
    """Both directions of each kind of pair under one sorted key, each pair once."""
    parts: dict[tuple[str, str], list[Ints]] = {}
    for (a, b), p in supervision.pairs.items():
        if a in features and b in features and a != b and len(p):
            p = np.asarray(p, np.int64)
            parts.setdefault((min(a, b), max(a, b)), []).append(p if a < b else p[:, ::-1])
    return {key: np.unique(np.concatenate(p), axis=0) for key, p in sorted(parts.items())}


def _held_families(features: Mapping[str, Array], pairs: Pairs, seed: int) -> dict[str, Bools]:
    """A share of the families: rows joined by pairs stay on one side."""
    start = dict(zip(features, np.cumsum([0] + [len(x) for x in features.values()]), strict=False))
    n = sum(len(x) for x in features.values())
    ends = [np.empty((0, 2), np.int64)]
    ends += [p + np.array([start[a], start[b]]) for (a, b), p in pairs.items()]
    joined = np.concatenate(ends)
    graph = coo_matrix((np.ones(len(joined)), (joined[:, 0], joined[:, 1])), (n, n))
    family = connected_components(graph, directed=False)[1].astype(np.int64)
    side = splits.grouped(family, (1 - HELD_SHARE, HELD_SHARE), seed) == 1
    return {m: side[start[m] : start[m] + len(x)] for m, x in features.items()}
