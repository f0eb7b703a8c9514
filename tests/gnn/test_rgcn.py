from __future__ import annotations

import numpy as np
import torch

from graphretrieval.gnn.rgcn import RelationalConvolution
from tests.gnn.tiny import DIM, a_block, at_random, heard_by, tiny


def by_type(block, i, h):
    said = {}
    for s, t, _ in heard_by(block, i):
        said.setdefault(t, []).append(h[s])
    return said


def test_relational_convolution_is_its_formula_node_by_node():
    graph, h = tiny()
    typed, block = a_block(graph, h)
    conv = at_random(RelationalConvolution(DIM, len(typed.types), 3))
    g = conv(torch.from_numpy(h), block).detach().numpy()
    bases, comp = (w.detach().numpy() for w in (conv.conv.weight, conv.conv.comp))
    matrix = np.einsum("rb,bio->rio", comp, bases)
    for i in range(6):
        said = by_type(block, i, h)
        parts = [np.mean(rows, axis=0) @ matrix[t] for t, rows in said.items()]
        want = np.mean(parts, axis=0) if parts else np.zeros(DIM)
        np.testing.assert_allclose(g[i], want, atol=1e-5)


def test_at_first_it_is_nearly_the_mean_of_the_types_means():
    graph, h = tiny()
    typed, block = a_block(graph, h)
    torch.manual_seed(0)
    g = RelationalConvolution(DIM, len(typed.types), 1)(torch.from_numpy(h), block).detach()
    means = [np.mean(rows, axis=0) for rows in by_type(block, 0, h).values()]
    np.testing.assert_allclose(g[0].numpy(), np.mean(means, axis=0), atol=1e-5)
