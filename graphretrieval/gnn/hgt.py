"""Heterogeneous graph transformer: attention with weights for each modality and relation.

HGT (Hu et al. 2020): keys, queries and values by the node's modality, bent by a matrix of each
relation and direction, one softmax over all that a node hears. At first values pass unchanged.
Edge weights count only by being zero or not.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from graphretrieval.gnn.geometric import HGTConv
from graphretrieval.gnn.learned import LearnedRefiner
from graphretrieval.gnn.network import eye
from graphretrieval.gnn.sampling import Block


class TransformerConvolution(nn.Module):
    """torch-geometric's ``HGTConv`` over modalities and message types by their numbers.

    Args:
        dim: d.
        ends: for each message type the numbers of its speaker's and its listener's modality.
        heads: of attention.
    """

    def __init__(self, dim: int, ends: list[tuple[int, int]], heads: int) -> None:
        super().__init__()
        width = math.ceil(dim / heads) * heads
        kinds = sorted({kind for pair in ends for kind in pair})
        self.dim = dim
        self.kinds = kinds
        self.edge_types = [(f"m{a}", f"t{i}", f"m{b}") for i, (a, b) in enumerate(ends)]
        self.conv = HGTConv(dim, width, ([f"m{k}" for k in kinds], self.edge_types), heads)
        with torch.no_grad():
            for lin in self.conv.kqv_lin.lins.values():
                lin.weight[2 * width :] = torch.eye(width, dim)
                lin.bias[2 * width :] = 0
            self.conv.v_rel.weight.copy_(torch.eye(self.conv.v_rel.weight.shape[-1])[None])
            for lin in self.conv.out_lin.lins.values():
                eye(lin.weight)
                lin.bias.zero_()

    def forward(self, x: torch.Tensor, block: Block) -> torch.Tensor:
        """``(nodes, d)`` → ``(listeners, d)``."""
        n = len(x)
        rows = {k: torch.nonzero(block.modality == k)[:, 0] for k in self.kinds}
        at = torch.zeros(n, dtype=torch.int64)  # a node's place among its modality
        for mine in rows.values():
            at[mine] = torch.arange(len(mine))
        edges = {}
        for i, name in enumerate(self.edge_types):
            mine = torch.nonzero(block.type == i)[:, 0]
            if len(mine):
                edges[name] = torch.stack([at[block.speaker[mine]], at[block.listener[mine]]])
        there = {f"m{k}": x[mine] for k, mine in rows.items() if len(mine)}
        said = self.conv(there, edges)
        out = torch.zeros_like(x)
        for k, mine in rows.items():
            if said.get(f"m{k}") is not None:
                out = out.index_copy(0, mine, said[f"m{k}"][:, : self.dim])
        return out[: block.listeners]


class HgtRefiner(LearnedRefiner):
    """HGT with ``heads`` heads; the other arguments are those of every learned refiner."""

    def __init__(self, *, heads: int = 4, **options: Any) -> None:
        super().__init__(**options)
        self.heads = heads

    def options(self) -> dict[str, Any]:
        """What the refiner was made with."""
        return {"heads": self.heads, **super().options()}

    def convolution(self, dim: int) -> nn.Module:
        """Attention by modality and relation."""
        number = {m: i for i, m in enumerate(self.modalities_)}
        ends = []
        for name in self.types_:
            speaker, _, listener = name.rpartition(":")[2].partition(">")
            ends.append((number[speaker], number[listener]))
        return TransformerConvolution(dim, ends, self.heads)
