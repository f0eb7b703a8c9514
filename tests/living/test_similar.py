"""Derived edges in service: a graph changed in place answers as one loaded anew does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.candidates import View
from graphretrieval.config import Config
from graphretrieval.gnn.similar import Similar
from graphretrieval.protocols import GraphStore
from graphretrieval.retriever import Retriever
from graphretrieval.retriever.bundle import Embedded
from graphretrieval.retriever.live import Live
from graphretrieval.retriever.model import Model
from graphretrieval.retriever.similar import similar
from graphretrieval.types import SIMILAR_TO, Edge

from .test_deltas import (
    ENDS,
    SLOW,
    WRITES,
    assert_answers_same,
    assert_same,
    followed,
    write,
)
from .world import MODALITIES, answers, fill, live_of, model, node

# what people say themselves of how alike two nodes are, besides all other writes
SAID = st.one_of(
    WRITES,
    st.tuples(
        st.just("link"),
        ENDS,
        st.just(SIMILAR_TO),
        ENDS,
        st.floats(0.1, 1),
        st.sampled_from(["asserted", "rejected"]),
    ),
    st.tuples(st.just("unlink"), ENDS, st.just(SIMILAR_TO), ENDS),
    st.tuples(st.just("over"), st.integers(0, 30), st.floats(0.1, 1)),
    st.tuples(st.just("not over"), st.integers(0, 30)),
)


def listening(seed: int = 0) -> Model:
    """The model of these tests, learned with likeness as edges."""
    out = model(seed=seed)
    out.meta["settings"] = {"similar": True}
    for refiner in out.refiners.values():
        for m in MODALITIES:
            for way in ("in", "out"):
                refiner.strength_[f"{SIMILAR_TO}:{way}:{m}>{m}"] = 0.5  # type: ignore[attr-defined]
    return out


def fitted(store: GraphStore, config: Config, seed: int = 0) -> tuple[Embedded, int]:
    """Vectors and derived edges as a fit would save them, and the revision they are of."""
    fill(store, seed)
    live = live_of(store, config, seed=seed)
    edges = similar(live.places.rows, live.raw()).edges
    assert len(edges) > 20
    return replace(live.embedded(), similar=edges), live.revision


def load(embedded: Embedded, since: int, store: GraphStore, config: Config, seed: int = 0) -> Live:
    return Live.load("v1", listening(seed), embedded, since, store, config, primed=True)


def served(
    new_store: Callable[[], GraphStore], config: Config
) -> tuple[GraphStore, Embedded, int, Live]:
    """A store, what was fitted on it and when, and a service that answers from it."""
    store = new_store()
    embedded, since = fitted(store, config)
    return store, embedded, since, load(embedded, since, store, config)


def derived(live: Live) -> dict[tuple[str, str], float]:
    """Edges of likeness that walks and messages go over, by name."""
    graph = live.graph()
    at = graph.edges_of(SIMILAR_TO)
    return {(graph.ids[graph.src[e]], graph.ids[graph.dst[e]]): float(graph.weight[e]) for e in at}


def names(embedded: Embedded) -> list[tuple[str, str]]:
    ids, edges = embedded.ids, embedded.similar
    ends = zip(edges.src.tolist(), edges.dst.tolist(), strict=True)
    return [(ids[s], ids[d]) for s, d in ends]


@settings(max_examples=40, **SLOW)
@given(st.lists(SAID, min_size=1, max_size=12), st.integers(0, 3))
def test_any_run_of_writes_ends_where_loading_anew_does(
    new_store: Callable[[], GraphStore],
    config: Config,
    writes: list[tuple[object, ...]],
    seed: int,
) -> None:
    store = new_store()
    embedded, since = fitted(store, config, seed)
    live = load(embedded, since, store, config, seed)
    answers(live, "n020")
    pairs = names(embedded)
    for what in writes:
        match what:
            case ("over", int(i), weight):
                src, dst = pairs[i % len(pairs)]
                write(store, ("link", src, SIMILAR_TO, dst, weight, "asserted"))
            case ("not over", int(i)):
                src, dst = pairs[i % len(pairs)]
                write(store, ("unlink", src, SIMILAR_TO, dst))
            case _:
                write(store, what)
        live = followed(live, store, config)
    anew = load(embedded, since, store, config, seed)
    assert derived(live) == derived(anew)
    assert_same(live, anew)
    assert_answers_same(live, anew, "n020")
    store.close()


def test_walks_and_vectors_go_over_what_is_alike(
    new_store: Callable[[], GraphStore], config: Config
) -> None:
    store, embedded, since, live = served(new_store, config)
    assert derived(live).keys() == set(names(embedded))
    deaf = load(replace(embedded, similar=Similar.joined()), since, store, config)
    moved = np.abs(live.vectors.refined["a"] - deaf.vectors.refined["a"]).max()
    assert moved > 0.01


def test_a_model_learned_without_likeness_never_hears_it(
    new_store: Callable[[], GraphStore], config: Config
) -> None:
    store = new_store()
    embedded, since = fitted(store, config)
    plain = Live.load("v1", model(), embedded, since, store, config, primed=True)
    assert derived(plain) == {}
    assert_same(plain, live_of(store, config))


def test_what_people_say_counts_and_the_derived_edge_is_back_when_they_take_it_back(
    new_store: Callable[[], GraphStore], config: Config
) -> None:
    store, embedded, _, live = served(new_store, config)
    src, dst = names(embedded)[0]
    before = derived(live)[src, dst]
    store.upsert([], [Edge(src, SIMILAR_TO, dst, 0.125)])
    live.follow(store.changes_since(live.revision))
    assert derived(live)[src, dst] == 0.125
    store.delete(edges=[(src, SIMILAR_TO, dst)])
    live.follow(store.changes_since(live.revision))
    assert derived(live)[src, dst] == before


def test_what_people_say_of_a_node_stands_when_the_node_is_written_anew(
    new_store: Callable[[], GraphStore], config: Config
) -> None:
    store, embedded, since, live = served(new_store, config)
    src, dst = names(embedded)[0]
    store.upsert([], [Edge(src, SIMILAR_TO, dst, 0.125)])
    live.follow(store.changes_since(live.revision))
    store.upsert([node(src, live.modalities[live.modality.x[live.row[src]]], "another word")])
    live.follow(store.changes_since(live.revision))
    assert {ends: w for ends, w in derived(live).items() if src in ends} == {(src, dst): 0.125}
    assert derived(live) == derived(load(embedded, since, store, config))
    store.delete(edges=[(src, SIMILAR_TO, dst)])
    live.follow(store.changes_since(live.revision))
    assert not [ends for ends in derived(live) if src in ends]


def test_nodes_that_are_new_or_written_anew_are_like_nobody_until_the_next_fit(
    new_store: Callable[[], GraphStore], config: Config
) -> None:
    store, embedded, since, live = served(new_store, config)
    name = names(embedded)[0][0]
    kind = live.modalities[live.modality.x[live.row[name]]]
    store.upsert([node(name, kind, "another word"), node("m0", kind, "another word")])
    live.follow(store.changes_since(live.revision))
    assert not [ends for ends in derived(live) if {name, "m0"} & set(ends)]
    assert derived(live) == derived(load(embedded, since, store, config))


def test_proposals_hear_it_too(kb: Retriever) -> None:
    live = kb.serving.newest()
    edges = similar(live.places.rows, live.raw()).edges
    what = listening()
    what.meta["revision"] = kb.store.revision
    kb.bundles.save(what, replace(live.embedded(), similar=edges))
    view = View.of(kb)
    assert len(view.similar) == len(edges) > 0
    assert SIMILAR_TO not in view.graph.relations
    assert len(view.without(np.array([0])).similar) == len(edges)
