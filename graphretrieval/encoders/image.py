"""Pictures → features: their edges, their colours, and the outline of the whole.

Three blocks: Fisher vectors (Perronnin et al. 2010) over dense SIFT and over local colour
statistics, and histograms of oriented gradients of the whole picture; each at unit length, then
cut to its principal axes. Nothing to download, any size of picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from graphretrieval.arrays import normalise
from graphretrieval.encoders.cache import version_of
from graphretrieval.encoders.descriptors import PLACE, colours, edges, outline, prepare
from graphretrieval.encoders.fisher import Codebook, fisher_vector, learn_codebook
from graphretrieval.encoders.reduction import Reduction, learn_reduction, named, unnamed
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.protocols import Progress, silent
from graphretrieval.types import Array, ImageContent, Ints, Modality, State

METHOD = "image-1"
LOCAL = {"edges": edges, "colours": colours}
BLOCKS = (*LOCAL, "outline")


class ImageEncoder:
    """Classical features of pictures, with codebooks of the collection at hand.

    Args:
        parts: Gaussians of each mixture.
        axes: principal axes of the descriptors.
        reduced: at most this many principal axes of each block are kept.
        sample: descriptors that each mixture is learned from.
    """

    modality: str = Modality.IMAGE.value

    def __init__(
        self, *, parts: int = 64, axes: int = 64, reduced: int = 512, sample: int = 150_000
    ) -> None:
        self.parts = parts
        self.axes = axes
        self.reduced = reduced
        self.sample = sample
        self.codebooks_: dict[str, Codebook] = {}
        self.reductions_: dict[str, Reduction] = {}
        self.version_ = f"{METHOD}-unfitted"

    @property
    def dim(self) -> int:
        """Columns of ``encode``.

        Raises:
            NotFitted: nothing was learned yet.
        """
        self._require_fitted()
        return sum(r.dim for r in self.reductions_.values())

    @property
    def version(self) -> str:
        """The method and a digest of everything learned."""
        return self.version_

    def fit(
        self,
        contents: Sequence[ImageContent],
        *,
        groups: Ints | None = None,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn mixtures and principal axes from a sample of the collection.

        Raises:
            NothingToLearn: there is no picture in the sample.
        """
        if not contents:
            raise NothingToLearn(
                "no picture was given to learn image features from",
                remedy="add pictures, or leave the image encoder out",
            )
        samples = _sample(contents, self.sample, np.random.default_rng(seed))
        self.codebooks_ = {
            name: learn_codebook(x, parts=self.parts, axes=self.axes, place=PLACE, seed=seed)
            for name, x in samples.items()
        }
        rows = []
        for i, content in enumerate(contents):
            rows.append(self._long(content))
            progress(i + 1, len(contents), "looking")
        self.reductions_ = {
            name: learn_reduction(np.stack([r[name] for r in rows]), self.reduced)
            for name in BLOCKS
        }
        self.version_ = version_of(METHOD, self.state().arrays)
        return self

    def encode(self, contents: Sequence[ImageContent]) -> Array:
        """Features, float32 ``(n, dim)``, finite.

        Raises:
            NotFitted: nothing was learned yet.
        """
        self._require_fitted()
        if not contents:
            return np.empty((0, self.dim), np.float32)
        rows = [self._long(content) for content in contents]
        return np.hstack(
            [reduce(np.stack([r[name] for r in rows])) for name, reduce in self.reductions_.items()]
        )

    def state(self) -> State:
        """Mixtures and axes.

        Raises:
            NotFitted: nothing was learned yet.
        """
        self._require_fitted()
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name in LOCAL:
            arrays |= named(f"codebook.{name}", self.codebooks_[name])
        for name in BLOCKS:
            arrays |= named(f"reduction.{name}", self.reductions_[name])
        settings = {
            "parts": self.parts,
            "axes": self.axes,
            "reduced": self.reduced,
            "sample": self.sample,
        }
        return State(arrays, settings | {"version": self.version_})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted encoder back from its state."""
        settings = dict(state.settings)
        version = str(settings.pop("version"))
        encoder = cls(**settings)
        encoder.codebooks_ = {
            name: unnamed(Codebook, f"codebook.{name}", state.arrays) for name in LOCAL
        }
        encoder.reductions_ = {
            name: unnamed(Reduction, f"reduction.{name}", state.arrays) for name in BLOCKS
        }
        encoder.version_ = version
        return encoder

    def _long(self, content: ImageContent) -> dict[str, Array]:
        """One picture's blocks before the cut, each of unit length (zero where nothing is seen)."""
        picture = prepare(content)
        blocks = {
            name: fisher_vector(describe(picture), self.codebooks_[name])
            for name, describe in LOCAL.items()
        }
        return blocks | {"outline": normalise(outline(picture))}

    def _require_fitted(self) -> None:
        if not self.reductions_:
            raise NotFitted(
                "the image encoder was asked for features before it learned any",
                remedy="call fit, or load a model",
            )


def _sample(
    contents: Sequence[ImageContent], size: int, rng: np.random.Generator
) -> dict[str, Array]:
    """About equally many descriptors of each picture, by kind."""
    each = max(1, size // len(contents))
    taken: dict[str, list[Array]] = {name: [] for name in LOCAL}
    for content in contents:
        picture = prepare(content)
        for name, describe in LOCAL.items():
            x = describe(picture)
            taken[name].append(x[rng.permutation(len(x))[:each]])
    return {name: np.vstack(x) for name, x in taken.items()}
