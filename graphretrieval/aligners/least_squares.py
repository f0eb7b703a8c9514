"""A classifier in closed form: kernel least squares, with probabilities calibrated by folds.

Regularised least-squares classification (Rifkin, Yeo & Poggio 2003), that is least-squares support
vector machines (Suykens & Vandewalle 1999). With kernel features Φ (n, r) and targets T (n, c):

    W = (ΦᵀΦ + λI)⁻¹ ΦᵀT,   H = Φ (ΦᵀΦ + λI)⁻¹ Φᵀ,
    scores of a fold f left out = T_f − (I − H_ff)⁻¹ (T − HT)_f

so that every fold's honest scores come from one decomposition. A row's weight w multiplies its Φ
and T by √w. The kernel is Gaussian; more than 1500 rows are seen through 1500 landmarks (Nyström,
Williams & Seeger 2001).

A category borrows from its family, the kinds of one parent (after Salakhutdinov, Torralba &
Tenenbaum 2011): s'_c = s_c + β · the mean score of the others. What speaks for the parent then
speaks for a category of few examples as well; the order inside a family stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphretrieval.types import Array, Ints

Doubles = npt.NDArray[np.float64]

LANDMARKS = 1500  # a decomposition of this size takes about a second
WIDTHS = (0.12, 0.25, 0.5)  # γ, for features whose mean squared length is 1
WIDTHS_MANY = (0.25,)  # above as many rows, where the width hardly matters
PENALTIES = (0.03, 0.1, 0.3, 1.0)  # λ
TEMPERATURES = np.geomspace(0.02, 1.0, 20)
BORROWED = (0.0, 0.25, 0.5)  # β; with more a category could be taken for its kin


@dataclass(frozen=True)
class Classifier:
    """Learned weights; ``softmax((k(x, Z) W + b) / temperature)``."""

    mean: Array = field(repr=False)  # (d,)
    landmarks: Array = field(repr=False)  # (r, d), centred and scaled
    weights: Array = field(repr=False)  # (r, c)
    bias: Array = field(repr=False)  # (c,)
    scale: float
    width: float
    temperature: float

    def probabilities(self, x: Array) -> Array:
        """``(n, d)`` → ``(n, c)``, rows that sum to 1."""
        z = (x - self.mean) * np.float32(self.scale)
        near = _kernel(z, self.landmarks, self.width, self._lengths)
        return softmax((near @ self.weights + self.bias) / self.temperature)

    @cached_property
    def _lengths(self) -> Array:
        """Squared, of the landmarks ``(r,)``."""
        return _squared(self.landmarks)


@dataclass(frozen=True)
class _Spectrum:
    """Weighted kernel features turned to their principal axes: ΦᵀΦ is the diagonal ``energy``."""

    features: Array | Doubles  # (n, r); single where there are many rows
    energy: Doubles  # (r,)
    back: Doubles  # (landmarks, r): weights on features → weights on landmarks


def learn(
    x: Array,
    targets: Array,
    folds: Ints,
    *,
    seed: int,
    weights: Array | None = None,
    families: Ints | None = None,
) -> tuple[Classifier, Array]:
    """Fit, with width, penalty, borrowing and temperature of the greatest left-out likelihood.

    Args:
        x: ``(n, d)``.
        targets: ``(n, c)``, rows that sum to 1.
        folds: ``(n,)``: what belongs together has the same number and is left out together.
        seed: of the landmarks.
        weights: ``(n,)`` above 0, how much each row counts; all alike if not given.
        families: ``(c,)``: categories of one number may borrow from each other.

    Returns:
        The classifier, and each row's probabilities ``(n, c)`` by classifiers that did not see it.
    """
    mean = x.mean(0)
    scale = 1 / max(float(np.sqrt(np.square(x - mean).sum(1).mean())), 1e-12)
    z = ((x - mean) * np.float32(scale)).astype(np.float32)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(z))[:LANDMARKS])
    landmarks = z[chosen]
    t = np.asarray(targets, np.float64)
    w = None if weights is None else np.asarray(weights, np.float64) / np.mean(weights)
    root = np.ones((1, 1)) if w is None else np.sqrt(w)[:, None]
    bias = (t * root**2).mean(0)
    best = (-np.inf, 0.0, 0.0, 0.0)
    for width in WIDTHS if len(z) <= LANDMARKS else WIDTHS_MANY:
        spectrum = _decompose(z, landmarks, width, None if w is None else root)
        for penalty in PENALTIES:
            scores = _left_out(spectrum, (t - bias) * root, folds, penalty) / root + bias
            likelihood, temperature = _calibrate(scores, t * root**2)
            if likelihood > best[0]:
                best = (likelihood, width, temperature, penalty)
                honest, solved = scores, _solve(spectrum, (t - bias) * root, penalty)
    _, width, temperature, _ = best
    if families is not None and len(np.unique(families)) < len(families):
        mixes = [_mixed(families, beta) for beta in BORROWED]
        found = [_calibrate(honest @ mix, t * root**2) for mix in mixes]
        lead = max(range(len(found)), key=lambda i: found[i][0])
        mix, temperature = mixes[lead], found[lead][1]
        honest, solved, bias = honest @ mix, solved @ mix, bias @ mix
    classifier = Classifier(
        mean,
        landmarks,
        solved.astype(np.float32),
        bias.astype(np.float32),
        scale,
        width,
        temperature,
    )
    return classifier, softmax(honest / temperature)


def _mixed(families: Ints, beta: float) -> Doubles:
    """Scores times this ``(c, c)`` have what each category borrows; one without kin, nothing."""
    one = np.eye(len(families))
    kin = (families[:, None] == families[None, :]) - one
    return np.asarray(one + beta * kin / np.maximum(kin.sum(0), 1), np.float64)


def softmax(logits: npt.NDArray[np.floating]) -> Array:
    """Rows to probabilities."""
    e = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True), np.float32)


def _kernel(a: Array, b: Array, width: float, lengths: Array | None = None) -> Array:
    """exp(−γ ‖a − b‖²), ``(n, r)``; ``lengths`` are ‖b‖² where they are known."""
    b_squared = _squared(b) if lengths is None else lengths
    square = _squared(a)[:, None] + b_squared - 2 * (a @ b.T)
    return np.asarray(np.exp(-width * np.maximum(square, 0)), np.float32)


def _squared(x: Array) -> Array:
    return np.asarray((x * x).sum(1))


def _decompose(z: Array, landmarks: Array, width: float, root: Doubles | None = None) -> _Spectrum:
    """``root`` are the square roots of the rows' weights ``(n, 1)``, if these differ."""
    values, vectors = np.linalg.eigh(_kernel(landmarks, landmarks, width).astype(np.float64))
    keep = values > 1e-6 * values[-1]
    back = vectors[:, keep] / np.sqrt(values[keep])
    if len(z) == len(landmarks) and root is None:
        return _Spectrum(vectors[:, keep] * np.sqrt(values[keep]), values[keep], back)
    features = _kernel(z, landmarks, width) @ back.astype(np.float32)
    if root is not None:
        features *= root.astype(np.float32)
    energy, turn = np.linalg.eigh((features.T @ features).astype(np.float64))
    return _Spectrum(features @ turn.astype(np.float32), np.maximum(energy, 0), back @ turn)


def _solve(spectrum: _Spectrum, t: Doubles, penalty: float) -> Doubles:
    inner = _into(spectrum, t) / (spectrum.energy + penalty)[:, None]
    return np.asarray(spectrum.back @ inner)


def _into(spectrum: _Spectrum, t: Doubles) -> Doubles:
    """ΦᵀT ``(r, c)``."""
    return np.asarray(spectrum.features.T @ t.astype(spectrum.features.dtype), np.float64)


def _left_out(spectrum: _Spectrum, t: Doubles, folds: Ints, penalty: float) -> Doubles:
    shrink = 1 / (spectrum.energy + penalty)
    inner = shrink[:, None] * _into(spectrum, t)
    residual = t - spectrum.features @ inner.astype(spectrum.features.dtype)
    out = np.empty_like(t)
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        part = spectrum.features[rows].astype(np.float64)
        rest = np.eye(len(rows)) - (part * shrink) @ part.T
        out[rows] = t[rows] - np.linalg.solve(rest, residual[rows])
    return out


def _calibrate(scores: Doubles, t: Doubles) -> tuple[float, float]:
    """The greatest mean log-likelihood, and its temperature (Guo et al. 2017).

    Rows of ``t`` add up to their weights.
    """
    best = (-np.inf, 1.0)
    s = (scores - scores.max(1, keepdims=True)).astype(np.float32)
    hit = float((t * s).sum(dtype=np.float64))
    mass = t.sum(1)
    for temperature in TEMPERATURES:
        spread = np.log(np.exp(s / np.float32(temperature)).sum(1, dtype=np.float64))
        likelihood = (hit / temperature - float(mass @ spread)) / len(s)
        best = max(best, (likelihood, float(temperature)))
    return best
