"""Splits keep together what belongs together, and never depend on the order of rows."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval import splits
from graphretrieval.errors import ConfigError
from graphretrieval.types import Graph


def graph(n: int, edges: list[tuple[int, int]], relations: list[int] | None = None) -> Graph:
    src, dst = (np.array([e[i] for e in edges], np.int32) for i in (0, 1))
    relation = np.array(relations or [0] * len(edges), np.int16)
    modality = np.zeros(n, np.int16)
    weight = np.ones(len(edges), np.float32)
    ids = [f"n{i:04d}" for i in range(n)]
    return Graph(ids, ("image",), modality, ("DESCRIBES", "RELATED_TO"), src, dst, relation, weight)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text("abcd", max_size=3), min_size=1, max_size=30), st.randoms(), st.integers(0, 9)
)
def test_a_groups_side_is_decided_by_its_name_alone(
    groups: list[str], random: object, seed: int
) -> None:
    side = dict(zip(groups, splits.grouped(groups, (0.6, 0.4), seed).tolist(), strict=True))
    shuffled = [*groups, "another"]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = splits.grouped(shuffled, (0.6, 0.4), seed)
    for name, s in zip(shuffled, again.tolist(), strict=True):
        assert side.get(name, s) == s


def test_sides_get_their_shares_of_many_groups() -> None:
    side = splits.grouped(np.arange(20_000), (0.7, 0.2, 0.1), 0)
    np.testing.assert_allclose(np.bincount(side) / 20_000, (0.7, 0.2, 0.1), atol=0.01)


def test_another_seed_is_another_split() -> None:
    a, b = (splits.grouped(np.arange(1000), (0.5, 0.5), seed) for seed in (0, 1))
    assert 0.4 < (a == b).mean() < 0.6


@pytest.mark.parametrize("shares", [(), (0.5, 0.4), (1.2, -0.2)])
def test_shares_that_do_not_add_up_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="add up to 1"):
        splits.grouped([1, 2], shares, 0)


def test_all_links_between_two_nodes_are_held_out_together() -> None:
    pairs = [(i, i + 100) for i in range(100)]
    edges = [*pairs, *((b, a) for a, b in pairs), *pairs]
    g = graph(200, edges, [0] * 200 + [1] * 100)
    held = splits.hold_out(g, np.arange(300), 0.3, 0)
    np.testing.assert_array_equal(held[:100], held[100:200])
    np.testing.assert_array_equal(held[:100], held[200:])
    assert 0.15 < held.mean() < 0.45


def test_folds_share_all_edges_out_and_keep_two_nodes_edges_together() -> None:
    pairs = [(i, i + 100) for i in range(100)]
    g = graph(200, [*pairs, *((b, a) for a, b in pairs)], [0] * 100 + [1] * 100)
    folds = np.stack(splits.folds(g, 5, 0))
    assert (folds.sum(axis=0) == 1).all()
    np.testing.assert_array_equal(folds[:, :100], folds[:, 100:])
    assert (folds.sum(axis=1) > 10).all()


def test_twins_of_a_held_out_link_go_with_it() -> None:
    # pictures 0 … 99, and two captions of each that say the same
    edges = [(100 + 2 * i + j, i) for i in range(100) for j in (0, 1)]
    g = graph(300, edges)
    twins = np.array([*range(100), *(100 + i // 2 for i in range(200))])
    held = splits.hold_out(g, np.arange(200), 0.4, 0, groups=twins).reshape(100, 2)
    np.testing.assert_array_equal(held[:, 0], held[:, 1])
    assert 0.2 < held.mean() < 0.6
    apart = splits.hold_out(g, np.arange(200), 0.4, 0).reshape(100, 2)
    assert (apart[:, 0] != apart[:, 1]).any()


def test_what_is_held_out_does_not_depend_on_the_order_of_links() -> None:
    edges = [(i, j) for i in range(20) for j in range(20, 30)]
    order = np.random.default_rng(0).permutation(len(edges))
    one = splits.hold_out(graph(30, edges), np.arange(200), 0.3, 5)
    other = splits.hold_out(graph(30, [edges[i] for i in order]), np.arange(200), 0.3, 5)
    np.testing.assert_array_equal(one[order], other)


@pytest.mark.parametrize(("share", "held"), [(0.0, False), (1.0, True)])
def test_nothing_or_everything_can_be_held_out(share: float, held: bool) -> None:
    g = graph(40, [(i, i + 1) for i in range(39)])
    assert (splits.hold_out(g, np.arange(39), share, 0) == held).all()


def test_an_impossible_share_is_refused() -> None:
    with pytest.raises(ConfigError):
        splits.hold_out(graph(2, [(0, 1)]), np.arange(1), 1.5, 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 15), st.data())
def test_components_are_those_that_networkx_finds(n: int, data: st.DataObject) -> None:
    node = st.integers(0, n - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=20))
    texts = data.draw(st.lists(st.sampled_from([None, "a", "b"]), min_size=n, max_size=n))
    want = networkx.Graph()
    want.add_nodes_from(range(n))
    want.add_edges_from(edges)
    want.add_edges_from(
        (i, j) for i in range(n) for j in range(i) if texts[i] is not None and texts[i] == texts[j]
    )
    group = splits.components(graph(n, edges), np.arange(len(edges)), texts)
    for members in networkx.connected_components(want):
        assert {int(group[i]) for i in members} == {min(members)}
