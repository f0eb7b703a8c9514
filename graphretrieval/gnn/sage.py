"""GraphSAGE: a node's vector and the weighted mean of its neighbours', each through a matrix.

Hamilton, Ying & Leskovec 2017, with the mean as aggregator: ``gᵢ = W₁ xᵢ + W₂ Σⱼ sⱼ xⱼ``, where the
shares sⱼ are the edges' weights over their sum. At first W₁ = 0 and W₂ is the identity. Relations
are told apart only by whether they were learned on.
"""

from __future__ import annotations

import torch
from torch import nn

from graphretrieval.gnn.geometric import GraphConv
from graphretrieval.gnn.learned import LearnedRefiner
from graphretrieval.gnn.network import eye
from graphretrieval.gnn.sampling import Block


class SageConvolution(nn.Module):
    """torch-geometric's ``GraphConv`` with shares for weights, which is SAGE's mean."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = GraphConv((dim, dim), dim, aggr="add", bias=False)
        eye(self.conv.lin_rel.weight)
        nn.init.zeros_(self.conv.lin_root.weight)

    def forward(self, x: torch.Tensor, block: Block) -> torch.Tensor:
        """``(nodes, d)`` → ``(listeners, d)``."""
        out: torch.Tensor = self.conv((x, x[: block.listeners]), block.edges, block.share)
        return out


class SageRefiner(LearnedRefiner):
    """GraphSAGE with sampled neighbours."""

    def convolution(self, dim: int) -> nn.Module:
        """The mean of neighbours."""
        return SageConvolution(dim)
