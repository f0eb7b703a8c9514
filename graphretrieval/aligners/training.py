"""Heads and the training loop that all neural aligners share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from graphretrieval.protocols import Progress
from graphretrieval.types import Array

# CLIP's bound (Radford et al. 2021): beyond it the loss only fits noise
MOST_SHARP = 100.0
# learned sharpness starts at a temperature of .1
SHARPNESS = 10.0


class Head(nn.Module):
    """A linear map, plus a small network where ``hidden`` > 0; rows come out at unit length."""

    def __init__(self, inputs: int, outputs: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.network: nn.Module | None = None
        if hidden:
            self.network = nn.Sequential(
                nn.Linear(inputs, hidden),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, outputs),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(n, inputs)`` → ``(n, outputs)``."""
        y = self.linear(x)
        if self.network is not None:
            y = y + self.network(x)
        return nn.functional.normalize(y, dim=-1)


class Heads(nn.Module):
    """One head for each modality, and the sharpness (inverse temperature) they share."""

    def __init__(
        self, inputs: Mapping[str, int], outputs: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.of = nn.ModuleDict({m: Head(n, outputs, hidden, dropout) for m, n in inputs.items()})
        self.log_sharpness = nn.Parameter(torch.tensor(float(np.log(SHARPNESS))))

    @property
    def sharpness(self) -> torch.Tensor:
        """The inverse temperature."""
        return self.log_sharpness.clamp(max=float(np.log(MOST_SHARP))).exp()

    def embed(self, modality: str, z: Array) -> Array:
        """Unit vectors of reduced features, without dropout."""
        self.eval()
        with torch.no_grad():
            y = self.of[modality](torch.from_numpy(np.ascontiguousarray(z, np.float32)))
        return np.asarray(y.numpy(), np.float32)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All parameters by name, for a state."""
        return {f"heads.{k}": v.detach().numpy().copy() for k, v in self.state_dict().items()}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Parameters from a state."""
        mine = {
            k[6:]: torch.from_numpy(np.array(v)) for k, v in arrays.items() if k[:6] == "heads."
        }
        self.load_state_dict(mine)
        return self


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    ``patience`` counts judgements, each ``every`` steps, without a better one.
    """

    steps: int = field(default=400)
    every: int = field(default=20)
    patience: int = field(default=5)
    rate: float = field(default=1e-3)
    decay: float = field(default=1e-2)


def train(
    heads: Heads,
    loss: Callable[[np.random.Generator], torch.Tensor],
    judge: Callable[[], float | None],
    schedule: Schedule,
    *,
    seed: int,
    progress: Progress,
) -> int:
    """AdamW (Loshchilov & Hutter 2019) with a falling rate; the best judged weights are kept.

    Args:
        heads: changed in place.
        loss: a fresh batch's loss; draws its rows from the generator.
        judge: higher is better; ``None`` where it cannot tell, and then the last weights stay.
        schedule: steps and rates.
        seed: of batches and dropout.
        progress: called at each judgement.

    Returns:
        The step the kept weights are from.
    """
    rng = np.random.default_rng(seed)
    adam = torch.optim.AdamW(heads.parameters(), lr=schedule.rate, weight_decay=schedule.decay)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(schedule.steps, 1))
    best, kept, at, worse = -1.0, None, schedule.steps, 0
    for step in range(1, schedule.steps + 1):
        heads.train()
        adam.zero_grad()
        loss(rng).backward()  # type: ignore[no-untyped-call]
        adam.step()
        slower.step()
        if step % schedule.every and step < schedule.steps:
            continue
        progress(step, schedule.steps, "training heads")
        score = judge()
        if score is None:
            continue
        if score > best:
            best, kept, at, worse = score, copy.deepcopy(heads.state_dict()), step, 0
        else:
            worse += 1
        if worse >= schedule.patience:
            break
    if kept is not None:
        heads.load_state_dict(kept)
    return at
