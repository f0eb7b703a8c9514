"""What an edge is worth: the same as asking a collection that never had it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval.errors import QueryError
from graphretrieval.explain import deletion, explain
from graphretrieval.gnn.none import NoRefiner
from graphretrieval.gnn.propagate import PropagateRefiner
from graphretrieval.retriever import query as query_room
from graphretrieval.retriever.model import ALIKE, UNDESCRIBED, Model
from graphretrieval.retriever.weighing import Gate
from graphretrieval.types import Graph, State, Step
from graphretrieval.types import Path as Way

CIRCLE = "toy/shapes/circle/red_circle"
EDGE = (f"{CIRCLE}.txt#en", "DESCRIBES", f"{CIRCLE}.png")
SOUND = (f"{CIRCLE}.wav", "RELATED_TO", f"{CIRCLE}.png")


@pytest.fixture
def alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that weighs all parts alike, so that a walk counts whatever was learned."""
    monkeypatch.setattr(
        query_room,
        "gate",
        lambda model, *_: Gate(model.gates[ALIKE], model.columns.index(UNDESCRIBED)),
    )


def ring(n: int = 40, chords: int = 6, seed: int = 0) -> Graph:
    """A ring with a few chords: balls of one or two hops are small."""
    rng = np.random.default_rng(seed)
    src = np.concatenate([np.arange(n), rng.integers(0, n, chords)])
    dst = np.concatenate([(np.arange(n) + 1) % n, rng.integers(0, n, chords)])
    m = len(src)
    return Graph(
        [f"n{i:03d}" for i in range(n)],
        ("image", "text"),
        (np.arange(n) % 2).astype(np.int16),
        ("DESCRIBES", "RELATED_TO"),
        src.astype(np.int32),
        dst.astype(np.int32),
        (np.arange(m) % 2).astype(np.int16),
        np.ones(m, np.float32),
    )


def refiner(depth: int) -> PropagateRefiner:
    """One that passes every message that a ring has, so many rounds."""
    pairs = [f"{a}>{b}" for a in ("image", "text") for b in ("image", "text")]
    strength = {
        f"{r}:{way}:{p}": 0.7
        for r in ("DESCRIBES", "RELATED_TO")
        for way in ("in", "out")
        for p in pairs
    }
    options = {"max_depth": 3, "links": 600, "gallery": 1000, "steps": 60, "half": False}
    settings = {"depth": depth, "strength": strength, "report": {}, "options": options}
    return PropagateRefiner.from_state(State({}, settings))


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("edge", [0, 17, 43])
def test_refining_near_the_edge_equals_refining_everything(depth: int, edge: int) -> None:
    graph = ring(80)
    h = np.random.default_rng(1).standard_normal((80, 5)).astype(np.float32)
    model = Model(refiners={"block": refiner(depth)})
    what = deletion.without(model, graph, {"block": h}, edge)
    keep = np.arange(len(graph.src)) != edge
    before = refiner(depth).refine(graph, h)
    after = refiner(depth).refine(graph.with_edges(keep), h)
    patched = before.copy()
    patched /= np.linalg.norm(patched, axis=1, keepdims=True)
    patched[what.rows["block"]] = what.values["block"]
    truth = after / np.linalg.norm(after, axis=1, keepdims=True)
    assert len(what.rows["block"]) < len(graph.ids)
    assert np.abs(truth - patched).max() < 1e-5
    assert np.abs(before - after).max() > 1e-2


def test_without_a_refiner_no_vector_changes() -> None:
    graph = ring()
    what = deletion.without(
        Model(refiners={"b": NoRefiner()}), graph, {"b": np.ones((40, 3), np.float32)}, 3
    )
    assert what.rows == {}
    assert len(what.walker.adjacency.edges()[0]) == len(graph.src) - 1


def test_a_refiner_that_does_not_say_how_far_it_hears_refines_everything() -> None:
    class Mean(NoRefiner):
        pass

    class Unknown:
        def refine(self, graph: Graph, vectors: np.ndarray) -> np.ndarray:
            return vectors + len(graph.src)

    assert deletion.reach_of(Mean()) == 0
    graph = ring()
    what = deletion.without(
        Model(refiners={"b": Unknown()}), graph, {"b": np.ones((40, 3), np.float32)}, 3
    )
    assert len(what.rows["b"]) == 40


def test_the_key_edge_is_the_last_one_in_the_direction_of_its_arrow() -> None:
    path = Way(("a", "b", "c"), (Step("DESCRIBES", "out"), Step("IN_CATEGORY", "in")))
    assert deletion.edges_of_path(path) == [("a", "DESCRIBES", "b"), ("c", "IN_CATEGORY", "b")]
    assert deletion.key_edge(path) == ("c", "IN_CATEGORY", "b")
    assert deletion.key_edge(Way(("a",), ())) is None


def test_an_edge_that_is_not_there_cannot_be_left_out(kb: gr.Retriever) -> None:
    with pytest.raises(QueryError, match="no edge"):
        explain(kb, "a red circle", content=False, edges=[(EDGE[2], "DESCRIBES", EDGE[0])])


def test_scores_are_those_of_a_collection_that_never_had_the_edge(
    kb: gr.Retriever, alike: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    query = {"node": f"{CIRCLE}.png", "target": "audio"}
    told = explain(kb, query, f"{CIRCLE}.wav", content=False)
    [mine] = [d for d in told.deletions if d.role == "key"]
    assert mine.edge == SOUND
    folder = tmp_path_factory.mktemp("less") / "copy"
    kb.backup(folder)
    gr.retriever.retriever.restore(folder, folder / "again.db")
    with gr.open(folder / "again.db", config=kb.config) as less:
        less.unlink(*SOUND)
        hits = less.search(**query, k=250).hits
    rank = [h.id for h in hits].index(f"{CIRCLE}.wav")
    assert mine.rank_after == rank + 1
    assert mine.score_after == pytest.approx(hits[rank].score, abs=1e-4)
    assert mine.score_after != pytest.approx(mine.score_before, abs=1e-3)


def test_the_store_and_the_next_answer_are_untouched(kb: gr.Retriever) -> None:
    before, revision = kb.search("a red circle", k=20), kb.store.revision
    explain(kb, before, edges=[EDGE], content=False)
    assert kb.store.revision == revision
    assert kb.search("a red circle", k=20) == before


def test_after_a_link_the_new_edge_can_be_left_out(
    kb: gr.Retriever, alike: None, museum: Path
) -> None:
    folder = museum.parent / "linked"
    kb.backup(folder)
    gr.retriever.retriever.restore(folder, folder / "again.db")
    moon = "toy/nature/moon/red_moon.wav"
    with gr.open(folder / "again.db", config=kb.config) as mine:
        query = {"node": f"{CIRCLE}.png", "target": "audio"}
        before = explain(mine, query, moon, content=False)
        mine.link(f"{CIRCLE}.png", "RELATED_TO", moon)
        after = explain(mine, query, moon, content=False)
    [key] = [d for d in after.deletions if d.role == "key"]
    assert key.edge == (f"{CIRCLE}.png", "RELATED_TO", moon)
    assert after.hit.score > before.hit.score + 1e-3
    assert key.score_after == pytest.approx(before.hit.score, abs=1e-3)
