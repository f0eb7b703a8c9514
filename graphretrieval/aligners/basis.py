"""Principal axes of features: fewer columns, centred, at a known scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from graphretrieval.types import Array

# rows that axes are learned from: a decomposition of this size takes seconds
ROWS = 4000


@dataclass(frozen=True)
class Basis:
    """``z = (x − mean) @ axes``; the mean squared length of z over what was learned from is 1."""

    mean: Array = field(repr=False)  # (d,)
    axes: Array = field(repr=False)  # (d, r)

    @classmethod
    def of(cls, x: Array, size: int, seed: int) -> Self:
        """At most ``size`` axes (Pearson 1901) of ``x`` ``(n, d)``, by the smaller Gram matrix."""
        x = np.asarray(x, np.float64)
        mean = x.mean(axis=0)
        if len(x) > ROWS:
            x = x[np.sort(np.random.default_rng(seed).permutation(len(x))[:ROWS])]
        z = x - mean
        if z.shape[1] <= len(z):
            values, axes = np.linalg.eigh(z.T @ z)
        else:
            values, left = np.linalg.eigh(z @ z.T)
            axes = z.T @ left / np.sqrt(np.maximum(values, 1e-12))
        # directions of rounding error alone carry nothing
        keep = np.flatnonzero(values > 1e-9 * max(values[-1], 1e-12))[::-1][:size]
        axes = axes[:, keep]
        length = float(np.sqrt(np.square(z @ axes).sum(axis=1).mean())) if len(keep) else 1.0
        return cls(mean.astype(np.float32), (axes / max(length, 1e-12)).astype(np.float32))

    @property
    def size(self) -> int:
        """Columns of the short vectors."""
        return int(self.axes.shape[1])

    def __call__(self, x: Array) -> Array:
        """``(n, d)`` → ``(n, size)``."""
        return np.asarray((np.asarray(x, np.float32) - self.mean) @ self.axes, np.float32)

    def arrays(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """For a state."""
        return {f"{prefix}.mean": self.mean, f"{prefix}.axes": self.axes}

    @classmethod
    def restored(cls, arrays: dict[str, npt.NDArray[Any]], prefix: str) -> Self:
        """From a state."""
        return cls(arrays[f"{prefix}.mean"], arrays[f"{prefix}.axes"])
