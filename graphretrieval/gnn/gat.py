"""Graph attention: a node attends to its neighbours by what they and itself say.

GATv2 (Brody, Alon & Yahav 2022): ``gᵢ = ‖ₖ Σⱼ αᵏᵢⱼ Vᵏ xⱼ`` with
``αᵢⱼ = softmaxⱼ aᵀ LeakyReLU(V xⱼ + U xᵢ)`` for each head k. At first the heads' values make up the
identity. Edge weights count only by being zero or not: attention is to find out who deserves it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from graphretrieval.gnn.geometric import GATv2Conv
from graphretrieval.gnn.learned import LearnedRefiner
from graphretrieval.gnn.network import eye
from graphretrieval.gnn.sampling import Block


class AttentionConvolution(nn.Module):
    """torch-geometric's ``GATv2Conv``; each head gives its part of the columns."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        width = math.ceil(dim / heads)
        self.dim = dim
        self.conv = GATv2Conv((dim, dim), width, heads, add_self_loops=False, bias=False)
        eye(self.conv.lin_l.weight)

    def forward(self, x: torch.Tensor, block: Block) -> torch.Tensor:
        """``(nodes, d)`` → ``(listeners, d)``."""
        out: torch.Tensor = self.conv((x, x[: block.listeners]), block.edges)
        return out[:, : self.dim]  # heads · width may be a little more


class GatRefiner(LearnedRefiner):
    """GATv2 with ``heads`` heads; the other arguments are those of every learned refiner."""

    def __init__(self, *, heads: int = 4, **options: Any) -> None:
        super().__init__(**options)
        self.heads = heads

    def options(self) -> dict[str, Any]:
        """What the refiner was made with."""
        return {"heads": self.heads, **super().options()}

    def convolution(self, dim: int) -> nn.Module:
        """Attention over neighbours."""
        return AttentionConvolution(dim, self.heads)
