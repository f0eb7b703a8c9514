from __future__ import annotations

import numpy as np
import pytest

from graphretrieval.arrays import csr, normalise
from graphretrieval.errors import NotFitted
from graphretrieval.gnn.propagate import PropagateRefiner
from graphretrieval.types import DESCRIBES
from tests.gnn.planted import graph_of, planted


def some_edges(graph, share=0.1):
    edges = graph.edges_of(DESCRIBES)
    return np.sort(np.random.default_rng(1).choice(edges, int(len(edges) * share), replace=False))


def precision(graph, queries, gallery, topic):
    """P@10 of texts asking for images by topic."""
    images, texts = graph.rows_of("image"), graph.rows_of("text")
    scores = normalise(queries[texts]) @ normalise(gallery[images]).T
    best = np.argsort(-scores, axis=1)[:, :10]
    return float((topic[images][best] == topic[texts][:, None]).mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_true_links_make_refined_vectors_better(seed):
    graph, h, topic = planted(seed)
    refiner = PropagateRefiner().fit(graph, h, some_edges(graph), seed=seed)
    z = refiner.refine(graph, h)
    assert refiner.depth_ >= 1
    assert 0 < refiner.alpha_ < 1
    assert sum(refiner.weights_.values()) == pytest.approx(1)
    assert precision(graph, h, z, topic) > precision(graph, h, h, topic) + 0.1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_rewired_graph_is_ignored(seed):
    graph, h, _ = planted(seed, rewired=True)
    refiner = PropagateRefiner().fit(graph, h, some_edges(graph), seed=seed)
    assert refiner.depth_ == 0
    assert refiner.weights_ == {}
    np.testing.assert_array_equal(refiner.refine(graph, h), h)


def test_a_useless_relation_gets_the_smaller_weight():
    graph, h, _ = planted(0)
    noise, _, _ = planted(0, rewired=True)
    both = graph_of(
        graph.modality,
        np.concatenate(
            [
                np.stack([graph.src, graph.dst, np.zeros_like(graph.src)], 1),
                np.stack([noise.src, noise.dst, np.ones_like(noise.src)], 1),
            ]
        ),
        ("DESCRIBES", "RANDOM"),
    )
    weights = PropagateRefiner().fit(both, h, some_edges(graph)).weights_
    true = weights["DESCRIBES:in:text>image"]
    assert weights.get("RANDOM:in:text>image", 0) < 0.5 * true


def test_the_hidden_links_carry_no_message():
    # noise only: a vector can be found by a link's other end only if the link itself is heard
    rng = np.random.default_rng(0)
    n = 300
    h = normalise(rng.standard_normal((2 * n, 16)))
    pairs = np.stack([np.arange(n) + n, np.arange(n)], 1)
    twice = np.concatenate([np.c_[pairs, np.zeros(n, int)], np.c_[pairs[:, ::-1], np.ones(n, int)]])
    graph = graph_of(np.repeat([0, 1], n), twice, ("DESCRIBES", "SHOWN_BY"))
    refiner = PropagateRefiner().fit(graph, h, graph.edges_of(DESCRIBES))
    assert refiner.depth_ == 0
    assert refiner.report_["mrr@1"] < 0.1


def test_the_same_seed_learns_the_same():
    graph, h, _ = planted(3)
    first, second = (
        PropagateRefiner().fit(graph, h, some_edges(graph), seed=5).state() for _ in range(2)
    )
    assert first.settings == second.settings


def test_state_brings_the_refiner_back():
    graph, h, _ = planted(0)
    refiner = PropagateRefiner(max_depth=1).fit(graph, h, some_edges(graph))
    again = PropagateRefiner.from_state(refiner.state())
    np.testing.assert_array_equal(again.refine(graph, h), refiner.refine(graph, h))
    assert again.max_depth == 1
    assert again.report_ == refiner.report_


def test_nodes_without_vectors_are_filled_from_their_neighbours():
    graph, h, _ = planted(0)
    h = h.copy()
    images = graph.rows_of("image")
    h[images[::2]] = 0
    refiner = PropagateRefiner().fit(graph, h, some_edges(graph))
    z = refiner.refine(graph, h)
    linked = np.intersect1d(images[::2], graph.dst)
    assert np.isfinite(z).all()
    assert z[linked].any(axis=1).all()


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_links_leave_vectors_as_they_are(count):
    graph, h, _ = planted(0)
    refiner = PropagateRefiner().fit(graph, h, np.arange(count))
    np.testing.assert_array_equal(refiner.refine(graph, h), h)


def test_links_between_nodes_without_vectors_teach_nothing():
    graph, h, _ = planted(0)
    refiner = PropagateRefiner().fit(graph, np.zeros_like(h), some_edges(graph))
    assert refiner.depth_ == 0


def test_refining_before_fitting_is_refused():
    graph, h, _ = planted(0)
    with pytest.raises(NotFitted, match="call fit"):
        PropagateRefiner().refine(graph, h)


def fitted(strength):
    refiner = PropagateRefiner()
    refiner.depth_, refiner.strength_ = 1, strength
    return refiner


def test_a_query_absorbs_its_links_by_alpha():
    refiner = fitted({"DESCRIBES:in:text>image": 3.0})  # α = 1/4
    links = csr(3, np.array([0, 0, 2]), np.array([0, 1, 1]), np.array([1.0, 3.0, 1.0]))
    q = np.array([[4, 0], [1, 1], [0, 0]], np.float32)
    refined = np.array([[0, 4], [0, 8]], np.float32)
    z = refiner.absorb(q, links, refined)
    np.testing.assert_allclose(z, [[1, 0.75 * 7], [1, 1], [0, 8]], rtol=1e-6)


def test_a_query_absorbs_nothing_where_the_graph_is_no_help():
    refiner = PropagateRefiner()
    refiner.depth_ = 0
    links = csr(1, np.array([0]), np.array([0]), np.array([1.0]))
    q = np.array([[4, 0]], np.float32)
    np.testing.assert_array_equal(refiner.absorb(q, links, np.ones((1, 2), np.float32)), q)
