"""What every registered index must do, checked against a sort of all inner products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval import registry
from graphretrieval.errors import NotFitted, QueryError
from graphretrieval.indexes.exact import ExactIndex

NAMES = registry.names("index")


def brute(vectors, queries, k):
    scores = queries @ vectors.T
    order = np.lexsort((np.broadcast_to(np.arange(len(vectors)), scores.shape), -scores), axis=1)
    order = order[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n", "k"), [(0, 3), (1, 3), (50, 10), (50, 50), (50, 0)])
def test_nearest_are_those_of_a_full_sort(name, n, k):
    rng = np.random.default_rng(n + k)
    vectors = rng.integers(-3, 4, (n, 6)).astype(np.float32)  # small integers: many ties
    queries = rng.integers(-3, 4, (7, 6)).astype(np.float32)
    index = registry.resolve("index", name)().build(vectors)
    scores, rows = index.search(queries, k)
    expected_scores, expected_rows = brute(vectors, queries, k)
    assert scores.shape == rows.shape == (7, min(k, n))
    assert scores.dtype == np.float32
    assert rows.dtype == np.int64
    assert len(index) == n
    np.testing.assert_array_equal(scores, expected_scores)
    np.testing.assert_array_equal(rows, expected_rows)


@pytest.mark.parametrize("name", NAMES)
def test_searching_before_building_is_refused(name):
    with pytest.raises(NotFitted, match="build"):
        registry.resolve("index", name)().search(np.zeros((1, 2), np.float32), 1)


@pytest.mark.parametrize("name", NAMES)
def test_queries_of_another_width_are_refused(name):
    index = registry.resolve("index", name)().build(np.zeros((4, 3), np.float32))
    with pytest.raises(QueryError, match="3 columns"):
        index.search(np.zeros((1, 2), np.float32), 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_negative_k_is_refused(name):
    index = registry.resolve("index", name)().build(np.zeros((4, 3), np.float32))
    with pytest.raises(QueryError, match="k is -1"):
        index.search(np.zeros((1, 3), np.float32), -1)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 40), st.integers(1, 12), st.integers(1, 9), st.integers(1, 4), st.integers(0, 99)
)
def test_small_blocks_give_the_same_answer_as_one(n, k, block, queries, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (n, 3)).astype(np.float32)
    asked = rng.integers(-1, 2, (6, 3)).astype(np.float32)
    scores, rows = ExactIndex(block=block, queries=queries).build(vectors).search(asked, k)
    expected_scores, expected_rows = brute(vectors, asked, k)
    np.testing.assert_array_equal(scores, expected_scores)
    np.testing.assert_array_equal(rows, expected_rows)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_replaced_added_and_removed_rows_are_found_as_in_a_new_index(name, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-3, 4, (30, 5)).astype(np.float32)
    index = registry.resolve("index", name)().build(vectors[:20])
    vectors[[3, 11]] = rng.integers(-3, 4, (2, 5))
    index.upsert(np.array([3, 11, *range(20, 30)]), vectors[[3, 11, *range(20, 30)]])
    index.remove(np.array([0, 11, 25]))
    left = np.setdiff1d(np.arange(30), [0, 11, 25])
    queries = rng.integers(-3, 4, (6, 5)).astype(np.float32)
    scores, rows = index.search(queries, 40)
    expected_scores, expected_rows = brute(vectors[left], queries, 40)
    assert len(index) == 27
    np.testing.assert_array_equal(scores, expected_scores)
    np.testing.assert_array_equal(rows, left[expected_rows])


@pytest.mark.parametrize("name", NAMES)
def test_a_removed_row_can_come_back(name):
    index = registry.resolve("index", name)().build(np.eye(3, dtype=np.float32))
    index.remove(np.array([1]))
    index.upsert(np.array([1]), np.array([[0, 2, 0]], np.float32))
    assert index.search(np.array([[0, 1, 0]], np.float32), 1)[1].tolist() == [[1]]


@pytest.mark.parametrize("name", NAMES)
def test_a_gap_between_rows_is_refused(name):
    index = registry.resolve("index", name)().build(np.zeros((4, 3), np.float32))
    with pytest.raises(QueryError, match="do not follow the last of 4"):
        index.upsert(np.array([6]), np.zeros((1, 3), np.float32))
