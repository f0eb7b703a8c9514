"""Items that lie near to everything asked are held back by how near they lie."""

from __future__ import annotations

import numpy as np
import pytest

from graphretrieval.aligners.posteriors import PosteriorAligner
from graphretrieval.arrays import normalise
from graphretrieval.rankers.adjacency import Adjacency
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.hubs import FEWEST, NEAREST, Hubs
from graphretrieval.retriever.model import Model, Vectors
from graphretrieval.stores.snapshot import of_rows
from graphretrieval.types import Array

ASKERS = 2 * FEWEST
IDS = [f"t{i:03d}" for i in range(ASKERS)] + ["z-hub", "z-plain"]
HUB, PLAIN = ASKERS, ASKERS + 1
DIM = 64
ALL = np.ones(len(IDS), np.bool_)


def _vectors(linked: int = 0) -> Vectors:
    """Texts with a common direction, an item in that direction, and another across it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(IDS), DIM)).astype(np.float32)
    x[:ASKERS, 0] += 8
    x[HUB] = 0
    x[HUB, 0] = 1
    x[PLAIN, 0] = 0
    edges = [(f"t{i:03d}", "DESCRIBES", "z-hub", 1.0) for i in range(linked)]
    graph = of_rows(IDS, ["text"] * ASKERS + ["image"] * 2, edges, 1)
    block = {"pivot": normalise(x)}
    return Vectors(graph, Places.of(graph), block, {"pivot": block["pivot"].copy()})


def _hubs(vectors: Vectors, askers: int = ASKERS) -> Hubs:
    model = Model(aligners={"pivot": PosteriorAligner()}, askers={"text": tuple(IDS[:askers])})
    return Hubs(model, vectors, Adjacency(vectors.graph), ALL)


ITEMS = np.array([HUB, PLAIN])


def _nearest(vectors: Vectors, row: int, skip: int = 0) -> Array:
    return np.sort(vectors.raw["pivot"][skip:ASKERS] @ vectors.refined["pivot"][row])[-NEAREST:]


def test_hubness_is_the_mean_similarity_to_the_nearest_questions() -> None:
    vectors = _vectors()
    found = _hubs(vectors).of("text", "pivot", ITEMS)
    assert found[0] > found[1] + 0.3
    for row, value in zip(ITEMS, found, strict=True):
        assert value == pytest.approx(_nearest(vectors, row).mean(), abs=1e-5)


def test_what_is_linked_to_an_item_is_no_strangers_question() -> None:
    vectors = _vectors(linked=30)
    found = _hubs(vectors).of("text", "pivot", ITEMS)
    assert found[0] == pytest.approx(_nearest(vectors, HUB, skip=30).mean(), abs=1e-5)
    assert found[1] == pytest.approx(_nearest(vectors, PLAIN).mean(), abs=1e-5)


def test_few_who_ask_hold_nobody_back() -> None:
    assert not _hubs(_vectors(), askers=FEWEST - 1).of("text", "pivot", ITEMS).any()


def test_nobody_is_held_back_from_a_kind_of_query_that_never_came() -> None:
    assert not _hubs(_vectors()).of("audio", "pivot", ITEMS).any()


def test_an_item_that_moved_is_looked_at_again_and_others_are_not() -> None:
    vectors = _vectors()
    hubs = _hubs(vectors)
    before = hubs.of("text", "pivot", ITEMS).copy()
    vectors.refined["pivot"][HUB] = vectors.refined["pivot"][PLAIN]
    nothing = np.empty(0, np.int64)
    hubs.follow(vectors, ALL, nothing, nothing)
    assert hubs.of("text", "pivot", ITEMS)[0] == before[0]
    hubs.follow(vectors, ALL, nothing, np.array([HUB]))
    np.testing.assert_allclose(hubs.of("text", "pivot", ITEMS), before[1], atol=1e-5)


def test_when_one_who_asks_changes_all_are_looked_at_again() -> None:
    vectors = _vectors()
    hubs = _hubs(vectors)
    before = hubs.of("text", "pivot", ITEMS).copy()
    vectors.raw["pivot"][:ASKERS] = vectors.raw["pivot"][0]
    hubs.follow(vectors, ALL, np.array([0]), np.empty(0, np.int64))
    assert (hubs.of("text", "pivot", ITEMS) != before).all()


def test_whoever_is_hidden_asks_nothing() -> None:
    visible = ALL.copy()
    visible[FEWEST - 1 : ASKERS] = False
    vectors = _vectors()
    model = Model(aligners={"pivot": PosteriorAligner()}, askers={"text": tuple(IDS[:ASKERS])})
    hubs = Hubs(model, vectors, Adjacency(vectors.graph), visible)
    assert not hubs.of("text", "pivot", ITEMS).any()
