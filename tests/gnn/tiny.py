"""A graph small enough for sums by hand, as one layer reads it, and random weights."""

from __future__ import annotations

import numpy as np
import torch

from graphretrieval.gnn.messages import Typed
from graphretrieval.gnn.sampling import blocks, presence, whole
from tests.gnn.planted import graph_of

DIM = 6
EDGES = [(3, 0, 0), (4, 0, 0), (4, 1, 0), (3, 4, 1), (0, 1, 1), (4, 2, 1)]
WEIGHTS = [1.0, 3.0, 2.0, 1.0, 0.5, 1.0]


def tiny(seed=0):
    """Three images, two texts and one text that hears nobody; two relations."""
    graph = graph_of([0, 0, 0, 1, 1, 1], EDGES, ("DESCRIBES", "RELATED_TO"), WEIGHTS)
    h = np.random.default_rng(seed).standard_normal((6, DIM)).astype(np.float32)
    return graph, h


def a_block(graph, h):
    typed = Typed.of(graph)
    present = presence(typed, h, 1)
    return typed, blocks(typed, whole(typed, 1), graph.modality.astype(np.int64), present)[0]


def heard_by(block, i):
    """(speaker, type, share) of all that node i hears."""
    mine = (block.listener == i).numpy()
    return [
        (int(s), int(t), float(w))
        for s, t, w in zip(block.speaker[mine], block.type[mine], block.share[mine], strict=True)
    ]


def at_random(module, seed=0):
    """The same module with all weights drawn anew: at the start many are zero or the identity."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape))
    return module
