"""Fisher vectors: how a bag of local descriptors differs from what is usual in the collection.

Improved Fisher vector, Perronnin, Sánchez & Mensink 2010. The collection's descriptors are modelled
by a mixture of K diagonal Gaussians (weights w, means μ, variances σ²). For one item with
descriptors x₁ … x_N and responsibilities γᵢₖ:

    u_k = Σᵢ γᵢₖ (xᵢ − μₖ) / σₖ        / (N √wₖ)
    v_k = Σᵢ γᵢₖ ((xᵢ − μₖ)² / σₖ² − 1) / (N √(2 wₖ))

[u, v] of all k is followed by a signed power (½) and unit length.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from graphretrieval.arrays import normalise
from graphretrieval.types import Array, Bools

PLACE_SPREAD = 1.0  # a place counts as much as one principal axis
PRIOR = 1e-3  # points: a Gaussian without any falls back to the spread of all
LEAST_VARIANCE = 1e-4  # of standardised data: a narrower Gaussian has collapsed onto a few points


@dataclass(frozen=True)
class Codebook:
    """A linear map of descriptors and the Gaussian mixture over what it makes of them."""

    mean: Array = field(repr=False)  # (raw,)
    project: Array = field(repr=False)  # (raw, d): principal axes at a common scale
    weights: Array = field(repr=False)  # (k,)
    means: Array = field(repr=False)  # (k, d)
    variances: Array = field(repr=False)  # (k, d)

    @property
    def dim(self) -> int:
        """Length of a Fisher vector."""
        return 2 * self.means.size


def learn_codebook(
    descriptors: Array, *, parts: int, axes: int, place: int = 0, seed: int, rounds: int = 12
) -> Codebook:
    """Principal axes, then expectation–maximisation from a k-means start.

    Args:
        descriptors: ``(n, raw)``; where there are fewer than ``4 · parts``, fewer parts are made.
        parts: K, the number of Gaussians.
        axes: principal axes kept.
        place: the last columns that are a position and are kept as they are.
        seed: of the start.
        rounds: of expectation–maximisation; the likelihood is flat after about ten.
    """
    x = np.asarray(descriptors, np.float32)
    mean, project = _principal_axes(x, axes, place)
    z = np.asarray((x - mean) @ project, np.float32)  # (n, d)
    k = max(1, min(parts, len(z) // 4))
    mixture = _k_means_start(z, k, np.random.default_rng(seed))
    for _ in range(rounds):
        mixture = _maximise(z, _responsibilities(z, *mixture))
    return Codebook(mean, project, *mixture)


def fisher_vector(descriptors: Array, codebook: Codebook) -> Array:
    """One item's descriptors ``(n, raw)`` → ``(2·k·d,)`` of unit length; zeros if n is 0."""
    whole: Array = fisher_vectors(descriptors, codebook, np.ones(len(descriptors), np.bool_))[0]
    return whole


def fisher_vectors(descriptors: Array, codebook: Codebook, inside: Bools) -> Array:
    """Fisher vectors of all descriptors, and of those ``inside`` alone, ``(2, 2·k·d)``.

    Both for the price of one: sums over i are sums over the inside plus sums over the rest.
    """
    x = np.asarray(descriptors, np.float32)
    z = np.asarray((x - codebook.mean) @ codebook.project, np.float32)  # (n, d)
    within = _sums(z[inside], codebook)
    everywhere = within + _sums(z[~inside], codebook)
    return np.stack([_improved(everywhere, codebook), _improved(within, codebook)])


def _sums(z: Array, codebook: Codebook) -> Array:
    """Σγ, Σγx, Σγx² side by side, ``(k, 1 + 2·d)``: no ``(n, k, d)`` array is made."""
    w, mu, variance = codebook.weights, codebook.means, codebook.variances
    gamma = _responsibilities(z, w, mu, variance)  # (n, k)
    return np.hstack([gamma.sum(0)[:, None], gamma.T @ z, gamma.T @ (z * z)])


def _improved(sums: Array, codebook: Codebook) -> Array:
    w, mu, variance = codebook.weights[:, None], codebook.means, codebook.variances
    s0, s1, s2 = np.split(sums, [1, 1 + mu.shape[1]], axis=1)
    u = (s1 - s0 * mu) / np.sqrt(variance * w)
    v = ((s2 - 2 * mu * s1 + s0 * mu**2) / variance - s0) / np.sqrt(2 * w)
    out = np.stack([u, v]).ravel() / max(float(s0.sum()), 1.0)  # (2·k·d,)
    return normalise(np.sign(out) * np.sqrt(np.abs(out)))


def _principal_axes(x: Array, axes: int, place: int) -> tuple[Array, Array]:
    mean = x.mean(0)
    raw = x.shape[1] - place
    z = x[:, :raw] - mean[:raw]
    values, vectors = np.linalg.eigh((z.T @ z / len(z)).astype(np.float64))
    order = np.argsort(-values, kind="stable")[:axes]
    project = np.zeros((x.shape[1], len(order) + place))
    # one common scale: the mixture's variances see to the rest, and noise axes stay small
    project[:raw, : len(order)] = vectors[:, order] / np.sqrt(max(values[order].mean(), 1e-12))
    spread = np.maximum(x[:, raw:].std(0), 1e-6)
    project[raw:, len(order) :] = np.diag(PLACE_SPREAD / spread)
    return mean, project.astype(np.float32)


def _k_means_start(z: Array, k: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    sample = z[rng.permutation(len(z))[:20_000]]
    centres = _far_apart(sample, k, rng)
    for _ in range(8):
        cell = _nearest(sample, centres)  # (n, k)
        count = cell.sum(0)[:, None]
        # an empty cell keeps its centre
        centres = np.where(count > 0, cell.T @ sample / np.maximum(count, 1), centres)
    return _maximise(z, _nearest(z, centres))


def _far_apart(z: Array, k: int, rng: np.random.Generator) -> Array:
    """k-means++ (Arthur & Vassilvitskii 2007): the next centre is drawn by squared distance."""
    centres = np.empty((k, z.shape[1]), np.float32)
    distance = np.full(len(z), np.inf)
    at = 0
    for i in range(k):
        centres[i] = z[at]
        distance = np.minimum(distance, np.square(z - centres[i]).sum(1))
        # where every distance is 0 (blank pictures) any row will do
        drawn = np.searchsorted(np.cumsum(distance), rng.random() * distance.sum(), side="right")
        at = min(int(drawn), len(z) - 1)
    return centres


def _nearest(z: Array, centres: Array) -> Array:
    """A one in the column of each row's nearest centre, ``(n, k)``."""
    nearest = (z @ centres.T - 0.5 * (centres**2).sum(1)).argmax(1)
    cell = np.zeros((len(z), len(centres)), np.float32)
    cell[np.arange(len(z)), nearest] = 1
    return cell


def _maximise(z: Array, gamma: Array) -> tuple[Array, Array, Array]:
    spread = z.var(0)
    count = gamma.sum(0) + PRIOR
    means = gamma.T @ z / count[:, None]
    variances = (gamma.T @ (z * z) + PRIOR * spread) / count[:, None] - means**2
    floor = np.maximum(0.01 * spread, LEAST_VARIANCE)
    return (
        (count / count.sum()).astype(np.float32),
        means.astype(np.float32),
        np.maximum(variances, floor).astype(np.float32),
    )


def _responsibilities(z: Array, w: Array, mu: Array, variance: Array) -> Array:
    """γ ``(n, k)`` by the log-densities, which are two matrix products."""
    precision = 1 / variance
    constant = np.log(w) - 0.5 * (np.log(variance) + mu**2 * precision).sum(1)
    log = z @ (mu * precision).T  # (n, k)
    log -= 0.5 * ((z * z) @ precision.T)
    log += constant
    log -= log.max(1, keepdims=True)
    np.exp(log, out=log)
    log /= log.sum(1, keepdims=True)
    return np.asarray(log, np.float32)
