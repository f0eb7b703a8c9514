"""Array kernels against plain sorting, dense matrices and loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.arrays import adjacency, csr, expand, normalise, top_k
from graphretrieval.types import Graph


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 4), st.integers(0, 12), st.integers(0, 15), st.integers(1, 5), st.integers(0, 99)
)
def test_the_k_best_are_those_of_a_stable_sort(
    q: int, n: int, k: int, levels: int, seed: int
) -> None:
    scores = np.random.default_rng(seed).integers(0, levels, (q, n)).astype(np.float32)
    values, columns = top_k(scores, k)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(columns, order)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, order, axis=1))


def test_excluded_items_come_last_but_still_come() -> None:
    values, columns = top_k(np.array([[-np.inf, 1.0, -np.inf, 2.0]]), 3)
    assert columns.tolist() == [[3, 1, 0]]
    assert values[0, 2] == -np.inf


def test_rows_are_brought_to_unit_length_and_zeros_stay() -> None:
    x = normalise(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(x, [[0.6, 0.8], [0, 0]])
    assert x.dtype == np.float32
    assert normalise(np.empty((0, 3))).shape == (0, 3)


def drawn(seed: int, n: int, m: int) -> Graph:
    rng = np.random.default_rng(seed)
    src, dst = rng.integers(0, n, (2, m)).astype(np.int32)
    zero = np.zeros(m, np.int16)
    return Graph(
        [f"n{i}" for i in range(n)],
        ("image",),
        np.zeros(n, np.int16),
        ("R",),
        src,
        dst,
        zero,
        rng.random(m).astype(np.float32),
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 99),
    st.integers(1, 8),
    st.integers(0, 20),
    st.sampled_from(["out", "in", "both"]),
)
def test_adjacency_is_the_dense_matrix(seed: int, n: int, m: int, direction: str) -> None:
    graph = drawn(seed, n, m)
    a = adjacency(graph, direction=direction)
    dense, want = np.zeros((2, n, n))
    for i in range(n):
        for at in range(a.indptr[i], a.indptr[i + 1]):
            dense[i, a.indices[at]] += a.weights[at]
            ends = {int(graph.src[a.edge[at]]), int(graph.dst[a.edge[at]])}
            assert ends == {i, int(a.indices[at])}
    for s, d, w in zip(graph.src, graph.dst, graph.weight, strict=True):
        if direction in ("out", "both"):
            want[s, d] += w
        if direction in ("in", "both"):
            want[d, s] += w
    np.testing.assert_allclose(dense, want, atol=1e-6)
    assert len(a) == n


def test_only_the_edges_asked_for_are_taken() -> None:
    graph = drawn(0, 6, 20)
    a = adjacency(graph, np.array([3, 7]))
    assert sorted(a.edge.tolist()) == [3, 7]


def test_entries_of_a_row_keep_their_order() -> None:
    a = csr(3, np.array([1, 0, 1, 1]), np.array([2, 1, 0, 1]), np.ones(4))
    assert a.indices[a.indptr[1] : a.indptr[2]].tolist() == [2, 0, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.data())
def test_expanding_rows_is_a_loop_over_them(counts: list[int], data: st.DataObject) -> None:
    indptr = np.cumsum([0, *counts])
    rows = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=10))
    limit = data.draw(st.one_of(st.none(), st.integers(0, 5)))
    owner, position = expand(indptr, np.array(rows, np.int64), limit)
    want = [
        (i, int(p)) for i, r in enumerate(rows) for p in range(indptr[r], indptr[r + 1])[:limit]
    ]
    assert list(zip(owner.tolist(), position.tolist(), strict=True)) == want


def test_an_empty_matrix_has_no_best() -> None:
    values, columns = top_k(np.empty((3, 0)), 5)
    assert values.shape == columns.shape == (3, 0)


@pytest.mark.parametrize("k", [0, 1])
def test_asking_for_few_gives_few(k: int) -> None:
    assert top_k(np.ones((2, 5)), k)[1].shape == (2, k)
