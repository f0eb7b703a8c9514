"""Edges between what is alike: mutual, each pair once, none to a hub that all are near."""

from __future__ import annotations

import numpy as np

from graphretrieval.arrays import normalise, top_k
from graphretrieval.gnn.similar import Similar, mutual
from graphretrieval.types import SIMILAR_TO, Array, Graph, Ints


def lists(x: Array, m: int) -> tuple[Ints, Array]:
    """Nearest others of each row, by brute force."""
    scores = x @ x.T
    np.fill_diagonal(scores, -np.inf)
    cosines, columns = top_k(scores, m)
    return columns, cosines


def crowd(seed: int = 0, n: int = 60, dim: int = 64) -> Array:
    """Items at random around one direction, and last one in the middle of them."""
    rng = np.random.default_rng(seed)
    x = 0.1 * rng.standard_normal((n, dim)).astype(np.float32)
    x[:, 0] += 0.7
    return normalise(np.concatenate([x, x.mean(axis=0, keepdims=True)]))


def ends(edges: Similar) -> set[tuple[int, int]]:
    return set(zip(edges.src.tolist(), edges.dst.tolist(), strict=True))


def test_a_hub_that_is_everybodys_nearest_gets_few_edges() -> None:
    group, k = np.repeat(np.arange(6), 6), 5
    cosine = np.where(group[:, None] == group, 0.7, 0.3).astype(np.float32)
    cosine[:6, :6] = 0.9
    cosine[0] = cosine[:, 0] = np.where(group == 0, 0.95, 0.75)  # nearer to all than their own
    np.fill_diagonal(cosine, -np.inf)
    cosines, near = top_k(cosine, 20)
    assert (near[1:, 0] == 0).all()
    found = mutual(near, cosines, k)
    assert ends(found) == {
        (i, j) for i in range(36) for j in range(36) if i < j and i // 6 == j // 6
    }


def test_edges_are_those_of_brute_force_over_all_pairs() -> None:
    x, k = crowd(seed=1), 4
    n = len(x)
    cosine = (x @ x.T).astype(np.float64)
    np.fill_diagonal(cosine, -np.inf)
    r = np.sort(cosine, axis=1)[:, -k:].mean(axis=1)
    corrected = 2 * cosine - r[:, None] - r
    best = np.argsort(-corrected, axis=1, kind="stable")[:, :k]
    wanted = {(i, int(j)) for i in range(n) for j in best[i] if i < j and i in best[j]}
    found = mutual(*lists(x, n - 1), k)
    assert ends(found) == {(i, j) for i, j in wanted if cosine[i, j] > 0}


def test_each_pair_is_joined_once_and_nobody_has_more_than_k() -> None:
    x, k = crowd(seed=2), 4
    found = mutual(*lists(x, 30), k)
    assert len(ends(found)) == len(found) > 0
    assert (found.src < found.dst).all()
    degree = np.bincount(np.concatenate([found.src, found.dst]), minlength=len(x))
    assert degree.max() <= k


def test_one_sided_likeness_is_no_edge() -> None:
    near = np.array([[1], [2], [1]])  # 0 chooses 1, but 1 and 2 choose each other
    cosines = np.array([[0.8], [0.9], [0.9]], np.float32)
    assert ends(mutual(near, cosines, 1)) == {(1, 2)}


def test_weights_are_cosines_above_0_and_at_most_1() -> None:
    near = np.array([[1], [0], [3], [2]])
    cosines = np.array([[1.0000002], [1.0000002], [-0.1], [-0.1]], np.float32)
    found = mutual(near, cosines, 1)
    assert ends(found) == {(0, 1)}
    assert found.weight.tolist() == [1.0]


def test_a_single_item_is_like_nobody() -> None:
    assert len(mutual(np.empty((1, 0), np.int64), np.empty((1, 0), np.float32), 10)) == 0


def graph(*edges: tuple[int, int]) -> Graph:
    """Four texts, and edges of their own that say how alike they are."""
    src, dst = np.array(edges, np.int32).reshape(-1, 2).T
    relations = (SIMILAR_TO,) if edges else ()
    kind, weight = np.zeros(len(src), np.int16), np.full(len(src), 0.25, np.float32)
    modality = np.zeros(4, np.int16)
    return Graph(list("abcd"), ("text",), modality, relations, src, dst, kind, weight, 1)


def some(*edges: tuple[int, int]) -> Similar:
    src, dst = np.array(edges, np.int64).reshape(-1, 2).T
    return Similar(src, dst, np.full(len(src), 0.5, np.float32))


def test_edges_go_on_between_rows_that_moved_and_end_with_rows_that_are_gone() -> None:
    moved = some((0, 1), (1, 3), (2, 3)).moved(np.array([5, -1, 0, 2]))
    assert ends(moved) == {(0, 2)}
    assert moved.weight.tolist() == [0.5]


def test_a_graphs_own_edge_stands_before_a_derived_one() -> None:
    both = some((0, 1), (1, 2)).added_to(graph((0, 1)))
    rows = zip(both.src.tolist(), both.dst.tolist(), both.weight.tolist(), strict=True)
    assert sorted(rows) == [(0, 1, 0.25), (1, 2, 0.5)]
    assert both.relations == (SIMILAR_TO,)
    alone = some((0, 1)).added_to(graph())
    assert len(alone.edges_of(SIMILAR_TO)) == 1


def test_a_graph_without_derived_edges_stays_itself() -> None:
    plain = graph()
    assert Similar.joined().added_to(plain) is plain
