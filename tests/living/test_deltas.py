"""A graph changed in place answers as one built anew from the store does."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphretrieval.config import Config
from graphretrieval.gnn import push
from graphretrieval.protocols import GraphStore
from graphretrieval.retriever import hubs
from graphretrieval.retriever import live as live_room
from graphretrieval.retriever.live import Live
from graphretrieval.retriever.query import Filter
from graphretrieval.types import DESCRIBES, IN_CATEGORY, RELATED_TO, Edge, Node

from .conftest import every_store, on_server
from .world import answers, fill, live_of, node

CLOSE = 1e-4
NEW = [f"m{i}" for i in range(4)]
OLD = [f"n{i:03d}" for i in range(40)]
ITEMS = st.sampled_from(OLD[:12] + NEW)
ENDS = st.sampled_from([*OLD[:12], *NEW, "cat:hub", "cat:few", "cat:new", "place:new"])
RELATIONS = st.sampled_from([DESCRIBES, RELATED_TO, IN_CATEGORY, "PAINTED_BY"])
STATUS = st.sampled_from(["asserted", "asserted", "rejected"])
WRITES = st.one_of(
    st.tuples(st.just("link"), ENDS, RELATIONS, ENDS, st.floats(0, 3), STATUS),
    st.tuples(st.just("unlink"), ENDS, RELATIONS, ENDS),
    st.tuples(
        st.just("put"),
        ITEMS,
        st.sampled_from(["image", "text", "audio"]),
        st.text("ab", min_size=1),
    ),
    st.tuples(st.just("named"), st.sampled_from(["cat:new", "place:new"])),
    st.tuples(st.just("delete"), ENDS),
)


def write(store: GraphStore, what: tuple[object, ...]) -> None:
    """One write; what cannot be done on this graph is left out."""
    match what:
        case ("link", src, relation, dst, weight, status):
            if None not in store.get([src, dst]):  # type: ignore[list-item]
                store.upsert([], [Edge(src, relation, dst, weight, "user", status)])  # type: ignore[arg-type]
        case ("unlink", src, relation, dst):
            store.delete(edges=[(src, relation, dst)])  # type: ignore[list-item]
        case ("put", name, modality, text):
            store.upsert([node(name, modality, text)])  # type: ignore[arg-type]
        case ("named", name):
            modality = "category" if name == "cat:new" else "place"
            store.upsert([Node(name, modality, title="new")])  # type: ignore[arg-type]
        case ("delete", name):
            store.delete([name])  # type: ignore[list-item]


def followed(live: Live, store: GraphStore, config: Config) -> Live:
    """The delta, or a new build where one was asked for."""
    try:
        live.follow(store.changes_since(live.revision))
    except live_room.TooMuchChanged:
        return Live.load(
            "v1", live.model, live.embedded(), live.revision, store, config, primed=True
        )
    return live


def assert_same(live: Live, anew: Live) -> None:
    assert live.revision == anew.revision
    assert live.row.keys() == anew.row.keys()
    names = list(anew.row)
    here, there = [live.row[n] for n in names], [anew.row[n] for n in names]
    for ours, theirs in (
        (live.vectors.raw, anew.vectors.raw),
        (live.vectors.refined, anew.vectors.refined),
    ):
        for block in ours:
            np.testing.assert_allclose(ours[block][here], theirs[block][there], atol=CLOSE)
    for kind, block in itertools.product(live.model.askers, live.model.hubs):
        ours, theirs = (
            x.scorer.hubs.of(kind, block, np.array(rows))
            for x, rows in ((live, here), (anew, there))
        )
        np.testing.assert_allclose(ours, theirs, atol=CLOSE)
    edges = [
        {
            (x.ids[s], x.ties.relations[r], x.ids[d])
            for i in x.row.values()
            for s, r, d in x.ties.edges_at(i)
        }
        for x in (live, anew)
    ]
    assert edges[0] == edges[1]


def assert_answers_same(live: Live, anew: Live, name: str) -> None:
    ours, theirs = answers(live, name), answers(anew, name)
    near = 20 * CLOSE  # a sum of ten products
    for found in ours.keys() & theirs.keys():
        assert ours[found] == pytest.approx(theirs[found], abs=near)
    for some, others in ((ours, theirs), (theirs, ours)):
        for found in some.keys() - others.keys():  # of nodes that say the same, one is shown
            assert min(abs(some[found] - score) for score in others.values()) <= near


RUNS = st.lists(WRITES, min_size=1, max_size=12)
SLOW = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@settings(max_examples=30, **SLOW)
@given(RUNS, st.integers(0, 3))
@pytest.mark.parametrize("hub", [3, 200])  # nodes of more edges are told only what moved
def test_any_run_of_writes_ends_where_a_new_build_does(
    new_store: Callable[[], GraphStore],
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    hub: int,
    writes: list[tuple[object, ...]],
    seed: int,
) -> None:
    monkeypatch.setattr(push, "HUB", hub)
    monkeypatch.setattr(hubs, "FEWEST", 10)
    assert_ends_the_same(new_store(), config, writes, seed)


@on_server
@settings(max_examples=4, **SLOW)
@given(RUNS, st.integers(0, 3))
def test_any_run_of_writes_to_a_server_ends_where_a_new_build_does(
    new_store: Callable[[], GraphStore],
    config: Config,
    writes: list[tuple[object, ...]],
    seed: int,
) -> None:
    assert_ends_the_same(new_store(), config, writes, seed)


def assert_ends_the_same(
    store: GraphStore, config: Config, writes: list[tuple[object, ...]], seed: int
) -> None:
    fill(store, seed)
    live = live_of(store, config, seed=seed)
    answers(live, "n020")  # indexes and likenesses are built before the writes, and follow them
    for what in writes:
        write(store, what)
        live = followed(live, store, config)
    anew = live_of(store, config, seed=seed)
    assert_same(live, anew)
    assert_answers_same(live, anew, "n020")
    store.close()


def test_an_item_that_is_deleted_and_comes_back_asks_as_before(
    new_store: Callable[[], GraphStore], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "FEWEST", 10)
    back = [("put", "n001", "text", "a"), ("delete", "n001"), ("put", "n001", "text", "a")]
    assert_ends_the_same(new_store(), config, back, 0)


def test_many_small_moves_do_not_add_up(
    new_store: Callable[[], GraphStore], config: Config
) -> None:
    store = new_store()
    fill(store, n=300)
    live = live_of(store, config)
    rng = np.random.default_rng(0)
    for _ in range(300):  # weights of the hub's links drift by a little, again and again
        i = 2 * int(rng.integers(150))
        weight = 1 + 0.01 * float(rng.standard_normal())
        store.upsert([], [Edge(f"n{i:03d}", IN_CATEGORY, "cat:hub", weight)])
        live.follow(store.changes_since(live.revision))
    assert_same(live, live_of(store, config))


def test_a_link_touches_far_fewer_rows_than_there_are(
    new_store: Callable[[], GraphStore], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store()
    fill(store, n=2000)
    live = live_of(store, config, depth=1)
    moved: list[int] = []
    monkeypatch.setattr(live.searcher, "follow", lambda _, rows, dead: moved.append(len(rows)))
    store.upsert([], [Edge("n001", RELATED_TO, "n003")])
    live.follow(store.changes_since(live.revision))
    assert max(moved) < 20


@every_store
def test_filters_follow_new_and_deleted_nodes(
    new_store: Callable[[], GraphStore], config: Config
) -> None:
    store = new_store()
    fill(store)
    live = live_of(store, config)
    german = Filter(lang="de")
    before = live.allowed(german)
    assert before is not None
    assert not before.any()
    store.upsert([Node("m0", "text", text="ein Wort", lang="de_AT")])
    live.follow(store.changes_since(live.revision))
    marked = live.allowed(german)
    assert marked is not None
    assert [live.ids[i] for i in np.flatnonzero(marked)] == ["m0"]
    store.delete(["m0"])
    live.follow(store.changes_since(live.revision))
    gone = live.allowed(german)
    assert gone is not None
    assert not gone.any()


def test_a_write_of_a_tenth_of_the_graph_is_left_to_a_new_build(
    new_store: Callable[[], GraphStore], config: Config
) -> None:
    store = new_store()
    fill(store, n=400)
    live = live_of(store, config)
    store.upsert([node(f"m{i}", "text", f"more {i}") for i in range(200)])
    with pytest.raises(live_room.TooMuchChanged):
        live.follow(store.changes_since(live.revision))
