"""Ends of a relation that occur together, and what that says of an end that is missing."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.rankers.cooccurrence import MOST, PRIOR, Cooccurrence
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


def worth(of: Cooccurrence, source: int, end: int) -> float:
    """What the links of the source given as the i-th say of an end."""
    return float(of.between(np.array([ENDS + source]), np.array([end]))[0, 0])


def test_ends_that_often_meet_speak_for_each_other_and_those_that_never_do_against() -> None:
    of = counted((0,), *[(0, 1)] * 4, *[(2, 3)] * 4)
    assert worth(of, 0, 1) > 0.5
    assert worth(of, 0, 2) < -0.5
    assert worth(of, 0, 4) == 0  # nobody links to it: it has not been avoided either
    np.testing.assert_array_equal(of.company(ENDS, 1), [0])
    assert not len(of.company(ENDS, 2))


def test_ends_that_meet_as_often_as_chance_has_it_say_nothing() -> None:
    of = counted((0,), (0, 1), (0, 1), (0, 2), (1, 3), (1, 3), (2, 3), (2, 3))
    assert worth(of, 0, 1) == pytest.approx(0, abs=1e-6)


def test_a_rare_end_that_never_met_another_is_hardly_spoken_against() -> None:
    of = counted((0,), *[(0, 1)] * 9, (2, 3), *[(4, 5)] * 9)
    assert worth(of, 0, 4) < 2 * worth(of, 0, 2) < 0


def test_several_links_of_a_source_count_as_their_mean() -> None:
    of = counted((0,), (1,), (0, 1), *[(0, 2)] * 5, *[(1, 3)] * 5)
    one, other = worth(of, 0, 2), worth(of, 1, 2)
    assert worth(of, 2, 2) == pytest.approx((one + other) / 2, abs=1e-6)


def test_a_source_with_a_great_many_ends_does_not_count() -> None:
    n = MOST + 1
    links = [(n + i, end) for i in range(3) for end in range(n)] + [(n + 3, 0), (n + 4, 1)]
    of = Cooccurrence.of(graph(links, n + 5), "IN_CATEGORY")
    assert not of.met.nnz
    assert of.links.sum() == 2


def test_where_most_have_one_end_only_meetings_say_something() -> None:
    of = counted(*[(0,)] * 9, *[(1,)] * 9, *[(2,)] * 9, (0, 3), (0, 3))
    assert worth(of, 0, 3) > 0.5
    assert worth(of, 0, 1) == worth(of, 9, 3) == 0
    np.testing.assert_array_equal(of.company(ENDS, 3), [0])
    assert not len(of.company(ENDS, 1))
    np.testing.assert_allclose(of.of_pairs(np.array([ENDS]), np.array([3])), worth(of, 0, 3))


def test_without_links_nothing_is_said() -> None:
    of = Cooccurrence.of(graph([], 4), "IN_CATEGORY")
    assert not of.between(np.arange(4), np.arange(4)).any()
    assert not of.of_pairs(np.arange(4), np.arange(4)).any()
    of = Cooccurrence.of(graph([(2, 0), (2, 1), (3, 0), (3, 1)], 4), "NO_SUCH")
    assert not of.links.nnz


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_all_is_as_the_definition_has_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    said = rng.random((20, ENDS)) < rng.uniform(0.4, 0.7)
    links = [(ENDS + int(i), int(j)) for i, j in np.argwhere(said)]
    of = Cooccurrence.of(graph(links, ENDS + 20), "IN_CATEGORY")
    spoken = said[said.any(1)]
    right = np.zeros((20, ENDS))
    for i, mine in enumerate(said):
        for end in range(ENDS):
            each = []
            for own in np.flatnonzero(mine):
                met = int((spoken[:, own] & spoken[:, end]).sum()) if own != end else 0
                chance = spoken[:, own].sum() * spoken[:, end].sum() / len(spoken)
                each.append(log((met + PRIOR) / (chance + PRIOR)))
            right[i, end] = np.mean(each) if each else 0
    sources, ends = ENDS + np.arange(20), np.arange(ENDS)
    found = of.between(sources, ends)
    np.testing.assert_allclose(found, right, atol=1e-5)
    pairs = np.stack(np.meshgrid(sources, ends, indexing="ij"), -1).reshape(-1, 2)
    np.testing.assert_allclose(of.of_pairs(*pairs.T), found.ravel(), atol=1e-5)


def test_of_its_links_the_one_that_most_often_goes_with_an_end_is_named_first() -> None:
    of = counted((0, 1), *[(0, 2)] * 2, *[(1, 2)] * 6, *[(3, 4)] * 9)
    np.testing.assert_array_equal(of.company(ENDS, 2), [1, 0])
