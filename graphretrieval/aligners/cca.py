"""Canonical correlation: the directions of each modality that vary together across pairs.

Hotelling 1936; for more than two modalities MAXVAR (Kettenring 1971): with whitened views
``Kₐ = Cₐₐ^{-1/2}``, the greatest eigenvectors of the block matrix ``Kₐ C_ab K_b`` (a ≠ b). For two
views these are the classical canonical pairs. ``Cₐₐ`` is regularised by a multiple of its mean
variance (Vinod 1976). Where two modalities share labels but no pairs, ``C_ab`` is that of their
class means (cluster CCA, Rasiwasia et al. 2014).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import combinations
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from graphretrieval.aligners.basis import Basis
from graphretrieval.aligners.pairs import Judge, Material
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.protocols import Progress, silent
from graphretrieval.types import Array, Bools, Ints, State, Supervision

Doubles = npt.NDArray[np.float64]

RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
DIMS = (4, 8, 16, 32, 64, 128)


class CcaAligner:
    """Regularised multi-view canonical correlation analysis.

    Args:
        dims: canonical directions kept; chosen on held rows if None.
        ridge: regularisation as a multiple of the mean variance; chosen on held rows if None.
        power: each direction is scaled by its correlation to this power: 0 is the textbook's,
            1 trusts directions as far as they correlate.
        components: principal components each modality is reduced to beforehand, at most.
    """

    def __init__(
        self,
        *,
        dims: int | None = None,
        ridge: float | None = None,
        power: float = 1.0,
        components: int = 384,
    ) -> None:
        self.dims = dims
        self.ridge = ridge
        self.power = power
        self.components = components
        self.bases_: dict[str, Basis] = {}
        self.weights_: dict[str, Array] = {}
        self.correlations_: Array | None = None
        self.chosen_: dict[str, float] = {}

    @property
    def dim(self) -> int:
        """Columns of ``embed``."""
        if self.correlations_ is None:
            raise NotFitted("the canonical directions are not known yet", remedy="call fit first")
        return len(self.correlations_)

    def fit(
        self,
        features: Mapping[str, Array],
        supervision: Supervision,
        *,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn from pairs, and from class means where there are none.

        Raises:
            NothingToLearn: no two modalities that vary share pairs or labels.
        """
        material = Material.of(features, supervision, seed)
        views = material.joined(material.fitted(everything=True))
        if not views:
            raise NothingToLearn(
                f"CCA needs pairs or labels that join two modalities, of {sorted(features)}",
                remedy="link items by DESCRIBES, or give both modalities categories",
            )
        bases = material.bases(views, self.components, seed)
        z = {m: b(material.features[m]).astype(np.float64) for m, b in bases.items() if b.size}
        joined = {m for key in _joined(material, z, material.fitted(everything=True)) for m in key}
        if not joined:
            still = sorted(set(views) - set(z))
            raise NothingToLearn(
                f"CCA needs two joined modalities that vary, but the items of {still} do not",
                remedy="add items that differ, or leave CCA out of the setting aligners",
            )
        self.bases_ = {m: bases[m] for m in z if m in joined}
        z = {m: z[m] for m in self.bases_}
        dims, ridge = self._choose(material, z, seed, progress)
        self._solve(material, z, material.fitted(everything=True), ridge, dims)
        self.chosen_ = {"dims": self.dim, "ridge": ridge}
        return self

    def embed(self, modality: str, features: Array) -> Array:
        """Canonical variates ``(n, dim)``; zeros for a modality that was not fitted."""
        dim = self.dim
        if modality not in self.weights_:
            return np.zeros((len(features), dim), np.float32)
        return self.bases_[modality](features) @ self.weights_[modality]

    def state(self) -> State:
        """Principal axes, weights and correlations."""
        if self.correlations_ is None:
            raise NotFitted("there is nothing to save yet", remedy="call fit first")
        arrays: dict[str, npt.NDArray[Any]] = {"correlations": self.correlations_}
        for m, weights in self.weights_.items():
            arrays |= {f"{m}.weights": weights, **self.bases_[m].arrays(m)}
        options = {
            "dims": self.dims,
            "ridge": self.ridge,
            "power": self.power,
            "components": self.components,
        }
        settings = {"views": list(self.weights_), "chosen": self.chosen_, "options": options}
        return State(arrays, settings)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted aligner back from its state."""
        out = cls(**state.settings["options"])
        arrays = dict(state.arrays)
        out.chosen_ = dict(state.settings["chosen"])
        out.correlations_ = arrays["correlations"]
        out.bases_ = {m: Basis.restored(arrays, m) for m in state.settings["views"]}
        out.weights_ = {m: arrays[f"{m}.weights"] for m in state.settings["views"]}
        return out

    def _choose(
        self, material: Material, z: dict[str, Doubles], seed: int, progress: Progress
    ) -> tuple[int, float]:
        """Dimensions and ridge with the best score on held rows, or those given."""
        widest = min(x.shape[1] for x in z.values())
        all_dims = [self.dims] if self.dims else [d for d in (*DIMS, widest) if d <= widest]
        ridges = RIDGES if self.ridge is None else (self.ridge,)
        if len(all_dims) == 1 and len(ridges) == 1:
            return all_dims[0], ridges[0]
        judge = Judge(material, seed)
        best = (-1.0, min(widest, 32) if not self.dims else self.dims, ridges[len(ridges) // 2])
        for i, ridge in enumerate(ridges):
            progress(i, len(ridges), "choosing canonical directions")
            self._solve(material, z, material.fitted(everything=False), ridge, max(all_dims))
            for dims in all_dims:
                score = judge(partial(self._variates, z, dims))
                if score is not None and score > best[0]:
                    best = (score, dims, ridge)
        return best[1], best[2]

    def _variates(self, z: dict[str, Doubles], dims: int, modality: str, rows: Ints) -> Array:
        if modality not in self.weights_:
            return np.zeros((len(rows), dims), np.float32)
        return np.asarray(z[modality][rows] @ self.weights_[modality][:, :dims], np.float32)

    def _solve(
        self,
        material: Material,
        z: dict[str, Doubles],
        rows: Mapping[str, Bools],
        ridge: float,
        dims: int,
    ) -> None:
        views = list(z)
        centred = {m: x - x[rows[m]].mean(axis=0) for m, x in z.items()}
        whiten = {m: _inverse_root(x[rows[m]], ridge) for m, x in centred.items()}
        cross = _cross_covariances(material, centred, rows)
        ends = np.cumsum([0] + [whiten[m].shape[0] for m in views])
        place = {m: slice(ends[i], ends[i + 1]) for i, m in enumerate(views)}
        block = np.zeros((ends[-1], ends[-1]))
        for (a, b), c in cross.items():
            block[place[a], place[b]] = whiten[a] @ c @ whiten[b]
            block[place[b], place[a]] = block[place[a], place[b]].T
        values, vectors = np.linalg.eigh(block)
        first = np.argsort(-values, kind="stable")[:dims]
        correlations = np.clip(values[first], 0, None)
        # √views: with two views each variate then has unit variance, as in the textbook
        scale = np.sqrt(len(views)) * correlations**self.power
        vectors = _signed(vectors[:, first]) * scale
        self.weights_ = {m: (whiten[m] @ vectors[place[m]]).astype(np.float32) for m in views}
        self.correlations_ = correlations.astype(np.float32)


def _cross_covariances(
    material: Material, z: Mapping[str, Doubles], rows: Mapping[str, Bools]
) -> dict[tuple[str, str], Doubles]:
    """C_ab of every two modalities that are joined, from pairs or else from class means."""
    pairs = material.pairs_within(rows)
    out = {}
    for a, b in _joined(material, z, rows):
        if (a, b) in pairs:
            x, y = z[a][pairs[a, b][:, 0]], z[b][pairs[a, b][:, 1]]
            out[a, b] = (x - x.mean(axis=0)).T @ (y - y.mean(axis=0)) / len(x)
        else:
            out[a, b] = _between_classes(material, z, rows, a, b)
    return out


def _joined(
    material: Material, views: Iterable[str], rows: Mapping[str, Bools]
) -> list[tuple[str, str]]:
    """Every two of these modalities that share pairs among these rows, or else labels."""
    pairs, labels = material.pairs_within(rows), material.labels
    each = combinations(views, 2)
    return [(a, b) for a, b in each if (a, b) in pairs or (a in labels and b in labels)]


def _between_classes(
    material: Material, z: Mapping[str, Doubles], rows: Mapping[str, Bools], a: str, b: str
) -> Doubles:
    """Σ_c p_c μ_ac μ_bcᵀ over classes that both modalities have."""
    ya, yb = material.labels[a][rows[a]], material.labels[b][rows[b]]
    na, nb = ya.sum(axis=0), yb.sum(axis=0)
    both = (na > 0) & (nb > 0)
    if not both.any():
        return np.zeros((z[a].shape[1], z[b].shape[1]))
    p = np.sqrt(na[both] * nb[both])
    p = p / p.sum()
    ma = ya[:, both].T @ z[a][rows[a]] / na[both][:, None]
    mb = yb[:, both].T @ z[b][rows[b]] / nb[both][:, None]
    ma, mb = ma - p @ ma, mb - p @ mb
    return np.asarray((ma * p[:, None]).T @ mb)


def _inverse_root(x: Doubles, ridge: float) -> Doubles:
    """(C + ridge · mean variance · I)^{-1/2} of centred rows."""
    c = x.T @ x / max(len(x), 1)
    values, vectors = np.linalg.eigh(c)
    values = np.maximum(values, 0) + ridge * max(values.mean(), 1e-12)
    values = np.maximum(values, 1e-10 * values.max())
    return np.asarray((vectors / np.sqrt(values)) @ vectors.T)


def _signed(vectors: Doubles) -> Doubles:
    """Each column's greatest entry positive, so that the sign is no accident."""
    top = np.abs(vectors).argmax(axis=0)
    return np.asarray(vectors * np.where(vectors[top, np.arange(vectors.shape[1])] < 0, -1, 1))
