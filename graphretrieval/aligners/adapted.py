"""An aligner in service, corrected by new links: a linear map after it, close to the identity.

For modality m: ``embed(m, X) (I + W_m)``, W by ridge regression towards what the items are linked
to. All that it is learned from are vectors that are there already, so that a collection of any
size is corrected without encoding anything again, and corrections of corrections multiply out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from graphretrieval import registry
from graphretrieval.protocols import Aligner, Progress, silent
from graphretrieval.types import Array, State, Supervision

_BASE, _MAP = "base/", "map/"


class AdaptedAligner:
    """Another aligner, and a map ``I + W`` for each modality that was corrected.

    Args:
        base: the registered name of the aligner, or one that is fitted.
    """

    def __init__(self, base: str | Aligner = "cca") -> None:
        self.base: Aligner = registry.resolve("aligner", base)() if isinstance(base, str) else base
        self.maps_: dict[str, Array] = {}  # modality → (d, d)

    @property
    def dim(self) -> int:
        """Columns of ``embed``: the base's."""
        return self.base.dim

    @property
    def columns(self) -> Any:
        """Which text columns the base takes, where it takes a part of them."""
        return getattr(self.base, "columns", None)

    def fit(
        self,
        features: Mapping[str, Array],
        supervision: Supervision,
        *,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn the base anew; then there is nothing to correct."""
        self.base = self.base.fit(features, supervision, seed=seed, progress=progress)
        self.maps_ = {}
        return self

    def embed(self, modality: str, features: Array) -> Array:
        """The base's vectors, mapped."""
        return mapped(self.base.embed(modality, features), self.maps_.get(modality))

    def corrected(self, maps: Mapping[str, Array]) -> AdaptedAligner:
        """One that maps once more, by these."""
        out = AdaptedAligner(self.base)
        out.maps_ = dict(self.maps_)
        for modality, more in maps.items():
            before = self.maps_.get(modality)
            out.maps_[modality] = more if before is None else before @ more
        return out

    def state(self) -> State:
        """The base's state and the maps."""
        base = self.base.state()
        arrays: dict[str, npt.NDArray[Any]] = {_BASE + k: v for k, v in base.arrays.items()}
        arrays |= {_MAP + m: w for m, w in self.maps_.items()}
        name = registry.name_of("aligner", type(self.base))
        return State(arrays, {"base": name, "settings": dict(base.settings)})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The corrected aligner back."""
        mine = {k.removeprefix(_BASE): v for k, v in state.arrays.items() if k.startswith(_BASE)}
        base = registry.resolve("aligner", state.settings["base"])
        out = cls(base.from_state(State(mine, state.settings["settings"])))
        maps = {k.removeprefix(_MAP): v for k, v in state.arrays.items() if k.startswith(_MAP)}
        out.maps_ = {m: np.asarray(w, np.float32) for m, w in maps.items()}
        return out


def mapped(x: Array, w: Array | None) -> Array:
    """``x (I + W)``, given ``I + W``; x itself where there is none."""
    return x if w is None else np.asarray(x @ w, np.float32)


def corrections(
    x: Array, y: Array, weight: Array, strengths: Sequence[float]
) -> Iterator[tuple[float, Array]]:
    """``I + W`` with W = argmin Σ wᵢ ‖xᵢ (I + W) − yᵢ‖² + λ ‖W‖², for each strength.

    Args:
        x: ``(p, d)`` vectors to be moved.
        y: ``(p, d)`` where to.
        weight: ``(p,)``.
        strengths: λ as a share of the mean square of x times the total weight; large holds still.
    """
    d = x.shape[1]
    xw = x * weight[:, None]
    gram, moved = (np.asarray(xw.T @ to, np.float64) for to in (x, y - x))
    for strength in strengths:
        ridge = strength * np.trace(gram) / d + 1e-12
        w = np.linalg.solve(gram + ridge * np.eye(d), moved)
        yield strength, np.asarray(np.eye(d) + w, np.float32)
