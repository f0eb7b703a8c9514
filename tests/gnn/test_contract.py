"""What every registered refiner must do."""

from __future__ import annotations

import json

import numpy as np
import pytest

from graphretrieval import registry
from graphretrieval.types import Graph
from tests.gnn.planted import planted

NAMES = registry.names("refiner")


@pytest.fixture(params=NAMES)
def refiner(request):
    return registry.resolve("refiner", request.param)


def fit(cls, graph, h, seed=0):
    return cls().fit(graph, h, np.arange(0, len(graph.src), 12), seed=seed)


def test_refined_vectors_keep_shape_and_type(refiner):
    graph, h, _ = planted(0)
    z = fit(refiner, graph, h).refine(graph, h)
    assert z.shape == h.shape
    assert z.dtype == np.float32
    assert np.isfinite(z).all()


def test_refining_leaves_its_input_alone(refiner):
    graph, h, _ = planted(0)
    before = h.copy()
    fit(refiner, graph, h).refine(graph, h)
    np.testing.assert_array_equal(h, before)


def test_the_state_is_json_and_brings_the_same_answers_back(refiner):
    graph, h, _ = planted(0)
    first = fit(refiner, graph, h)
    state = first.state()
    json.dumps(dict(state.settings))
    again = refiner.from_state(state)
    np.testing.assert_array_equal(again.refine(graph, h), first.refine(graph, h))


def test_the_same_seed_gives_the_same_vectors(refiner):
    graph, h, _ = planted(1)
    first, second = (fit(refiner, graph, h, seed=4).refine(graph, h) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_graph_grown_after_fitting_is_refined(refiner):
    graph, h, _ = planted(0)
    fitted = fit(refiner, graph, h)
    n = len(graph.ids)
    grown = Graph(
        [*graph.ids, "new"],
        (*graph.modalities, "audio"),
        np.append(graph.modality, 2).astype(np.int16),
        (*graph.relations, "NEW_RELATION"),
        np.append(graph.src, n).astype(np.int32),
        np.append(graph.dst, 0).astype(np.int32),
        np.append(graph.relation, 1).astype(np.int16),
        np.append(graph.weight, 1).astype(np.float32),
    )
    z = fitted.refine(grown, np.vstack([h, np.ones((1, h.shape[1]), np.float32)]))
    assert z.shape == (n + 1, h.shape[1])
    np.testing.assert_allclose(z[:n], fitted.refine(graph, h), atol=1e-6)


def test_an_empty_graph_is_refined(refiner):
    graph, h, _ = planted(0)
    fitted = fit(refiner, graph, h)
    none = np.empty(0, np.int32)
    empty = Graph(
        [],
        (),
        none.astype(np.int16),
        (),
        none,
        none,
        none.astype(np.int16),
        none.astype(np.float32),
    )
    assert fitted.refine(empty, np.empty((0, 5), np.float32)).shape == (0, 5)
