from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.gnn.messages import Typed
from graphretrieval.gnn.sampling import blocks, draw, presence, sample, whole
from tests.gnn.planted import graph_of


def a_graph(n=40, m=160, seed=0):
    rng = np.random.default_rng(seed)
    edges = np.stack([rng.integers(0, n, m), rng.integers(0, n, m)], 1)
    return graph_of(rng.integers(0, 2, n), edges, weight=rng.random(m) + 0.1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(1, 8), st.integers(0, 99))
def test_drawn_entries_are_of_their_row_without_repeats(sizes, fanout, seed):
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    rows = np.random.default_rng(seed).permutation(len(sizes))
    owner, position = draw(indptr, rows, fanout, np.random.default_rng(seed))
    assert len(np.unique(position)) == len(position)
    for i, row in enumerate(rows):
        mine = position[owner == i]
        assert len(mine) == min(sizes[row], fanout)
        assert ((mine >= indptr[row]) & (mine < indptr[row + 1])).all()


def test_each_neighbour_is_as_likely_as_any_other():
    rng, count = np.random.default_rng(0), np.zeros(7)
    for _ in range(3000):
        _, position = draw(np.array([0, 7]), np.array([0]), 3, rng)
        count[position] += 1
    # 3/7 of 3000, four standard deviations either way
    assert np.abs(count - 3000 * 3 / 7).max() < 4 * np.sqrt(3000 * 3 / 7 * 4 / 7)


def test_without_a_fanout_the_sample_is_the_neighbourhood_found_by_walking():
    graph = a_graph()
    typed = Typed.of(graph)
    drawn = sample(typed, np.array([3, 9]), [None, None], np.random.default_rng(0))
    within = {3, 9}
    for k in range(1, 3):
        links = list(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))
        within |= {b for a, b in links if a in within} | {a for a, b in links if b in within}
        assert set(drawn.nodes[: drawn.node_ends[k]].tolist()) == within
    assert drawn.nodes[:2].tolist() == [3, 9]


def test_sampled_messages_are_messages_of_the_graph():
    typed = Typed.of(a_graph())
    drawn = sample(typed, np.array([5, 1, 8]), [3, 2], np.random.default_rng(1))
    np.testing.assert_array_equal(drawn.nodes[drawn.speaker], typed.speaker[drawn.position])
    np.testing.assert_array_equal(drawn.nodes[drawn.listener], typed.listener[drawn.position])
    assert len(np.unique(drawn.nodes)) == len(drawn.nodes)
    assert np.bincount(drawn.listener).max() <= 3
    assert (np.diff(drawn.listener) >= 0).all()


def test_the_same_generator_draws_the_same():
    typed = Typed.of(a_graph())
    first, second = (
        sample(typed, np.arange(5), [2, 2], np.random.default_rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.position, second.position)
    np.testing.assert_array_equal(first.nodes, second.nodes)


def test_a_seed_without_neighbours_hears_nobody():
    typed = Typed.of(graph_of([0, 1, 1], [(1, 0)]))
    drawn = sample(typed, np.array([2]), [5, 5], np.random.default_rng(0))
    made = blocks(typed, drawn, np.zeros(3, np.int64), presence(typed, np.ones((3, 2)), 2))
    assert drawn.nodes.tolist() == [2]
    assert [block.heard.tolist() for block in made] == [[False], [False]]


def test_shares_are_edge_weights_among_speakers_that_have_a_vector():
    graph = graph_of([0, 1, 1, 1], [(1, 0), (2, 0), (3, 0)], weight=[1.0, 3.0, 5.0])
    h = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], np.float32)
    typed = Typed.of(graph)
    made = blocks(typed, whole(typed, 1), graph.modality.astype(np.int64), presence(typed, h, 1))[0]
    mine = made.listener == 0
    assert made.speaker[mine].tolist() == [1, 2]
    assert made.share[mine].tolist() == pytest.approx([0.25, 0.75])
    assert made.own.tolist() == [True, True, True, False]


def test_who_hears_somebody_can_be_heard_one_round_later():
    typed = Typed.of(graph_of([0, 1, 1], [(1, 0), (2, 1)]))
    h = np.array([[0, 0], [0, 0], [1, 1]], np.float32)
    found = presence(typed, h, 3)
    assert [p.tolist() for p in found] == [
        [False, False, True],
        [False, True, True],
        [True, True, True],
    ]


def test_unknown_types_and_weightless_edges_are_no_messages():
    graph = graph_of([0, 1, 1], [(1, 0, 0), (2, 0, 1), (2, 0, 0)], ("A", "B"), [1.0, 1.0, 0.0])
    only = Typed.of(graph).among(("A:in:text>image",))
    assert only.speaker.tolist() == [1]
    assert only.listener.tolist() == [0]
    assert only.indptr.tolist() == [0, 1, 1, 1]
