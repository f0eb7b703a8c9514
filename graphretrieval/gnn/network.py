"""Layers that let vectors absorb what they hear by a gate that is shut at first.

``x'ᵢ = (xᵢ + γₘ gᵢ) / (1 + |γₘ|)``, γ = 0 at first, one for each layer and listener's modality m (a
gate as in ReZero, Bachlechner et al. 2021), where g is what a convolution makes of the neighbours:
at first their mean, so that the first thing learned is plain propagation. Dividing keeps lengths
comparable between nodes with links and without. Who hears nobody keeps its vector to the bit; who
has none takes what it hears, also while its gate is shut: nothing could ever open that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from graphretrieval.gnn.sampling import Block

#: Makes a convolution: called with the dimension; maps vectors and a block to ``(listeners, d)``.
Convolution = Callable[[int], nn.Module]

# learned sharpness of the softmax over candidates starts at a temperature of .05
SHARPNESS = 20.0
# and stays within CLIP's bound (Radford et al. 2021)
MOST_SHARP = 100.0


class Layer(nn.Module):
    """A convolution, a small network on what it gives (silent at first), and the gates."""

    def __init__(self, conv: nn.Module, dim: int, hidden: int, modalities: int) -> None:
        super().__init__()
        self.conv = conv
        self.bend = bend(dim, hidden)
        self.gate = nn.Parameter(torch.zeros(max(modalities, 1)))

    def forward(self, x: torch.Tensor, block: Block) -> torch.Tensor:
        """``(nodes, d)`` → ``(listeners, d)``."""
        before = x[: block.listeners]
        if not len(block.speaker):
            return before
        g = self.conv(x, block)
        g = g + self.bend(g)
        gate = self.gate[block.modality[: block.listeners].clamp_min(0)]
        return absorb(before, g, gate, block.own, block.heard)


class Network(nn.Module):
    """Layers one after another, and the sharpness that scores are compared with in training."""

    def __init__(
        self, make: Convolution, dim: int, layers: int, hidden: int, modalities: int
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(make(dim), dim, hidden, modalities) for _ in range(layers)
        )
        self.log_sharpness = nn.Parameter(torch.tensor(float(np.log(SHARPNESS))))

    def forward(self, x: torch.Tensor, blocks: Sequence[Block]) -> torch.Tensor:
        """``(nodes, d)`` → ``(seeds, d)``, a block for each layer."""
        for layer, block in zip(self.layers, blocks, strict=True):
            x = layer(x, block)
        return x


def absorb(
    x: torch.Tensor,
    g: torch.Tensor,
    gate: torch.Tensor,
    own: torch.Tensor,
    heard: torch.Tensor,
) -> torch.Tensor:
    """The gated mean of what nodes are and what they hear: ``(n, d)``, with gates ``(n,)``."""
    gate, own, heard = gate[:, None], own[:, None], heard[:, None]
    mixed = (x + gate * g) / (1 + gate.abs())
    return torch.where(heard, torch.where(own, mixed, g), x)


def bend(dim: int, hidden: int) -> nn.Module:
    """A small network that gives zeros at first."""
    last = nn.Linear(hidden, dim, bias=False)
    nn.init.zeros_(last.weight)
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), last)


def eye(weight: torch.Tensor) -> None:
    """Make a weight the identity, cut or padded to its shape."""
    with torch.no_grad():
        weight.copy_(torch.eye(*weight.shape))


def sharpness(network: nn.Module) -> torch.Tensor:
    """The inverse temperature."""
    log: torch.Tensor = network.log_sharpness  # type: ignore[assignment]
    return log.clamp(max=float(np.log(MOST_SHARP))).exp()


def parameters(network: nn.Module) -> dict[str, npt.NDArray[Any]]:
    """All parameters by name, for a state."""
    return {k: v.detach().numpy().copy() for k, v in network.state_dict().items()}


def restore(network: nn.Module, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Parameters from a state."""
    network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in arrays.items()})
