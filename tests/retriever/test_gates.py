"""What rankers are fitted on: questions whose answers nothing gives away."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.evaluation.protocols import Trial
from graphretrieval.retriever import corpus, gates
from graphretrieval.retriever.asking import Batch, node_queries, scorer_of
from graphretrieval.retriever.learn import align, weigh
from graphretrieval.retriever.material import embed
from graphretrieval.retriever.model import Model
from graphretrieval.types import DESCRIBES, IN_CATEGORY, Graph, Ints
from tests.evaluation.world import trial_of, write_world

CONFIG = Config({"text_model": "none"})


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[gr.Retriever, Trial, Model, list[tuple[Graph, Ints]]]]:
    """A collection, a trial on it, what is learned, and what each scorer of the gates was given."""
    folder = tmp_path_factory.mktemp("gates")
    seen: list[tuple[Graph, Ints]] = []
    patch = pytest.MonkeyPatch()
    patch.setattr(
        gates,
        "scorer_of",
        lambda m, x, s, g, r, h: seen.append((g, h)) or scorer_of(m, x, s, g, r, h),
    )
    with gr.open(folder / "world.db", config=CONFIG) as kb:
        kb.add(write_world(folder / "world"))
        trial, encoders, _ = trial_of(kb, protocol="inductive")
        aligned = align(trial.material, encoders, CONFIG)
        model = weigh(aligned, trial.material, encoders, kb.store, CONFIG)
        yield kb, trial, model, seen
    patch.undo()


Made = tuple[gr.Retriever, Trial, Model, list[tuple[Graph, Ints]]]


def test_items_that_ask_as_new_have_no_edge_while_they_ask(made: Made) -> None:
    asked = [(graph, hidden) for graph, hidden in made[3] if len(hidden)]
    assert len(asked) > 3
    for graph, hidden in asked:
        assert not np.isin(np.concatenate([graph.src, graph.dst]), hidden).any()


def test_what_is_hidden_is_no_anchor_of_anything(made: Made) -> None:
    kb, trial, model, _ = made
    m = trial.material
    raw = embed(model, m)
    scorer = scorer_of(model, m, kb.store, m.messages, raw, trial.hidden)
    for kind in ("text", "image"):
        rows = np.intersect1d(m.places.rows[kind], trial.hidden)
        anchors = scorer.anchors(node_queries(scorer.vectors, rows, kind, m.texts))
        assert len(anchors.rows)
        assert not np.isin(anchors.rows, trial.hidden).any()


def test_an_item_is_no_candidate_of_its_own_question(made: Made) -> None:
    kb, trial, model, _ = made
    m = trial.material
    scorer = scorer_of(model, m, kb.store, m.messages, embed(model, m), trial.hidden)
    rows = np.setdiff1d(m.places.rows["image"], trial.hidden)
    found = Batch.of_items(scorer, m, rows[:10], "image").among(rows, m, "category", 0)
    assert found is not None
    assert (np.bincount(found.owner) == len(rows) - 1).all()


def described(*langs: tuple[int, str]) -> Any:
    """Pictures 0 … 3, and texts of them in a language each."""
    n = 4 + len(langs)
    src = np.arange(4, n, dtype=np.int32)
    dst = np.array([thing for thing, _ in langs], np.int32)
    kinds = np.array([0] * 4 + [1] * len(langs), np.int16)
    zero, one = np.zeros(len(langs), np.int16), np.ones(len(langs), np.float32)
    ids = [f"n{i:02d}" for i in range(n)]
    graph = Graph(ids, ("image", "text"), kinds, (DESCRIBES,), src, dst, zero, one)
    said = np.array([""] * 4 + [lang for _, lang in langs], "U8")
    kind = np.array([""] * 4 + ["han" if x.startswith("zh") else "text" for _, x in langs], "U8")
    return SimpleNamespace(
        graph=graph,
        places=corpus.Places.of(graph),
        langs=said,
        kinds=kind,
        visible=np.ones(n, bool),
    )


def test_a_variant_of_a_language_is_hidden_with_the_question_and_another_language_is_not() -> None:
    m = described((0, "zh_CN"), (0, "zh_TW"), (0, "en"), (1, "zh_TW"))
    assert gates.with_variants(m, np.array([4])).tolist() == [4, 5]


def test_some_ask_for_what_nobody_described_in_their_language() -> None:
    m = described((0, "zh_CN"), (0, "zh_CN"), (0, "en"), (1, "zh_CN"), (2, "en"), (3, "zh_CN"))
    assert gates.siblings(m, "han", np.array([4, 7, 9])).tolist() == [4, 5]


def test_of_too_many_categories_the_most_populous_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "MAX_CATEGORIES", 2)
    dst = np.repeat([0, 1, 2], [2, 5, 3]).astype(np.int32)
    n = len(dst)
    kinds = np.array([0] * 3 + [1] * n, np.int16)
    zero, one = np.zeros(n, np.int16), np.ones(n, np.float32)
    src = np.arange(3, 3 + n, dtype=np.int32)
    ids = [f"n{i:02d}" for i in range(3 + n)]
    graph = Graph(ids, ("category", "text"), kinds, (IN_CATEGORY,), src, dst, zero, one)
    found, rows = corpus.labels(graph, corpus.Places.of(graph))
    assert rows.tolist() == [1, 2]
    assert found["text"].sum(axis=0).tolist() == [5, 3]
