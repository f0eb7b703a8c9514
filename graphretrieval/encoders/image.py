"""Pictures → features: their edges, their colours, and the outline of the whole.

Fisher vectors (Perronnin et al. 2010) over dense SIFT, opponent-colour SIFT and local colour
statistics, of the whole picture and of its middle, and histograms of oriented gradients; weighed,
joined, and cut to their principal axes. A picture and its mirror image have the same features.
Nothing to download, any size of picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from graphretrieval.arrays import normalise
from graphretrieval.cpus import each
from graphretrieval.encoders.cache import version_of
from graphretrieval.encoders.descriptors import (
    PLACE,
    centre,
    colour_edges,
    colours,
    edges,
    mirror_order,
    outline,
    prepare,
    with_mirrored,
)
from graphretrieval.encoders.fisher import Codebook, fisher_vectors, learn_codebook
from graphretrieval.encoders.reduction import Reduction, learn_reduction, named, unnamed
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.protocols import Progress, silent
from graphretrieval.types import Array, ImageContent, Ints, Modality, State

METHOD = "image-3"


@dataclass(frozen=True)
class Kind:
    """One kind of local descriptor, and what its Fisher vectors weigh (as shares of likeness).

    The weights were chosen by cross-validation on a development set's training pictures.
    """

    describe: Callable[[Array], Array]
    mirror: Ints
    whole: float
    middle: float

    def __call__(self, picture: Array) -> Array:
        """Descriptors of the picture and of its mirror: which way a thing looks is chance."""
        return with_mirrored(self.describe(picture), self.mirror)


KINDS = {
    "edges": Kind(edges, mirror_order(8, turned=True), 1.0, 1.0),
    "colours": Kind(colours, mirror_order(6, turned=False), 0.6, 0.5),
    "colour_edges": Kind(colour_edges, mirror_order(8, turned=True, kinds=2), 0.7, 0.0),
}
SAMPLED = 200  # pictures that give descriptors: mixtures of 64 Gaussians need no more
OUTLINE = 3.0  # most of the outlines' likeness is common to all pictures and drops out


class ImageEncoder:
    """Classical features of pictures, with codebooks of the collection at hand.

    Args:
        parts: Gaussians of each mixture.
        axes: principal axes of the descriptors.
        reduced: at most this many principal axes of the joined blocks are kept.
        pictures: pictures that are learned from, at most.
        sample: descriptors that each mixture is learned from.
    """

    modality: str = Modality.IMAGE.value

    def __init__(
        self,
        *,
        parts: int = 64,
        axes: int = 64,
        reduced: int = 512,
        pictures: int = 500,
        sample: int = 60_000,
    ) -> None:
        self.parts = parts
        self.axes = axes
        self.reduced = reduced
        self.pictures = pictures
        self.sample = sample
        self.codebooks_: dict[str, Codebook] = {}
        self.reduction_: Reduction | None = None
        self.version_ = f"{METHOD}-unfitted"

    @property
    def dim(self) -> int:
        """Columns of ``encode``.

        Raises:
            NotFitted: nothing was learned yet.
        """
        return self._fitted().dim

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
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.permutation(len(contents))[: self.pictures])
        seen = [contents[i] for i in chosen]
        sampled = _sample(seen, self.sample, rng)
        learned = each(
            lambda x: learn_codebook(x, parts=self.parts, axes=self.axes, place=PLACE, seed=seed),
            sampled.values(),
        )
        self.codebooks_ = dict(zip(sampled, learned, strict=True))
        long: list[Array] = []
        for start in range(0, len(seen), 50):
            long += each(self._long, seen[start : start + 50])
            progress(len(long), len(seen), "looking at pictures")
        self.reduction_ = learn_reduction(np.stack(long), self.reduced, np.float16)
        self.version_ = version_of(METHOD, self.state().arrays)
        return self

    def encode(self, contents: Sequence[ImageContent]) -> Array:
        """Features, float32 ``(n, dim)``, finite.

        Raises:
            NotFitted: nothing was learned yet.
        """
        reduce = self._fitted()
        if not contents:
            return np.empty((0, self.dim), np.float32)
        return reduce(np.stack(each(self._long, contents)))

    def state(self) -> State:
        """Mixtures and axes.

        Raises:
            NotFitted: nothing was learned yet.
        """
        arrays: dict[str, npt.NDArray[Any]] = named("reduction", self._fitted())
        for name, codebook in self.codebooks_.items():
            arrays |= named(f"codebook.{name}", codebook)
        settings = {
            "parts": self.parts,
            "axes": self.axes,
            "reduced": self.reduced,
            "pictures": self.pictures,
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
            name: unnamed(Codebook, f"codebook.{name}", state.arrays) for name in KINDS
        }
        encoder.reduction_ = unnamed(Reduction, "reduction", state.arrays)
        encoder.version_ = version
        return encoder

    def _long(self, content: ImageContent) -> Array:
        """One picture's weighed blocks side by side, before the cut."""
        picture = prepare(content)
        blocks = [normalise(outline(picture)) * np.float32(np.sqrt(OUTLINE))]
        for name, kind in KINDS.items():
            x = kind(picture)
            whole, middle = fisher_vectors(x, self.codebooks_[name], centre(x))
            blocks.append(whole * np.float32(np.sqrt(kind.whole)))
            if kind.middle:
                blocks.append(middle * np.float32(np.sqrt(kind.middle)))
        return np.concatenate(blocks)

    def _fitted(self) -> Reduction:
        if self.reduction_ is None:
            raise NotFitted(
                "the image encoder was asked for features before it learned any",
                remedy="call fit, or load a model",
            )
        return self.reduction_


def _sample(
    contents: Sequence[ImageContent], size: int, rng: np.random.Generator
) -> dict[str, Array]:
    """About equally many descriptors of each picture, by kind."""
    chosen = rng.permutation(len(contents))[:SAMPLED]
    share = max(1, size // len(chosen))
    seeds = rng.integers(0, 2**32, len(chosen))

    def some(at: int) -> list[Array]:
        picture, draw = prepare(contents[chosen[at]]), np.random.default_rng(seeds[at])
        described = [kind(picture) for kind in KINDS.values()]
        return [x[draw.permutation(len(x))[:share]] for x in described]

    taken = zip(*each(some, range(len(chosen))), strict=True)
    return {name: np.vstack(x) for name, x in zip(KINDS, taken, strict=True)}
