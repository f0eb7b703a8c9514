"""Wrong graphs are wrong in one way only; what is learned from stays the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.config import Config
from graphretrieval.evaluation.controls import (
    CONTROLS,
    NO_COOCCURRENCE,
    NOISE,
    POISONED_SHARE,
    controlled,
    learned_from,
    poisoned,
    rewired,
)
from graphretrieval.retriever.material import Material
from graphretrieval.types import Graph


def graph(seed: int = 0, n: int = 300, m: int = 2000) -> Graph:
    rng = np.random.default_rng(seed)
    src, dst = rng.integers(0, n, (2, m)).astype(np.int32)
    relation = rng.integers(0, 3, m).astype(np.int16)
    ids = [f"n{i:04d}" for i in range(n)]
    modality = (np.arange(n) % 2).astype(np.int16)
    weight = rng.random(m).astype(np.float32)
    return Graph(ids, ("image", "text"), modality, ("A", "B", "C"), src, dst, relation, weight)


def material(g: Graph) -> Material:
    empty: Any = SimpleNamespace()
    return Material(g, g, empty, {}, None, {}, empty, empty, empty, empty, empty)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 30), st.integers(0, 60))
def test_rewiring_keeps_every_nodes_degrees_in_every_relation(seed: int, n: int, m: int) -> None:
    g = graph(seed, n, m)
    other = rewired(g, seed)
    for end in ("src", "dst"):
        before, after = (
            Counter(zip(x.relation.tolist(), getattr(x, end).tolist(), strict=True))
            for x in (g, other)
        )
        assert before == after
    np.testing.assert_array_equal(other.weight, g.weight)


def test_rewiring_leaves_hardly_a_true_edge() -> None:
    g = graph()
    other = rewired(g, 0)
    assert (other.dst == g.dst).mean() < 0.05
    assert (rewired(g, 1).dst != other.dst).mean() > 0.9
    np.testing.assert_array_equal(rewired(g, 0).dst, other.dst)


@pytest.mark.parametrize(("noise", "share"), [(n, int(n[8:10]) / 100) for n in NOISE[:3]])
def test_noise_leads_so_many_edges_somewhere_else(noise: str, share: float) -> None:
    g = graph()
    other = controlled(material(g), Config(), noise, 0)[0].messages
    assert (other.dst != g.dst).mean() == pytest.approx(share, abs=0.02)
    np.testing.assert_array_equal(other.src, g.src)


def test_poison_makes_one_item_of_each_relation_known_by_false_edges() -> None:
    g = graph()
    other = poisoned(g, 0)
    m = len(g.src)
    for name in ("src", "dst", "relation", "weight"):
        np.testing.assert_array_equal(getattr(other, name)[:m], getattr(g, name))
        assert getattr(other, name).dtype == getattr(g, name).dtype
    assert len(other.src) - m == pytest.approx(POISONED_SHARE * m, abs=2)
    for code in range(3):
        false = m + np.flatnonzero(other.relation[m:] == code)
        assert len(set(other.dst[false].tolist())) == 1
        assert len(set(other.src[false].tolist())) > 1


def test_dropping_leaves_half_of_the_true_edges() -> None:
    g = graph()
    found, _ = controlled(material(g), Config(), "dropped", 0)
    left = set(zip(found.messages.src.tolist(), found.messages.dst.tolist(), strict=True))
    assert left <= set(zip(g.src.tolist(), g.dst.tolist(), strict=True))
    assert len(found.messages.src) / len(g.src) == pytest.approx(0.5, abs=0.05)


def test_each_control_takes_one_thing_away() -> None:
    g = graph()
    given = material(g)
    for control in (*CONTROLS, NO_COOCCURRENCE, *NOISE):
        found, config = controlled(given, Config(), control, 0)
        assert found.graph is g  # what aligners learn from
        edges = len(found.messages.src)
        assert edges == {"no_graph": 0}.get(control, edges)
        same = control in ("full", "no_gnn", "no_path", NO_COOCCURRENCE)
        assert (found.messages is g) is same
        assert found.paths is (control != "no_path")
        assert found.cooccurrence is (control != NO_COOCCURRENCE)
        assert (config["refiner"] == "none") is (control == "no_gnn")


@pytest.mark.parametrize(
    ("control", "left", "true"),
    [("no_graph", 0.0, 0.0), ("dropped", 0.5, 0.5), ("rewired", 1.0, 0.02), ("full", 1.0, 1.0)],
)
def test_links_that_labels_travel_along_are_changed_and_categories_stay(
    control: str, left: float, true: float
) -> None:
    g = replace(graph(), relations=("DESCRIBES", "IN_CATEGORY", "RELATED_TO"))
    learned = learned_from(controlled(material(g), Config(), control, 0)[0], material(g))
    assert edges(learned.graph, 1) == edges(g, 1)
    links = edges(g, 0) + edges(g, 2)
    found = edges(learned.graph, 0) + edges(learned.graph, 2)
    assert found.total() == pytest.approx(left * links.total(), rel=0.1)
    assert (found & links).total() == pytest.approx(true * links.total(), rel=0.1, abs=40)


@pytest.mark.parametrize("control", ["full", "no_gnn", "no_path"])
def test_what_leaves_the_graph_alone_is_not_learned_again(control: str) -> None:
    m = material(replace(graph(), relations=("DESCRIBES", "IN_CATEGORY", "RELATED_TO")))
    found, _ = controlled(m, Config(), control, 0)
    assert learned_from(found, m) is found


@pytest.mark.parametrize("control", ["no_graph", "rewired", "dropped", *NOISE])
def test_aligners_learn_from_the_very_links_that_carry_messages(control: str) -> None:
    g = replace(graph(), relations=("DESCRIBES", "IN_CATEGORY", "RELATED_TO"))
    found, _ = controlled(material(g), Config(), control, 0)
    learned = learned_from(found, material(g))
    assert learned.messages is found.messages
    for relation in (0, 2):
        assert edges(learned.graph, relation) == edges(found.messages, relation)
    assert edges(learned.graph, 1) == edges(g, 1)


def edges(g: Graph, relation: int) -> Counter[tuple[int, int]]:
    mine = g.relation == relation
    return Counter(zip(g.src[mine].tolist(), g.dst[mine].tolist(), strict=True))
