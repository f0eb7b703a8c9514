"""Walks against an enumeration of every walk of up to three hops, one edge at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.rankers.walks import Walker
from graphretrieval.types import Graph, Path

WORTH = {"DESCRIBES": 0.9, "IN_CATEGORY": 0.5, "ODD": 0.25}
NO_LIMIT = {"fan_out": 10_000, "beam": 10_000, "limit": 10_000}


def graph(n: int, edges: list[tuple[int, str, int, float]]) -> Graph:
    names = sorted({e[1] for e in edges} | {"DESCRIBES"})
    return Graph(
        [f"n{i:03d}" for i in range(n)],
        ("image",),
        np.zeros(n, np.int16),
        tuple(names),
        np.array([e[0] for e in edges], np.int32),
        np.array([e[2] for e in edges], np.int32),
        np.array([names.index(e[1]) for e in edges], np.int16),
        np.array([e[3] for e in edges], np.float32),
    )


def leaving(edges: list[tuple[int, str, int, float]]) -> dict[int, list[tuple[int, float, tuple]]]:
    """Node → (next node, factor, step): worth · weight / (1 + ln of the edges of that kind)."""
    both = [(s, t, d, w, "out") for s, t, d, w in edges]
    both += [(d, t, s, w, "in") for s, t, d, w in edges]
    crowd = Counter((a, t, way) for a, t, _, _, way in both)
    out: dict[int, list[tuple[int, float, tuple]]] = {}
    for a, t, b, w, way in both:
        factor = WORTH[t] * min(w, 1) / (1 + np.log(crowd[a, t, way]))
        out.setdefault(a, []).append((b, factor, (t, way)))
    return out


def every_walk(
    ways: dict[int, list[tuple[int, float, tuple]]], start: int, weight: float, hops: int
) -> Iterator[tuple[int, float]]:
    yield start, weight
    if hops:
        for node, factor, _ in ways.get(start, ()):
            yield from every_walk(ways, node, weight * factor, hops - 1)


def search(g: Graph, anchors: list[tuple[int, float]], targets=None, hops: int = 3, **limits):
    return Walker(g, WORTH).search(
        np.array([0, len(anchors)]),
        np.array([a for a, _ in anchors], np.int64),
        np.array([w for _, w in anchors], np.float32),
        targets=np.ones(len(g.ids), np.bool_) if targets is None else targets,
        hops=hops,
        **(limits or NO_LIMIT),
    )


def strengths(walks, query: int = 0) -> dict[int, float]:
    mine = slice(walks.indptr[query], walks.indptr[query + 1])
    return dict(zip(walks.rows[mine].tolist(), walks.strength[mine].tolist(), strict=True))


@st.composite
def worlds(draw: st.DrawFn):
    n = draw(st.integers(1, 7))
    node = st.integers(0, n - 1)
    edge = st.tuples(node, st.sampled_from(list(WORTH)), node, st.sampled_from([0.5, 1.0, 2.0]))
    edges = draw(st.lists(edge, max_size=12, unique_by=lambda e: e[:3]))
    anchors = draw(
        st.lists(st.tuples(node, st.sampled_from([0.3, 0.7, 1.0])), min_size=1, max_size=3)
    )
    return n, edges, anchors, draw(st.integers(0, 3))


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_the_strongest_walk_to_every_node_is_found(world) -> None:
    n, edges, anchors, hops = world
    best: dict[int, float] = {}
    for a, w in anchors:
        for node, strength in every_walk(leaving(edges), a, w, hops):
            best[node] = max(best.get(node, 0), strength)
    found = strengths(search(graph(n, edges), anchors, hops=hops))
    assert found.keys() == best.keys()
    for node, strength in best.items():
        assert found[node] == pytest.approx(strength, rel=1e-5)


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_every_path_shown_is_a_walk_of_that_strength(world) -> None:
    n, edges, anchors, hops = world
    g = graph(n, edges)
    walks = search(g, anchors, hops=hops)
    ways = leaving(edges)
    for row, strength in strengths(walks).items():
        path = walks.path(0, row)
        assert isinstance(path, Path)
        nodes = [g.row[name] for name in path.nodes]
        assert nodes[-1] == row
        assert len(path.steps) == len(nodes) - 1 <= hops
        assert (nodes[0], pytest.approx(path.anchor_weight, rel=1e-5)) in anchors
        product = path.anchor_weight
        for a, step, b in zip(nodes, path.steps, nodes[1:], strict=False):
            factors = [f for to, f, how in ways[a] if (to, how) == (b, (step.type, step.direction))]
            product *= max(factors)
        assert product == pytest.approx(strength, rel=1e-5)
        assert path.strength == pytest.approx(strength, rel=1e-5)


def test_only_targets_are_answers_but_any_node_is_walked_through() -> None:
    g = graph(3, [(0, "DESCRIBES", 1, 1.0), (2, "DESCRIBES", 1, 1.0)])
    targets = np.array([False, False, True])
    walks = search(g, [(0, 1.0)], targets)
    assert list(strengths(walks)) == [2]
    path = walks.path(0, 2)
    assert path is not None
    assert [s.direction for s in path.steps] == ["out", "in"]
    assert walks.path(0, 1) is None


def test_a_hub_says_less_about_each_of_its_many_members() -> None:
    few = graph(3, [(i, "IN_CATEGORY", 2, 1.0) for i in range(2)])
    many = graph(101, [(i, "IN_CATEGORY", 100, 1.0) for i in range(100)])
    alone, crowded = (strengths(search(g, [(0, 1.0)]))[1] for g in (few, many))
    assert crowded < 0.5 * alone


def test_limits_keep_the_strongest() -> None:
    edges = [(0, "DESCRIBES", i, 1 / i) for i in range(1, 50)]
    g = graph(50, edges)
    fan = strengths(search(g, [(0, 1.0)], fan_out=5, beam=1000, limit=1000))
    assert sorted(fan) == [0, 1, 2, 3, 4, 5]
    kept = strengths(search(g, [(0, 1.0)], fan_out=100, beam=1000, limit=4))
    assert sorted(kept) == [0, 1, 2, 3]


def test_a_narrow_beam_finds_less_but_nothing_that_is_not_there() -> None:
    rng = np.random.default_rng(0)
    edges = [
        (int(a), "DESCRIBES", int(b), float(w))
        for (a, b), w in zip(rng.integers(0, 60, (200, 2)), rng.random(200), strict=True)
    ]
    g = graph(60, edges)
    wide = strengths(search(g, [(0, 1.0)]))
    narrow = strengths(search(g, [(0, 1.0)], fan_out=3, beam=3, limit=1000))
    assert 3 < len(narrow) < len(wide)
    assert all(narrow[row] <= wide[row] + 1e-6 for row in narrow)


def test_queries_are_searched_apart_and_in_blocks_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    edges = [(int(a), "DESCRIBES", int(b), 1.0) for a, b in rng.integers(0, 30, (60, 2))]
    g = graph(30, list(dict.fromkeys(edges)))
    arguments = (np.array([0, 2, 2, 3]), np.array([0, 5, 9]), np.array([1, 0.5, 1], np.float32))
    everything = np.ones(30, np.bool_)
    whole = Walker(g, WORTH).search(*arguments, targets=everything)
    assert strengths(whole, 1) == {}
    assert strengths(whole, 2) == strengths(search(g, [(9, 1.0)]))
    monkeypatch.setattr("graphretrieval.rankers.walks._CELLS", 30)
    blocks = Walker(g, WORTH).search(*arguments, targets=everything)
    assert [strengths(blocks, i) for i in range(3)] == [strengths(whole, i) for i in range(3)]


def test_the_anchor_is_named_as_it_was_found() -> None:
    g = graph(2, [(0, "DESCRIBES", 1, 1.0)])
    for kind, name in ((0, "similar"), (1, "lexical"), (2, None)):
        walks = Walker(g).search(
            np.array([0, 1]),
            np.array([0]),
            np.array([0.5], np.float32),
            targets=np.ones(2, np.bool_),
            kinds=np.array([kind]),
        )
        path = walks.path(0, 1)
        assert path is not None
        assert (path.anchor, path.anchor_weight) == (name, 0.5)


def test_a_graph_without_edges_leaves_the_anchors() -> None:
    assert strengths(search(graph(3, []), [(1, 0.5)])) == {1: 0.5}
