"""Questions made of hidden links, and what they are answered by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.retriever.links import SHAPE, Asked, LinkScorer, asked
from graphretrieval.retriever.model import Model
from graphretrieval.types import Graph


def drawn(seed: int, n: int = 30, m: int = 80) -> Graph:
    rng = np.random.default_rng(seed)
    modality = rng.integers(0, 3, n).astype(np.int16)
    src = rng.integers(0, n, m).astype(np.int32)
    dst = ((src + rng.integers(1, n, m)) % n).astype(np.int32)
    relation = rng.integers(0, 2, m).astype(np.int16)
    key = np.unique((src.astype(np.int64) * n + dst) * 2 + relation, return_index=True)[1]
    return Graph(
        [f"n{i:02d}" for i in range(n)],
        ("image", "text", "place"),
        modality,
        ("DESCRIBES", "FOUND"),
        src[key],
        dst[key],
        relation[key],
        np.ones(len(key), np.float32),
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999))
def test_each_hidden_link_is_asked_once_from_either_end_and_known_ones_are_left_out(
    seed: int,
) -> None:
    g = drawn(seed)
    hidden = np.flatnonzero(np.random.default_rng(seed).random(len(g.src)) < 0.3)
    wanted = {(g.relation[e], g.src[e], g.dst[e]) for e in hidden}
    all_ = {(r, s, d) for r, s, d in zip(g.relation, g.src, g.dst, strict=True)}
    found: dict[bool, list[tuple[int, int, int]]] = {False: [], True: []}
    for q in asked(g, hidden, seed):
        assert not (q.right & q.ignored).any()
        code = g.relations.index(q.relation)
        kinds = {g.modalities[m] for m in g.modality[q.gallery]}
        assert kinds == {q.target}
        for i, j in np.argwhere(q.right).tolist():
            ends = (int(q.queries[i]), int(q.gallery[j]))
            found[q.backwards].append((code, *(ends[::-1] if q.backwards else ends)))
        for i, j in np.argwhere(q.ignored).tolist():
            ends = (int(q.queries[i]), int(q.gallery[j]))
            edge = (code, *(ends[::-1] if q.backwards else ends))
            assert ends[0] == ends[1] or (edge in all_ and edge not in wanted)
    for edges in found.values():
        assert len(edges) == len(set(edges)) == len(wanted)
        assert set(edges) == wanted


def scorer(g: Graph, *, paths: bool = True) -> LinkScorer:
    material: Any = SimpleNamespace(places=None, paths=paths, cooccurrence=True)
    return LinkScorer(Model(), g, material, {})


def question(g: Graph, relation: str, query: int) -> Asked:
    gallery = np.arange(len(g.ids))
    none = np.zeros((1, len(gallery)), np.bool_)
    return Asked(relation, "image", "image", False, np.array([query]), gallery, none, none)


def chain(n: int = 5) -> Graph:
    """A row of pictures, each linked to the next."""
    src = np.arange(n - 1, dtype=np.int32)
    one = np.ones(n - 1, np.float32)
    kinds = np.zeros(n, np.int16)
    relation = np.zeros(n - 1, np.int16)
    return Graph(
        [f"n{i}" for i in range(n)], ("image",), kinds, ("FOUND",), src, src + 1, relation, one
    )


def test_what_is_near_by_links_scores_more_in_every_way() -> None:
    g = chain()
    columns = scorer(g).columns_of(question(g, "FOUND", 0))[0].T
    path, neighbours, pagerank, usual, together = columns
    assert path[1] > path[2] > path[3] > path[4] == 0  # walks have three edges at most
    assert pagerank[1] > pagerank[3] > pagerank[4] > 0
    assert neighbours[2] > neighbours[3] == 0  # the node between them
    np.testing.assert_array_equal(usual, [0, 1, 1, 1, 1])
    assert not together.any()  # no picture is linked to two


def test_where_an_items_categories_mates_are_counts_from_both_ends() -> None:
    """Four in both of two categories, one in the first alone, three in a third."""
    src = np.array([3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 9, 10], np.int32)
    dst = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 2, 2, 2], np.int32)
    kinds = np.array([0] * 3 + [1] * 8, np.int16)
    zero = np.zeros(len(src), np.int16)
    one = np.ones(len(src), np.float32)
    names = ("category", "image")
    g = Graph([f"n{i:02d}" for i in range(11)], names, kinds, ("IN_CATEGORY",), src, dst, zero, one)
    both = []
    for backwards, ask, among in ((False, [7], [0, 1, 2]), (True, [1], [7, 8, 9])):
        none = np.zeros((1, 3), np.bool_)
        asked_for = Asked(
            "IN_CATEGORY",
            "image",
            "category",
            backwards,
            np.array(ask),
            np.array(among),
            none,
            none,
        )
        both.append(scorer(g).columns_of(asked_for)[0][:, SHAPE.index("together")])
    forwards, back = both
    assert forwards[1] > 0 > forwards[2]
    np.testing.assert_allclose(back, [forwards[1], back[1], back[1]])
    assert back[1] < 0


def test_four_steps_of_pagerank_are_those_of_the_definition() -> None:
    g = chain()
    a = np.zeros((5, 5))
    a[g.src, g.dst] = a[g.dst, g.src] = 1
    walk = a / a.sum(1, keepdims=True)
    at = total = np.eye(5)[2] * 0.15
    for _ in range(4):
        at = 0.85 * at @ walk
        total = total + at
    found = scorer(g).columns_of(question(g, "FOUND", 2))[0][:, SHAPE.index("pagerank")]
    np.testing.assert_allclose(found, np.log1p(total * 5), rtol=1e-5)


@pytest.mark.parametrize("paths", [True, False])
def test_without_edges_or_without_paths_nothing_is_said(paths: bool) -> None:
    g = chain()
    bare = g.with_edges(np.empty(0, np.int64)) if paths else g
    assert not scorer(bare, paths=paths).columns_of(question(bare, "FOUND", 0)).any()
