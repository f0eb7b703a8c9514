"""Recordings → features: what a sound's spectrum looks like, how it varies, and how it pulses.

Five blocks of about equal weight: statistics of the mel bands, of the spectra's shapes, the
covariance of the cepstra, the modulation spectrum, and a Fisher vector (Perronnin et al. 2010)
over cepstra (Davis & Mermelstein 1980) with their slopes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from graphretrieval.cpus import one_thread
from graphretrieval.encoders.cache import version_of
from graphretrieval.encoders.fisher import Codebook, fisher_vector, learn_codebook
from graphretrieval.encoders.reduction import (
    Reduction,
    Scaler,
    learn_reduction,
    learn_scaler,
    named,
    unnamed,
)
from graphretrieval.encoders.spectra import CEPSTRA, Frames, frames, modulation, slope
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.protocols import Progress, silent
from graphretrieval.types import Array, AudioContent, Ints, Modality, State

METHOD = "audio-1"
BLOCKS = ("bands", "shape", "covariance", "modulation")
UPPER = np.triu_indices(CEPSTRA)


class AudioEncoder:
    """Classical features of sound: nothing to download, any length, silence included.

    Args:
        parts: Gaussians of the Fisher vector's mixture.
        reduced: at most this many principal axes of the Fisher vector are kept.
        sample: frames that the mixture is learned from.
    """

    modality: str = Modality.AUDIO.value

    def __init__(self, *, parts: int = 32, reduced: int = 256, sample: int = 100_000) -> None:
        self.parts = parts
        self.reduced = reduced
        self.sample = sample
        self.scalers_: dict[str, Scaler] = {}
        self.codebook_: Codebook | None = None
        self.reduction_: Reduction | None = None
        self.version_ = f"{METHOD}-unfitted"

    @property
    def dim(self) -> int:
        """Columns of ``encode``.

        Raises:
            NotFitted: nothing was learned yet.
        """
        _, reduction = self._fitted()
        return sum(len(s.mean) for s in self.scalers_.values()) + reduction.dim

    @property
    def version(self) -> str:
        """The method and a digest of everything learned."""
        return self.version_

    def fit(
        self,
        contents: Sequence[AudioContent],
        *,
        groups: Ints | None = None,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn scales, the mixture and the Fisher vector's axes from a sample.

        Raises:
            NothingToLearn: there is no recording in the sample.
        """
        if not contents:
            raise NothingToLearn(
                "no recording was given to learn audio features from",
                remedy="add sound files, or leave the audio encoder out",
            )
        heard = []
        with one_thread():
            for i, content in enumerate(contents):
                heard.append(frames(content))
                progress(i + 1, len(contents), "listening")
        local = _sample([f.local() for f in heard], self.sample, np.random.default_rng(seed))
        self.codebook_ = learn_codebook(local, parts=self.parts, axes=local.shape[1], seed=seed)
        statistics = [_statistics(f) for f in heard]
        for block in BLOCKS:
            self.scalers_[block] = learn_scaler(np.stack([s[block] for s in statistics]))
        fisher = np.stack([fisher_vector(f.local(), self.codebook_) for f in heard])
        self.reduction_ = learn_reduction(fisher, self.reduced)
        self.version_ = version_of(METHOD, self.state().arrays)
        return self

    def encode(self, contents: Sequence[AudioContent]) -> Array:
        """Features, float32 ``(n, dim)``, finite.

        Raises:
            NotFitted: nothing was learned yet.
        """
        codebook, reduction = self._fitted()
        if not contents:
            return np.empty((0, self.dim), np.float32)
        rows: dict[str, list[Array]] = {block: [] for block in (*BLOCKS, "fisher")}
        with one_thread():
            for content in contents:
                heard = frames(content)
                for block, row in _statistics(heard).items():
                    rows[block].append(row)
                rows["fisher"].append(fisher_vector(heard.local(), codebook))
        parts = [self.scalers_[block](np.stack(rows[block])) for block in BLOCKS]
        return np.hstack([*parts, reduction(np.stack(rows["fisher"]))])

    def state(self) -> State:
        """Scales, mixture and axes.

        Raises:
            NotFitted: nothing was learned yet.
        """
        codebook, reduction = self._fitted()
        arrays = {**named("codebook", codebook), **named("reduction", reduction)}
        for block, scaler in self.scalers_.items():
            arrays |= named(block, scaler)
        settings = {"parts": self.parts, "reduced": self.reduced, "sample": self.sample}
        return State(arrays, settings | {"version": self.version_})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted encoder back from its state."""
        settings = dict(state.settings)
        version = str(settings.pop("version"))
        encoder = cls(**settings)
        encoder.codebook_ = unnamed(Codebook, "codebook", state.arrays)
        encoder.reduction_ = unnamed(Reduction, "reduction", state.arrays)
        encoder.scalers_ = {block: unnamed(Scaler, block, state.arrays) for block in BLOCKS}
        encoder.version_ = version
        return encoder

    def _fitted(self) -> tuple[Codebook, Reduction]:
        if self.codebook_ is None or self.reduction_ is None:
            raise NotFitted(
                "the audio encoder was asked for features before it learned any",
                remedy="call fit, or load a model",
            )
        return self.codebook_, self.reduction_


def _sample(local: list[Array], size: int, rng: np.random.Generator) -> Array:
    """About equally many frames of each recording, so that a long one does not rule."""
    each = max(1, size // len(local))
    return np.vstack([x if len(x) <= each else x[rng.permutation(len(x))[:each]] for x in local])


def _statistics(heard: Frames) -> dict[str, Array]:
    """One recording's blocks, each ``(d,)``; the covariance by its signed root."""
    bands, cepstra, shape = heard.bands, heard.cepstra, heard.shape
    slopes = slope(cepstra)
    low, middle, high = np.quantile(bands, (0.1, 0.5, 0.9), axis=0)
    centred = cepstra - cepstra.mean(0)
    covariance = (centred.T @ centred / len(cepstra))[UPPER]  # (210,)
    length = np.log10([len(bands)])
    return {
        "bands": _row(bands.mean(0), bands.std(0), low, middle, high),
        "shape": _row(
            shape.mean(0), shape.std(0), shape.min(0), shape.max(0), slope(shape).std(0), length
        ),
        "covariance": _row(
            cepstra.mean(0), slopes.std(0), slope(slopes).std(0), _signed_root(covariance)
        ),
        "modulation": modulation(bands),
    }


def _row(*parts: np.typing.ArrayLike) -> Array:
    return np.concatenate([np.asarray(p, np.float32) for p in parts])


def _signed_root(x: Array) -> Array:
    return np.sign(x) * np.sqrt(np.abs(x))
