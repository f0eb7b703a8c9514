from __future__ import annotations

import numpy as np
import torch

from graphretrieval.gnn.messages import Typed
from graphretrieval.gnn.sign import Fusion, SignRefiner, features
from tests.gnn.planted import planted
from tests.gnn.test_propagate import precision, some_edges
from tests.gnn.tiny import DIM, tiny


def slow_mean(graph, typed, kind, x):
    """The weighted mean over one type's speakers that have a vector."""
    out = np.zeros_like(x, dtype=float)
    for i in range(len(x)):
        said = [
            (w, x[s])
            for a, s, t, w in zip(
                typed.listener, typed.speaker, typed.type, typed.weight, strict=True
            )
            if a == i and t == kind and x[s].any()
        ]
        if said:
            out[i] = sum(w * v for w, v in said) / sum(w for w, _ in said)
    return out


def test_path_features_are_means_of_means():
    graph, h = tiny()
    h[3] = 0
    typed = Typed.of(graph)
    kinds = range(len(typed.types))
    ways = [(t,) for t in kinds] + [(a, b) for a in kinds for b in kinds]
    found = dict(features(typed, h, ways))
    for i, way in enumerate(ways):
        want = h
        for kind in reversed(way):
            want = slow_mean(graph, typed, kind, want)
        np.testing.assert_allclose(found[i], want, atol=1e-5)


def test_paths_are_weighed_among_those_that_a_node_has():
    torch.manual_seed(0)
    network = Fusion(DIM, 3, 8, 1)
    with torch.no_grad():
        network.path_gate.copy_(torch.tensor([0.0, 1.0, 2.0]))
        network.gate.fill_(0.5)
    rho = np.log1p(np.exp([0.0, 1.0, 2.0]))
    rng = np.random.default_rng(0)
    x, said = (rng.standard_normal(s).astype(np.float32) for s in ((2, DIM), (2, 3, DIM)))
    has = np.array([[True, False, True], [False, False, False]])
    said[~has] = 0
    z = network(*map(torch.from_numpy, (x, said, has, np.zeros(2, np.int64)))).detach().numpy()
    g = (rho[0] * said[0, 0] + rho[2] * said[0, 2]) / (rho[0] + rho[2])
    np.testing.assert_allclose(z[0], (x[0] + 0.5 * g) / 1.5, atol=1e-5)
    np.testing.assert_array_equal(z[1], x[1])


def test_refining_all_at_once_is_what_was_learned_from_rows():
    graph, h, topic = planted(0)
    refiner = SignRefiner(steps=60).fit(graph, h, some_edges(graph))
    assert refiner.active_
    assert max(map(len, refiner.ways_)) == 2
    z = refiner.refine(graph, h)
    assert precision(graph, h, z, topic) > precision(graph, h, h, topic) + 0.1
    x = torch.from_numpy(h * np.float32(refiner.scale_))
    said = np.zeros((len(h), refiner.ways, h.shape[1]), np.float32)
    for i, one in features(Typed.of(graph).among(refiner.types_), x.numpy(), refiner.ways_):
        said[:, i] = one
    has = torch.from_numpy(said.any(2))
    rows = refiner.network_(x, torch.from_numpy(said), has, torch.from_numpy(refiner.codes(graph)))
    np.testing.assert_allclose(z, rows.detach().numpy() / refiner.scale_, atol=1e-5)
