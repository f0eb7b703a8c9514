"""Long features made short: statistics to a common scale, and vectors to their principal axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval.types import Array

CLIP = 4.0  # standard deviations: what lies further out is a broken recording, not information


@dataclass(frozen=True)
class Scaler:
    """Columns at mean 0 and deviation 1 over the collection, cut at ± 4, rows near length 1."""

    mean: Array = field(repr=False)  # (d,)
    deviation: Array = field(repr=False)  # (d,)

    def __call__(self, x: Array) -> Array:
        """``(n, d)`` → ``(n, d)``."""
        z = np.clip((x - self.mean) / self.deviation, -CLIP, CLIP)
        return np.asarray(z / np.sqrt(len(self.mean)), np.float32)


def learn_scaler(x: Array) -> Scaler:
    """From ``(n, d)``; a constant column stays zero wherever it keeps its value."""
    deviation = x.std(0)
    floor = 1e-4 * np.maximum(np.abs(x.mean(0)), 1e-3)
    return Scaler(x.mean(0), np.where(deviation > floor, deviation, 1).astype(np.float32))


@dataclass(frozen=True)
class Reduction:
    """Principal axes (Pearson 1901): inner products of centred vectors are kept as far as may be.

    Axes are not whitened, so that a linear classifier on the short vectors is the one on the long.
    """

    mean: Array = field(repr=False)  # (long,)
    axes: npt.NDArray[np.floating] = field(repr=False)  # (long, short)

    @property
    def dim(self) -> int:
        """Length of the short vectors."""
        return int(self.axes.shape[1])

    def __call__(self, x: Array) -> Array:
        """``(n, long)`` → ``(n, short)``."""
        return np.asarray((x - self.mean) @ self._exact_axes, np.float32)

    @cached_property
    def _exact_axes(self) -> Array:
        return np.asarray(self.axes, np.float32)


def learn_reduction(x: Array, limit: int, stored: type[np.floating] = np.float32) -> Reduction:
    """At most ``limit`` axes from ``(n, long)``, by the n × n Gram matrix where n is smaller.

    Axes that carry less than a millionth of the variance are dropped; one is always kept. They are
    kept as ``stored``: half precision halves a long reduction and costs 1e-3 of an inner product.
    """
    mean = x.mean(0)
    centred = (x - mean).astype(np.float32)
    n, long = centred.shape
    square = centred @ centred.T if n < long else centred.T @ centred
    values, vectors = np.linalg.eigh(square.astype(np.float64))
    order = np.argsort(-values, kind="stable")[:limit]
    order = order[values[order] > 1e-6 * max(float(values.sum()), 1e-12)]
    if len(order) == 0:
        return Reduction(mean, np.zeros((long, 1), stored))
    axes = vectors[:, order]
    if n < long:
        axes = centred.T @ (axes / np.sqrt(values[order])).astype(np.float32)
    return Reduction(mean, np.ascontiguousarray(axes, stored))


def named(prefix: str, part: Any) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a frozen dataclass under ``prefix.field``, as a state holds them."""
    return {f"{prefix}.{name}": getattr(part, name) for name in part.__dataclass_fields__}


def unnamed(cls: type[Any], prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """The dataclass back from the arrays that ``named`` wrote."""
    return cls(
        **{name: np.asarray(arrays[f"{prefix}.{name}"]) for name in cls.__dataclass_fields__}
    )
