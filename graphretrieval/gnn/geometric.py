"""torch-geometric's convolutions, brought in without its complaint about torch's own future."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", ".torch.jit.script. is deprecated", FutureWarning)
    from torch_geometric.nn.conv import GATv2Conv, GraphConv, HGTConv, RGCNConv

__all__ = ["GATv2Conv", "GraphConv", "HGTConv", "RGCNConv"]
