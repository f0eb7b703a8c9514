"""Contrastive alignment: what belongs together is pulled together, all else in the batch apart.

InfoNCE (van den Oord et al. 2018), symmetric as in CLIP (Radford et al. 2021), over the pairs of
any number of modalities at once; items that share a category are positives too (Khosla et al.
2020). The heads are small and stand on fixed features, so that minutes of one core are enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from graphretrieval.aligners.basis import Basis
from graphretrieval.aligners.objectives import symmetric, within
from graphretrieval.aligners.pairs import Judge, Material, Pairs
from graphretrieval.aligners.training import Heads, Schedule, train
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.protocols import Progress, silent
from graphretrieval.types import Array, Bools, Ints, State, Supervision


class ContrastiveAligner:
    """Heads trained by contrast; vectors come out at unit length.

    Args:
        size: columns of the shared space.
        hidden: width of each head's network; 0 leaves a linear map.
        components: principal components each modality is reduced to beforehand, at most.
        dropout: share of hidden units silenced in training.
        batch: pairs drawn for each kind of pair at each step.
        labelled: rows drawn from each labelled modality at each step.
        class_weight: weight of the category term beside the pairs'.
        steps: most steps of training; fewer where held rows get worse.
        rate: learning rate.
        decay: weight decay.
    """

    def __init__(
        self,
        *,
        size: int = 128,
        hidden: int = 256,
        components: int = 256,
        dropout: float = 0.2,
        batch: int = 256,
        labelled: int = 96,
        class_weight: float = 1.0,
        steps: int = 400,
        rate: float = 1e-3,
        decay: float = 1e-2,
    ) -> None:
        self.size = size
        self.hidden = hidden
        self.components = components
        self.dropout = dropout
        self.batch = batch
        self.labelled = labelled
        self.class_weight = class_weight
        self.steps = steps
        self.rate = rate
        self.decay = decay
        self.bases_: dict[str, Basis] = {}
        self.heads_: Heads | None = None
        self.steps_ = 0

    @property
    def dim(self) -> int:
        """Columns of ``embed``."""
        return self.size

    def fit(
        self,
        features: Mapping[str, Array],
        supervision: Supervision,
        *,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Train on pairs and categories; stop early by held rows, then train on those as well.

        Raises:
            NothingToLearn: no two modalities share pairs or labels.
        """
        material = Material.of(features, supervision, seed)
        views = material.joined(material.fitted(everything=True))
        if not views:
            raise NothingToLearn(
                f"contrast needs pairs or labels that join two modalities, of {sorted(features)}",
                remedy="link items by DESCRIBES, or give both modalities categories",
            )
        self.bases_ = material.bases(views, self.components, seed)
        z = {m: basis(material.features[m]) for m, basis in self.bases_.items()}
        # rows near length √r, so that heads start at the scale their initial weights expect
        z = {m: x * np.float32(np.sqrt(x.shape[1])) for m, x in z.items()}
        rows = material.fitted(everything=False)
        schedule = Schedule(self.steps, rate=self.rate, decay=self.decay)
        judge = Judge(material, seed)
        best = self._train(material, z, rows, schedule, judge, seed, progress)
        if not material.given and best:
            rows = material.fitted(everything=True)
            schedule = replace(schedule, steps=best, every=best)
            self._train(material, z, rows, schedule, None, seed, progress)
        self.steps_ = best
        return self

    def embed(self, modality: str, features: Array) -> Array:
        """Unit vectors ``(n, dim)``; zeros for a modality that was not fitted."""
        heads = self._heads()
        if modality not in self.bases_ or not len(features):
            return np.zeros((len(features), self.size), np.float32)
        basis = self.bases_[modality]
        return heads.embed(modality, basis(features) * np.float32(np.sqrt(basis.size)))

    def state(self) -> State:
        """Principal axes and heads."""
        arrays: dict[str, npt.NDArray[Any]] = self._heads().arrays()
        for m, basis in self.bases_.items():
            arrays |= basis.arrays(m)
        settings = {"views": list(self.bases_), "steps": self.steps_, "options": self._options()}
        return State(arrays, settings)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted aligner back from its state."""
        out = cls(**state.settings["options"])
        arrays = dict(state.arrays)
        out.steps_ = int(state.settings["steps"])
        out.bases_ = {m: Basis.restored(arrays, m) for m in state.settings["views"]}
        out.heads_ = out._fresh_heads(0).restore(arrays)
        return out

    def _options(self) -> dict[str, Any]:
        names = ("size", "hidden", "components", "dropout", "batch", "labelled", "class_weight")
        return {name: getattr(self, name) for name in (*names, "steps", "rate", "decay")}

    def _heads(self) -> Heads:
        if self.heads_ is None:
            raise NotFitted("the heads have not been trained yet", remedy="call fit first")
        return self.heads_

    def _fresh_heads(self, seed: int) -> Heads:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inputs = {m: basis.size for m, basis in self.bases_.items()}
            return Heads(inputs, self.size, self.hidden, self.dropout)

    def _train(
        self,
        material: Material,
        z: Mapping[str, Array],
        rows: Mapping[str, Bools],
        schedule: Schedule,
        judge: Judge | None,
        seed: int,
        progress: Progress,
    ) -> int:
        heads = self.heads_ = self._fresh_heads(seed)
        batches = _Batches(self, heads, material, z, rows)

        def score() -> float | None:
            return judge(lambda m, r: heads.embed(m, z[m][r])) if judge else None

        if batches.empty:  # all that is known lies in the held part
            return schedule.steps
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # of dropout
            return train(heads, batches.loss, score, schedule, seed=seed, progress=progress)


class _Batches:
    """Draws pairs and labelled rows, and puts them before the heads."""

    def __init__(
        self,
        settings: ContrastiveAligner,
        heads: Heads,
        material: Material,
        z: Mapping[str, Array],
        rows: Mapping[str, Bools],
    ) -> None:
        self.settings = settings
        self.heads = heads
        self.z = {m: torch.from_numpy(np.ascontiguousarray(x, np.float32)) for m, x in z.items()}
        self.pairs: Pairs = material.pairs_within(rows)
        self.labels = {m: torch.from_numpy(y) for m, y in material.labels.items() if m in z}
        self.labelled: dict[str, Ints] = {}
        for m, y in material.labels.items():
            known = np.flatnonzero(rows[m] & np.any(y, axis=1))
            if m in z and len(known):
                self.labelled[m] = known

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.pairs and len(self.labelled) < 2

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """The mean of the pairs' terms, and the categories' term beside it."""
        terms = [self._pairs(a, b, p, rng) for (a, b), p in self.pairs.items()]
        total = torch.stack(terms).mean() if terms else torch.zeros(())
        if len(self.labelled) > 1 and self.settings.class_weight:
            total = total + self.settings.class_weight * self._classes(rng)
        return total

    def _pairs(self, a: str, b: str, pairs: Ints, rng: np.random.Generator) -> torch.Tensor:
        size = min(self.settings.batch, len(pairs))
        drawn = pairs[rng.choice(len(pairs), size, replace=False)]
        i, j = torch.from_numpy(drawn[:, 0].copy()), torch.from_numpy(drawn[:, 1].copy())
        # two captions of one picture are both right
        positive = (i[:, None] == i[None, :]) | (j[:, None] == j[None, :])
        x, y = self.heads.of[a](self.z[a][i]), self.heads.of[b](self.z[b][j])
        return symmetric(x, y, positive, self.heads.sharpness)

    def _classes(self, rng: np.random.Generator) -> torch.Tensor:
        vectors, labels = [], []
        for m, rows in self.labelled.items():
            size = min(self.settings.labelled, len(rows))
            drawn = torch.from_numpy(rows[rng.choice(len(rows), size, replace=False)])
            vectors.append(self.heads.of[m](self.z[m][drawn]))
            labels.append(self.labels[m][drawn])
        y = torch.cat(labels)  # (n, C)
        return within(torch.cat(vectors), (y @ y.T) > 0, self.heads.sharpness)
