from __future__ import annotations

import numpy as np
import pytest
import torch

from graphretrieval.gnn.gat import AttentionConvolution
from tests.gnn.tiny import DIM, a_block, at_random, heard_by, tiny


def slow_attention(conv, block, h, i):
    """The formula, head by head."""
    layer = conv.conv
    value, query = layer.lin_l.weight.detach().numpy(), layer.lin_r.weight.detach().numpy()
    a = layer.att.detach().numpy()[0]  # (heads, width)
    heard = heard_by(block, i)
    out = []
    for k in range(layer.heads):
        rows = slice(k * layer.out_channels, (k + 1) * layer.out_channels)
        said = [value[rows] @ h[s] for s, _, _ in heard]
        mixed = [v + query[rows] @ h[i] for v in said]
        logit = np.array([a[k] @ np.where(m > 0, m, 0.2 * m) for m in mixed])
        share = np.exp(logit) / np.exp(logit).sum()
        out.append(sum(s * v for s, v in zip(share, said, strict=True)))
    return np.concatenate(out)[:DIM]


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_is_its_formula_node_by_node(heads):
    graph, h = tiny()
    _, block = a_block(graph, h)
    conv = at_random(AttentionConvolution(DIM, heads))
    g = conv(torch.from_numpy(h), block).detach().numpy()
    assert g.shape == (6, DIM)
    for i in range(5):
        np.testing.assert_allclose(g[i], slow_attention(conv, block, h, i), atol=1e-5)


@pytest.mark.parametrize("heads", [1, 4])
def test_at_first_values_pass_unchanged(heads):
    graph, h = tiny()
    _, block = a_block(graph, h)
    g = AttentionConvolution(DIM, heads)(torch.from_numpy(h), block).detach().numpy()
    # image 2 hears text 4 alone
    np.testing.assert_allclose(g[2], h[4], atol=1e-6)
