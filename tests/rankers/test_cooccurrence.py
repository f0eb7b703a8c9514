"""Ends of a relation that occur together, and what that says of an end that is missing."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.rankers.cooccurrence import FEWEST, MOST, Cooccurrence
from graphretrieval.types import Graph

ENDS = 6


def graph(links: list[tuple[int, int]], n: int) -> Graph:
    """Sources after the first nodes, which are ends; each pair is (source, end)."""
    m = len(links)
    src, dst = (np.array([pair[i] for pair in links], np.int32) for i in (0, 1))
    kinds = np.zeros(n, np.int16)
    relation = np.zeros(m, np.int16)
    ids = [f"n{i:03d}" for i in range(n)]
    ones = np.ones(m, np.float32)
    return Graph(ids, ("text",), kinds, ("IN_CATEGORY",), src, dst, relation, ones)


def counted(*ends_of_each: tuple[int, ...]) -> Cooccurrence:
    """Of sources that link to these ends."""
    links = [(ENDS + i, end) for i, ends in enumerate(ends_of_each) for end in ends]
    return Cooccurrence.of(graph(links, ENDS + len(ends_of_each)), "IN_CATEGORY")


def tie(of: Cooccurrence, a: int, b: int) -> float:
    assert of.ties[a, b] == of.ties[b, a]
    return float(of.ties[a, b])


def test_ends_that_only_occur_together_are_tied_most() -> None:
    of = counted((0, 1), (0, 1), (2,), (3,))
    assert tie(of, 0, 1) == pytest.approx(1)


def test_ends_that_meet_as_often_as_chance_has_it_or_less_are_not_tied() -> None:
    chance = [(0, 1), (0, 1), (0,), (0,), (1,), (1,), (), ()]
    of = counted(*[ends or (2,) for ends in chance])
    assert tie(of, 0, 1) == 0
    of = counted((0, 1), (0, 1), *[(0,)] * 9, *[(1,)] * 9)
    assert tie(of, 0, 1) == 0


def test_ends_that_met_once_may_have_met_by_chance() -> None:
    assert FEWEST == 2
    assert not counted((0, 1), (2,), (3,), (4,)).ties.nnz


def test_ends_that_every_source_has_say_nothing() -> None:
    assert not counted((0, 1), (0, 1), (0, 1)).ties.nnz


def test_a_source_with_a_great_many_ends_does_not_tie_them() -> None:
    n = MOST + 1
    links = [(n + i, end) for i in range(3) for end in range(n)] + [(n + 3, 0), (n + 4, 1)]
    of = Cooccurrence.of(graph(links, n + 5), "IN_CATEGORY")
    assert not of.ties.nnz
    assert of.links.sum() == 2


def test_an_item_is_likely_where_its_own_categories_mates_are() -> None:
    of = counted((0, 1), (0, 1), (0, 1), (0,), (2, 3), (2, 3), (2, 3))
    item = np.array([ENDS + 3])  # in 0 alone
    worth = of.between(item, np.arange(ENDS))[0]
    assert worth.argmax() == 1
    assert worth[[0, 2, 3, 4, 5]].tolist() == [0, 0, 0, 0, 0]
    np.testing.assert_array_equal(of.heard(ENDS + 3, 1), [0])
    assert not len(of.heard(ENDS + 3, 2))


def test_without_links_nothing_is_tied() -> None:
    of = Cooccurrence.of(graph([], 4), "IN_CATEGORY")
    assert not of.between(np.arange(4), np.arange(4)).any()
    assert not of.of_pairs(np.arange(4), np.arange(4)).any()
    of = Cooccurrence.of(graph([(2, 0), (2, 1), (3, 0), (3, 1)], 4), "NO_SUCH")
    assert not of.links.nnz


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_all_is_as_the_definition_has_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    said = rng.random((20, ENDS)) < rng.uniform(0.05, 0.6)
    links = [(ENDS + int(i), int(j)) for i, j in np.argwhere(said)]
    of = Cooccurrence.of(graph(links, ENDS + 20), "IN_CATEGORY")
    spoken = said[said.any(1)]
    ties = np.zeros((ENDS, ENDS))
    for a in range(ENDS):
        for b in range(ENDS):
            both = int((spoken[:, a] & spoken[:, b]).sum())
            if a != b and FEWEST <= both < len(spoken):
                pa, pb, pab = spoken[:, a].mean(), spoken[:, b].mean(), both / len(spoken)
                ties[a, b] = max(0.0, log(pab / (pa * pb)) / -log(pab))
    np.testing.assert_allclose(of.ties[:ENDS, :ENDS].toarray(), ties, atol=1e-6)
    sources, ends = ENDS + np.arange(20), np.arange(ENDS)
    worth = of.between(sources, ends)
    np.testing.assert_allclose(worth, said @ ties, atol=1e-5)
    pairs = np.stack(np.meshgrid(sources, ends, indexing="ij"), -1).reshape(-1, 2)
    np.testing.assert_allclose(of.of_pairs(*pairs.T), worth.ravel(), atol=1e-5)
