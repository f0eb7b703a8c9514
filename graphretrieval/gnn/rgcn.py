"""Relational graph convolution: a matrix for each type of message, from a few shared ones.

R-GCN (Schlichtkrull et al. 2018) with basis decomposition: ``gᵢ = 1/|Rᵢ| Σ_{r ∈ Rᵢ} W_r x̄ᵣ``,
``W_r = Σ_b a_{rb} V_b``, where x̄ᵣ is the mean over the neighbours of message type r and Rᵢ the
types that i hears. At first V₁ is the identity and each a_{r1} = 1. Edge weights count only by
being zero or not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from graphretrieval.gnn.geometric import RGCNConv
from graphretrieval.gnn.learned import LearnedRefiner
from graphretrieval.gnn.network import eye
from graphretrieval.gnn.sampling import Block


class RelationalConvolution(nn.Module):
    """torch-geometric's ``RGCNConv``, over the number of types that a node hears."""

    def __init__(self, dim: int, types: int, bases: int) -> None:
        super().__init__()
        self.types = types
        self.conv = RGCNConv(
            (dim, dim), dim, types, num_bases=min(bases, types), root_weight=False, bias=False
        )
        with torch.no_grad():
            self.conv.weight.mul_(0.1)
            self.conv.comp.mul_(0.1)
            self.conv.comp[:, 0] = 1
        eye(self.conv.weight[0])

    def forward(self, x: torch.Tensor, block: Block) -> torch.Tensor:
        """``(nodes, d)`` → ``(listeners, d)``."""
        out: torch.Tensor = self.conv((x, x[: block.listeners]), block.edges, block.type)
        pairs = torch.unique(block.listener * self.types + block.type)
        count = torch.bincount(pairs // self.types, minlength=block.listeners)
        return out / count.clamp_min(1)[:, None]


class RgcnRefiner(LearnedRefiner):
    """R-GCN of ``bases`` shared matrices; the other arguments are every learned refiner's."""

    def __init__(self, *, bases: int = 4, **options: Any) -> None:
        super().__init__(**options)
        self.bases = bases

    def options(self) -> dict[str, Any]:
        """What the refiner was made with."""
        return {"bases": self.bases, **super().options()}

    def convolution(self, dim: int) -> nn.Module:
        """A matrix for each message type learned on."""
        return RelationalConvolution(dim, len(self.types_), self.bases)
