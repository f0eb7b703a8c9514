from __future__ import annotations

import numpy as np
import torch

from graphretrieval.gnn.sage import SageConvolution
from tests.gnn.tiny import DIM, a_block, at_random, heard_by, tiny


def test_at_first_a_node_hears_the_weighted_mean_of_its_neighbours():
    graph, h = tiny()
    _, block = a_block(graph, h)
    g = SageConvolution(DIM)(torch.from_numpy(h), block).detach().numpy()
    # node 0 hears texts 3 and 4 by 1 and 3, and image 1 by .5
    np.testing.assert_allclose(g[0], (h[3] + 3 * h[4] + 0.5 * h[1]) / 4.5, rtol=1e-5)


def test_sage_is_its_formula_node_by_node():
    graph, h = tiny()
    _, block = a_block(graph, h)
    conv = at_random(SageConvolution(DIM))
    g = conv(torch.from_numpy(h), block).detach().numpy()
    own, said = (w.detach().numpy() for w in (conv.conv.lin_root.weight, conv.conv.lin_rel.weight))
    for i in range(6):
        mean = sum((w * h[s] for s, _, w in heard_by(block, i)), np.zeros(DIM))
        np.testing.assert_allclose(g[i], own @ h[i] + said @ mean, atol=1e-5)
