from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from graphretrieval.gnn.hgt import TransformerConvolution
from tests.gnn.tiny import DIM, a_block, at_random, heard_by, tiny


def a_convolution(typed, heads):
    ends = []
    for name in typed.types:
        speaker, listener = name.rpartition(":")[2].split(">")
        ends.append(tuple(("image", "text").index(m) for m in (speaker, listener)))
    return TransformerConvolution(DIM, ends, heads)


def slow_transformer(conv, block, graph, h, i):
    """Keys and values of each speaker's modality, bent by the message's type, one softmax."""
    layer, heads = conv.conv, conv.conv.heads
    width = layer.out_channels // heads
    kinds = len(layer.edge_types)

    def kqv(node):
        lin = layer.kqv_lin.lins[f"m{graph.modality[node]}"]
        return np.split(lin.weight.detach().numpy() @ h[node] + lin.bias.detach().numpy(), 3)

    query = kqv(i)[1].reshape(heads, width)
    out = np.zeros((heads, width))
    for k in range(heads):
        logit, said = [], []
        for s, t, _ in heard_by(block, i):
            key, _, value = (part.reshape(heads, width)[k] for part in kqv(s))
            bend_k = layer.k_rel.weight.detach().numpy()[k * kinds + t]
            bend_v = layer.v_rel.weight.detach().numpy()[k * kinds + t]
            weight = layer.p_rel["__".join(layer.edge_types[t])].detach().numpy()[0, k]
            logit.append(query[k] @ (key @ bend_k) * weight / math.sqrt(width))
            said.append(value @ bend_v)
        share = np.exp(logit) / np.exp(logit).sum()
        out[k] = share @ np.array(said)
    bent = torch.nn.functional.gelu(torch.tensor(out.reshape(-1), dtype=torch.float32))
    lin = layer.out_lin.lins[f"m{graph.modality[i]}"]
    y = (lin(bent)).detach().numpy()
    skip = float(layer.skip[f"m{graph.modality[i]}"].detach().sigmoid())
    return (skip * y + (1 - skip) * h[i] if len(y) == DIM else y)[:DIM]


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_the_transformer_is_its_formula_node_by_node(heads):
    graph, h = tiny()
    typed, block = a_block(graph, h)
    conv = at_random(a_convolution(typed, heads))
    g = conv(torch.from_numpy(h), block).detach().numpy()
    assert g.shape == (6, DIM)
    for i in range(5):
        np.testing.assert_allclose(g[i], slow_transformer(conv, block, graph, h, i), atol=1e-4)


def test_a_modality_that_only_listens_somewhere_else_is_left_out():
    graph, h = tiny()
    typed, _ = a_block(graph, h)
    _, block = a_block(graph.with_edges(np.array([3])), h)  # only text 3 and text 4 talk
    block.type[:] = torch.tensor(
        [typed.types.index(t) for t in sorted(t for t in typed.types if t.endswith("text>text"))]
    )
    g = a_convolution(typed, 2)(torch.from_numpy(h), block)
    assert torch.isfinite(g).all()
