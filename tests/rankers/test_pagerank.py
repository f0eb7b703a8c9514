"""Personalised PageRank against the same walks as dense matrices."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.rankers.adjacency import Adjacency
from graphretrieval.rankers.pagerank import RESTART, STEPS, pagerank
from tests.rankers.test_walks import graph

NODES = 8
EDGES = st.lists(
    st.tuples(
        st.integers(0, NODES - 1),
        st.sampled_from(("DESCRIBES", "IN_CATEGORY")),
        st.integers(0, NODES - 1),
        st.floats(0.1, 1.0),
    ),
    max_size=20,
    unique_by=lambda e: e[:3],
)


def met(edges, anchors: list[tuple[int, float]], n: int = NODES, **limits) -> np.ndarray:
    rows = np.array([a for a, _ in anchors], np.int64)
    weights = np.array([w for _, w in anchors], np.float32)
    table = pagerank(Adjacency(graph(n, edges)), np.array([0, len(rows)]), rows, weights, **limits)
    return table.toarray()[0]


@given(EDGES, st.lists(st.tuples(st.integers(0, NODES - 1), st.floats(0.1, 1)), min_size=1))
@settings(deadline=None, max_examples=60)
def test_walkers_are_met_as_often_as_by_powers_of_the_transition_matrix(edges, anchors) -> None:
    one_step = np.zeros((NODES, NODES))
    for a, _, b, weight in edges:
        one_step[a, b] += weight
        one_step[b, a] += weight
    degree = np.zeros(NODES)
    np.add.at(degree, [e[0] for e in edges] + [e[2] for e in edges], 1)
    one_step /= np.maximum(degree, 1)[:, None]
    begun = np.zeros(NODES)
    for row, weight in anchors:
        begun[row] += weight
    here = RESTART * begun / begun.sum()
    expected = here.copy()
    for _ in range(STEPS):
        here = (1 - RESTART) * here @ one_step
        expected += here
    np.testing.assert_allclose(met(edges, anchors), expected, atol=1e-6)


def test_a_node_that_more_anchors_lead_to_is_met_more_often() -> None:
    edges = [(0, "DESCRIBES", 3, 1.0), (1, "DESCRIBES", 3, 1.0), (2, "DESCRIBES", 4, 1.0)]
    found = met(edges, [(0, 0.5), (1, 0.5), (2, 0.5)])
    assert found[3] > 1.5 * found[4] > 0


def test_each_query_has_walkers_of_its_own() -> None:
    edges = Adjacency(graph(4, [(0, "DESCRIBES", 1, 1.0), (2, "DESCRIBES", 3, 1.0)]))
    table = pagerank(edges, np.array([0, 1, 1, 2]), np.array([0, 2]), np.ones(2, np.float32))
    assert table.shape == (3, 4)
    found = table.toarray()
    assert (found > 0).tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]]


def test_fan_out_and_beam_leave_the_weakest_ways_out() -> None:
    edges = [(0, "DESCRIBES", 1, 1.0), (0, "DESCRIBES", 2, 0.5), (3, "DESCRIBES", 4, 1.0)]
    anchors = [(0, 0.9), (3, 0.1)]
    assert met(edges, anchors)[[1, 2, 4]].all()
    narrow = met(edges, anchors, fan_out=1)
    assert (narrow[[1, 2, 4]] > 0).tolist() == [True, False, True]
    short = met(edges, anchors, beam=1)
    assert (short[[1, 4]] > 0).tolist() == [True, False]
