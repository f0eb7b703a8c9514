"""What every registered refiner must do."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest

from graphretrieval import registry
from graphretrieval.errors import BundleError, NotFitted
from graphretrieval.types import Graph
from tests.gnn.planted import graph_of, planted

NAMES = registry.names("refiner")
#: Enough to learn something, little enough to wait for.
QUICK = {
    **{name: {"steps": 40} for name in ("sage", "gat", "rgcn", "hgt", "sign")},
    "auto": {
        "options": {
            "propagate": {"max_depth": 1},
            **{name: {"steps": 20} for name in ("sage", "gat", "rgcn", "sign")},
        }
    },
}
LEARNED = [name for name in NAMES if name not in ("none", "auto")]


@pytest.fixture(params=NAMES)
def refiner(request):
    return request.param


@pytest.fixture(params=LEARNED)
def learned(request):
    return request.param


def fit(name, graph, h, seed=0):
    edges = np.arange(0, len(graph.src), 8)
    return registry.resolve("refiner", name)(**QUICK.get(name, {})).fit(graph, h, edges, seed=seed)


@cache
def fitted(name):
    graph, h, _ = planted(0)
    return graph, h, fit(name, graph, h)


def test_refined_vectors_keep_shape_and_type(refiner):
    graph, h, refiner = fitted(refiner)
    z = refiner.refine(graph, h)
    assert z.shape == h.shape
    assert z.dtype == np.float32
    assert np.isfinite(z).all()


def test_refining_leaves_its_input_alone(refiner):
    graph, h, refiner = fitted(refiner)
    before = h.copy()
    refiner.refine(graph, h)
    np.testing.assert_array_equal(h, before)


def test_fitting_leaves_its_input_alone(learned):
    graph, h, _ = planted(2, n=300)
    before = h.copy()
    fit(learned, graph, h)
    np.testing.assert_array_equal(h, before)


def test_the_state_is_json_and_brings_the_same_answers_back(refiner):
    graph, h, first = fitted(refiner)
    state = first.state()
    again = type(first).from_state(
        type(state)(state.arrays, json.loads(json.dumps(dict(state.settings))))
    )
    np.testing.assert_array_equal(again.refine(graph, h), first.refine(graph, h))


def test_the_same_seed_gives_the_same_vectors(refiner):
    graph, h, first = fitted(refiner)
    second = fit(refiner, graph, h)
    np.testing.assert_array_equal(first.refine(graph, h), second.refine(graph, h))


def test_a_graph_grown_after_fitting_is_refined(refiner):
    graph, h, refiner = fitted(refiner)
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
    z = refiner.refine(grown, np.vstack([h, np.ones((1, h.shape[1]), np.float32)]))
    assert z.shape == (n + 1, h.shape[1])
    np.testing.assert_array_equal(z[n], np.ones(h.shape[1]))
    np.testing.assert_allclose(z[:n], refiner.refine(graph, h), atol=1e-5)


def test_an_empty_graph_is_refined(refiner):
    _, _, refiner = fitted(refiner)
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
    assert refiner.refine(empty, np.empty((0, 5), np.float32)).shape == (0, 5)


def test_true_links_are_made_use_of(learned):
    graph, h, refiner = fitted(learned)
    z = refiner.refine(graph, h)
    linked = np.unique(np.concatenate([graph.src, graph.dst]))
    assert (z[linked] != h[linked]).any(axis=1).mean() > 0.4


def test_a_node_without_edges_keeps_its_vector_to_the_bit(refiner):
    graph, h, refiner = fitted(refiner)
    lonely = np.setdiff1d(np.arange(len(h)), np.concatenate([graph.src, graph.dst]))
    assert len(lonely) > 10
    np.testing.assert_array_equal(refiner.refine(graph, h)[lonely], h[lonely])


def test_a_graph_of_other_nodes_is_refined_by_what_was_learned(learned):
    _, _, refiner = fitted(learned)
    graph, h, _ = planted(5, n=400)
    z = refiner.refine(graph, h)
    linked = np.unique(np.concatenate([graph.src, graph.dst]))
    assert np.isfinite(z).all()
    assert (z[linked] != h[linked]).any(axis=1).mean() > 0.4


def test_the_order_of_nodes_and_edges_does_not_matter(refiner):
    graph, h, refiner = fitted(refiner)
    rng = np.random.default_rng(0)
    order, edges = rng.permutation(len(h)), rng.permutation(len(graph.src))
    place = np.argsort(order)
    rows = np.stack([place[graph.src], place[graph.dst]], 1)[edges]
    shuffled = graph_of(graph.modality[order], rows)
    z = refiner.refine(shuffled, h[order])
    np.testing.assert_allclose(z, refiner.refine(graph, h)[order], atol=1e-4)


def test_relations_never_learned_about_say_nothing(refiner):
    graph, h, refiner = fitted(refiner)
    renamed = Graph(
        graph.ids,
        graph.modalities,
        graph.modality,
        ("OTHERWISE",),
        graph.src,
        graph.dst,
        graph.relation,
        graph.weight,
    )
    np.testing.assert_array_equal(refiner.refine(renamed, h), h)


def test_nodes_without_vectors_take_what_their_neighbours_say(learned):
    graph, h, refiner = fitted(learned)
    h = h.copy()
    images = graph.rows_of("image")
    h[images[::2]] = 0
    z = refiner.refine(graph, h)
    linked = np.intersect1d(images[::2], graph.dst)
    assert np.isfinite(z).all()
    assert z[linked].any(axis=1).all()


def test_a_rewired_graph_is_ignored(refiner):
    graph, h, _ = planted(0, rewired=True)
    np.testing.assert_array_equal(fit(refiner, graph, h).refine(graph, h), h)


def test_too_few_links_leave_vectors_as_they_are(refiner):
    graph, h, _ = planted(0)
    made = registry.resolve("refiner", refiner)().fit(graph, h, np.arange(3))
    np.testing.assert_array_equal(made.refine(graph, h), h)


def test_vectors_that_are_all_zero_teach_nothing(refiner):
    graph, h, _ = planted(0, n=300)
    made = fit(refiner, graph, np.zeros_like(h))
    np.testing.assert_array_equal(made.refine(graph, h), h)


def test_hidden_links_carry_no_message(learned):
    # noise only: a vector can be found by a link's other end only if the link itself is heard
    rng = np.random.default_rng(0)
    n = 300
    h = rng.standard_normal((2 * n, 16)).astype(np.float32)
    pairs = np.stack([np.arange(n) + n, np.arange(n)], 1)
    twice = np.concatenate([np.c_[pairs, np.zeros(n, int)], np.c_[pairs[:, ::-1], np.ones(n, int)]])
    graph = graph_of(np.repeat([0, 1], n), twice, ("DESCRIBES", "SHOWN_BY"))
    made = registry.resolve("refiner", learned)(**QUICK.get(learned, {}))
    made.fit(graph, h, graph.edges_of("DESCRIBES"))
    np.testing.assert_array_equal(made.refine(graph, h), h)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "none"])
def test_refining_before_fitting_is_refused(name):
    graph, h, _ = planted(0, n=300)
    with pytest.raises(NotFitted, match="call fit"):
        registry.resolve("refiner", name)().refine(graph, h)


@pytest.mark.parametrize("name", [n for n in LEARNED if n != "propagate"])
def test_vectors_of_another_space_are_refused(name):
    graph, h, refiner = fitted(name)
    with pytest.raises(BundleError, match="learned on vectors of 24 columns, these have 5"):
        refiner.refine(graph, h[:, :5])


def test_progress_is_told_to_the_end(learned):
    told = []
    graph, h, _ = planted(0, n=300)
    made = registry.resolve("refiner", learned)(**QUICK.get(learned, {}))
    made.fit(graph, h, np.arange(0, len(graph.src), 4), progress=lambda *said: told.append(said))
    assert told
    assert told[-1][0] == told[-1][1]
