"""Several walks to a node, compared with all there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from graphretrieval.rankers.walks import Walker
from graphretrieval.rankers.ways import ways
from graphretrieval.types import Graph, Path


def graph_of(n: int, edges: list[tuple[int, int, int]], relations: tuple[str, ...]) -> Graph:
    src, dst, relation = (np.array(x) for x in zip(*edges, strict=True))
    return Graph(
        [f"n{i:02d}" for i in range(n)],
        ("image",),
        np.zeros(n, np.int16),
        relations,
        src.astype(np.int32),
        dst.astype(np.int32),
        relation.astype(np.int16),
        np.linspace(0.4, 1.0, len(edges), dtype=np.float32),
    )


def drawn(seed: int, n: int = 12, m: int = 26) -> Graph:
    rng = np.random.default_rng(seed)
    edges = {
        (int(a), int(b), int(r))
        for a, b, r in zip(*rng.integers(0, (n, n, 2), (m, 3)).T, strict=True)
        if a != b
    }
    return graph_of(n, sorted(edges), ("DESCRIBES", "IN_CATEGORY"))


def every_walk(walker: Walker, rows: list[int], weights: list[float], target: int) -> list[float]:
    """Strengths of all simple walks of at most three edges, by brute force."""
    out = []
    n = len(walker.graph.ids)
    for row, weight in zip(rows, weights, strict=True):
        if row == target:
            out.append(weight)
        for hops in (1, 2, 3):
            for middle in itertools.permutations(range(n), hops - 1):
                nodes = (row, *middle, target)
                if len(set(nodes)) < len(nodes):
                    continue
                steps = [
                    [
                        float(factor)
                        for _, _, to, factor in zip(*walker.leaving(np.array([a])), strict=True)
                        if to == b
                    ]
                    for a, b in itertools.pairwise(nodes)
                ]
                out += [weight * float(np.prod(way)) for way in itertools.product(*steps)]
    return sorted(out, reverse=True)


def found(walker: Walker, rows: list[int], weights: list[float], target: int) -> list[Path]:
    kinds = np.zeros(len(rows), np.int64)
    anchors = np.array(rows), np.array(weights, np.float32), kinds
    return ways(walker, *anchors, target, count=10_000)


@pytest.mark.parametrize("seed", range(6))
def test_the_strongest_walks_are_those_of_brute_force(seed: int) -> None:
    walker = Walker(drawn(seed))
    rows, weights, target = [0, 1, 5], [1.0, 0.8, 0.6], 7
    paths = found(walker, rows, weights, target)
    everything = every_walk(walker, rows, weights, target)
    assert len(everything) > 3
    assert [p.strength for p in paths[:4]] == pytest.approx(everything[:4], rel=1e-5)
    assert len(paths) <= len(everything)


def test_the_first_is_the_walk_that_a_search_names() -> None:
    walker = Walker(drawn(3))
    rows, weights = np.array([0, 1]), np.array([1.0, 0.9], np.float32)
    targets = np.ones(12, np.bool_)
    walks = walker.search(np.array([0, 2]), rows, weights, targets=targets)
    for row in walks.rows:
        best = ways(walker, rows, weights, np.zeros(2, np.int64), int(row))[0]
        named = walks.path(0, int(row))
        assert named is not None
        assert best.strength == pytest.approx(named.strength, rel=1e-5)


def test_steps_run_along_edges_that_are_there() -> None:
    graph = drawn(1)
    names = {
        (graph.ids[a], graph.relations[r], graph.ids[b])
        for a, r, b in zip(graph.src, graph.relation, graph.dst, strict=True)
    }
    paths = found(Walker(graph), [0, 2], [1.0, 1.0], 7)
    assert any(len(p.steps) == 3 for p in paths)
    for p in paths:
        for a, step, b in zip(p.nodes, p.steps, p.nodes[1:], strict=False):
            ends = (a, step.type, b) if step.direction == "out" else (b, step.type, a)
            assert ends in names


def test_other_kinds_of_walk_are_shown_before_the_third_of_one() -> None:
    # five captions describe the picture, and all share its category
    edges = [(i, 6, 0) for i in range(1, 6)] + [(1, 7, 1), (6, 7, 1)]
    walker = Walker(graph_of(8, edges, ("DESCRIBES", "IN_CATEGORY")))
    anchors = np.arange(1, 6), np.ones(5, np.float32), np.zeros(5, np.int64)
    shown = ways(walker, *anchors, 6, count=3)
    assert sorted({s.type for p in shown for s in p.steps}) == ["DESCRIBES", "IN_CATEGORY"]


def test_an_anchor_by_words_and_by_likeness_begins_one_walk() -> None:
    walker = Walker(graph_of(2, [(0, 1, 0)], ("DESCRIBES",)))
    anchors = np.array([0, 0]), np.array([0.4, 0.9], np.float32), np.array([0, 1])
    [only] = ways(walker, *anchors, 1)
    assert (only.anchor, only.anchor_weight) == ("lexical", pytest.approx(0.9))


def test_an_unreachable_node_has_no_walk() -> None:
    walker = Walker(graph_of(3, [(0, 1, 0)], ("DESCRIBES",)))
    assert ways(walker, np.array([0]), np.ones(1, np.float32), np.zeros(1, np.int64), 2) == []
