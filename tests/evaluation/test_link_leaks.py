"""Hidden links are known to nobody who is asked for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval import splits
from graphretrieval.config import Config
from graphretrieval.evaluation import links as room
from graphretrieval.protocols import silent
from graphretrieval.retriever import links as asking
from graphretrieval.types import Graph

from .test_protocols import triples
from .world import write_world


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Retriever]:
    folder = tmp_path_factory.mktemp("leaks")
    with gr.open(folder / "world.db", config=Config({"text_model": "none"})) as kb:
        kb.add(write_world(folder / "world"))
        yield kb


def pairs(graph: Graph) -> set[frozenset[str]]:
    return {frozenset((s, d)) for s, _, d in triples(graph)}


def test_hidden_links_are_neither_learned_from_nor_walked(
    base: gr.Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = base.store.export()
    hidden = splits.folds(graph, room.FOLDS, 0)[0]
    learned: list[Graph] = []
    real = room.align
    monkeypatch.setattr(
        room, "align", lambda m, *a, **k: learned.append(m.graph) or real(m, *a, **k)
    )
    scorers: list[Graph] = []
    for place in (room, asking):
        made = place.LinkScorer
        monkeypatch.setattr(
            place, "LinkScorer", lambda m, g, *a, made=made: scorers.append(g) or made(m, g, *a)
        )
    ((_, _),) = room.link_runs(base, graph, ["full"], 0, silent)
    left = pairs(graph.with_edges(~hidden))
    assert pairs(learned[0]) == left
    fitted, judged = scorers
    assert pairs(judged) == left
    assert pairs(fitted) < left


def test_what_a_ranker_is_fitted_to_find_is_not_in_its_graph(
    base: gr.Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = base.store.export()
    tables: list[tuple[Graph, asking.Asked]] = []
    real = asking._table
    monkeypatch.setattr(asking, "_table", lambda s, q: tables.append((s.graph, q)) or real(s, q))
    next(iter(room.link_runs(base, graph, ["full"], 0, silent)))
    assert tables
    for seen, question in tables:
        wanted = {
            frozenset((graph.ids[question.queries[i]], graph.ids[question.gallery[j]]))
            for i, j in np.argwhere(question.right).tolist()
        }
        assert wanted
        assert not wanted & pairs(seen)


def test_other_links_that_are_known_stand_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (1, 3)
    question = asking.Asked(
        "R", "text", "image", False, np.array([0]), np.arange(1, 4),
        np.array([[False, True, False]]), np.array([[True, False, False]]),
    )  # fmt: skip

    class Alike:
        def weigh(self, parts: Any, known: float) -> Any:
            return parts

    class Ones:
        def columns_of(self, asked: asking.Asked) -> np.ndarray:
            return np.ones((*shape, 1), np.float32)

    scores = asking.rank_links({"": Alike()}, Ones(), question)  # type: ignore[arg-type, dict-item]
    assert scores.tolist() == [[-np.inf, 1.0, 1.0]]
