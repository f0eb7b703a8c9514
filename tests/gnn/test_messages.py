from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.gnn.messages import Typed, propagate, strengths
from tests.gnn.planted import graph_of

HEARS = {"DESCRIBES:in:text>image": 2.0, "DESCRIBES:out:image>text": 0.5}


def once(graph, h, learned=HEARS):
    typed = Typed.of(graph)
    return propagate(typed, h, strengths(typed.types, learned))


def test_a_picture_hears_the_mean_of_its_captions():
    graph = graph_of([0, 1, 1], [(1, 0), (2, 0)])
    h = np.array([[1, 0], [0, 1], [0, 3]], np.float32)
    z = once(graph, h)
    # (1·[1, 0] + 2·mean([0, 1], [0, 3])) / (1 + 2)
    np.testing.assert_allclose(z[0], [1 / 3, 4 / 3], rtol=1e-6)
    np.testing.assert_allclose(z[1], (h[1] + 0.5 * h[0]) / 1.5, rtol=1e-6)


def test_edge_weights_weigh_the_mean():
    graph = graph_of([0, 1, 1], [(1, 0), (2, 0)], weight=[3.0, 1.0])
    h = np.array([[0, 0], [4, 0], [0, 4]], np.float32)
    np.testing.assert_allclose(once(graph, h)[0], [3, 1], rtol=1e-6)


def test_a_lonely_node_keeps_its_vector():
    graph = graph_of([0, 0, 1], [(2, 0)])
    h = np.array([[1, 0], [5, 7], [0, 1]], np.float32)
    np.testing.assert_allclose(once(graph, h)[1], [5, 7], rtol=1e-6)


def test_a_node_without_vector_takes_its_neighbours():
    graph = graph_of([0, 1], [(1, 0)])
    h = np.array([[0, 0], [2, 6]], np.float32)
    np.testing.assert_allclose(once(graph, h)[0], [2, 6], rtol=1e-6)


def test_a_neighbour_without_vector_is_no_neighbour():
    graph = graph_of([0, 1, 1], [(1, 0), (2, 0)])
    h = np.array([[1, 0], [0, 0], [0, 3]], np.float32)
    np.testing.assert_allclose(once(graph, h)[0], [1 / 3, 2], rtol=1e-6)


def test_a_type_never_learned_about_says_nothing():
    graph = graph_of([0, 1], [(1, 0, 1)], relations=("DESCRIBES", "PAINTED_BY"))
    h = np.array([[1, 0], [0, 3]], np.float32)
    np.testing.assert_allclose(once(graph, h), h, rtol=1e-6)


def test_types_are_named_by_relation_direction_and_modalities():
    assert Typed.of(graph_of([0, 1], [(1, 0)])).types == tuple(sorted(HEARS, reverse=True))


def test_an_empty_graph_changes_nothing():
    graph = graph_of([0, 1], np.empty((0, 2)))
    h = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(once(graph, h), h)


def test_silent_nodes_say_and_hear_nothing():
    graph = graph_of([0, 1, 1], [(1, 0), (2, 0)])
    h = np.array([[1, 0], [0, 1], [0, 3]], np.float32)
    typed = Typed.of(graph).without(np.array([False, True, False]))
    z = propagate(typed, h, strengths(typed.types, HEARS))
    np.testing.assert_allclose(z[0], [1 / 3, 2], rtol=1e-6)
    np.testing.assert_allclose(z[1], h[1], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 15), st.integers(0, 40), st.integers(0, 999))
def test_a_round_is_the_formula_node_by_node(n, m, seed):
    rng = np.random.default_rng(seed)
    names = ("DESCRIBES", "RELATED_TO")
    edges = np.stack([rng.integers(0, n, m), rng.integers(0, n, m), rng.integers(0, 2, m)], 1)
    graph = graph_of(rng.integers(0, 2, n), edges, names, rng.random(m))
    h = (rng.standard_normal((n, 3)) * (rng.random((n, 1)) > 0.3)).astype(np.float32)
    typed = Typed.of(graph)
    learned = {t: float(rng.random()) * (rng.random() > 0.3) for t in typed.types}
    z = once(graph, h, learned)
    np.testing.assert_allclose(z, slow_round(graph, h, h, learned), atol=1e-5)
    twice = propagate(typed, h, strengths(typed.types, learned), 2)
    np.testing.assert_allclose(twice, slow_round(graph, h, z, learned), atol=1e-5)
    rows = rng.permutation(n)[: n // 2]
    few = propagate(typed, h, strengths(typed.types, learned), 2, rows=rows)
    np.testing.assert_allclose(few, twice[rows], atol=1e-6)


def slow_round(graph, h, x, learned):
    kinds = [graph.modalities[c] for c in graph.modality]
    heard = [{} for _ in graph.ids]
    for s, d, r, w in zip(graph.src, graph.dst, graph.relation, graph.weight, strict=True):
        for to, by, way in ((d, s, "in"), (s, d, "out")):
            name = f"{graph.relations[r]}:{way}:{kinds[by]}>{kinds[to]}"
            if x[by].any() and w > 0:
                heard[to].setdefault(name, []).append((w, x[by]))
    out = []
    for i, said in enumerate(heard):
        total, vector = float(h[i].any()), h[i].astype(float)
        for name, rows in said.items():
            mean = sum(w * y for w, y in rows) / sum(w for w, _ in rows)
            total, vector = total + learned[name], vector + learned[name] * mean
        out.append(vector / total if total else vector)
    return np.array(out)
