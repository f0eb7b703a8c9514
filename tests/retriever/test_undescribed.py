"""Items that nobody described have a ranker of their own and come among the others by odds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.evaluation import protocols
from graphretrieval.explain.explaining import explain
from graphretrieval.rankers.fusion import FusionRanker
from graphretrieval.retriever import Retriever, corpus, undescribed
from graphretrieval.retriever.learn import align, weigh
from graphretrieval.retriever.model import ALIKE, UNDESCRIBED, Model
from graphretrieval.retriever.weighing import Gate, gate
from graphretrieval.sources.toy import write_toy
from graphretrieval.types import Array
from tests.museum import copied

# one block, raw and refined, and which candidates have no links
COLUMNS = ("pivot", "pivot+", UNDESCRIBED)
MARK = 2


def ranker(weights: tuple[float, ...], slope: float, level: float) -> FusionRanker:
    """A ranker of which one knows everything: log-odds are slope times the score, plus level."""
    out = FusionRanker()
    out.weights_ = np.array([weights, (0.0,) * len(weights)])
    out.scale_ = np.ones(len(weights))
    out.calibration_ = np.array([slope, 0.0, 0.0, level])
    return out


# told by what others say, and by content alone, which says less
SPLIT = Gate(ranker((0, 4, 0), 2.0, -6.0), MARK, ranker((3, 0, 0), 1.0, -2.0))


def candidates() -> Array:
    described = [(0.1, x, 0) for x in (0.9, 0.8, 0.5)]
    alone = [(x, x, 1) for x in (0.7, 0.2)]
    return np.array(described + alone, np.float32)


def log_odds(sure: Array) -> Array:
    return np.log(sure / (1 - sure))


def test_each_candidate_is_as_sure_as_its_own_ranker_says() -> None:
    _, sure = SPLIT.weigh(candidates(), 0.0)
    by_links = 2 * 4 * np.array([0.9, 0.8, 0.5]) - 6
    by_content = 3 * np.array([0.7, 0.2]) - 2
    np.testing.assert_allclose(log_odds(sure), [*by_links, *by_content], atol=1e-4)


def test_scores_add_up_and_are_in_the_order_of_what_is_sure() -> None:
    weighed, sure = SPLIT.weigh(candidates(), 0.0)
    assert weighed.shape == (5, 3)
    np.testing.assert_array_equal(np.argsort(weighed.sum(axis=1)), np.argsort(sure))
    assert not weighed[:3, MARK].any()


def test_a_lift_multiplies_the_odds_of_the_undescribed_alone() -> None:
    before, after = (log_odds(replace(SPLIT, lift=x).weigh(candidates(), 0.0)[1]) for x in (1, 3))
    np.testing.assert_allclose(after - before, [0, 0, 0, np.log(3), np.log(3)], atol=1e-4)


def test_without_a_ranker_of_their_own_all_are_weighed_alike() -> None:
    one = Gate(SPLIT.ranker, MARK)
    weighed, _ = one.weigh(candidates(), 0.0)
    np.testing.assert_allclose(weighed, SPLIT.ranker.weigh(candidates(), 0.0))


@pytest.mark.parametrize("lift", [None, 1.0])
def test_where_nothing_is_described_content_ranks(lift: float | None) -> None:
    assert SPLIT.undescribed is not None
    some = candidates()[3:]
    weighed, _ = replace(SPLIT, lift=lift).weigh(some, 0.0)
    np.testing.assert_allclose(weighed, SPLIT.undescribed.weigh(some, 0.0))


def test_without_a_lift_the_undescribed_among_others_are_weighed_as_these_are() -> None:
    weighed, sure = replace(SPLIT, lift=None).weigh(candidates(), 0.0)
    alike, as_sure = Gate(SPLIT.ranker, MARK).weigh(candidates(), 0.0)
    np.testing.assert_array_equal(weighed, alike)
    np.testing.assert_array_equal(sure, as_sure)


def test_a_category_is_asked_of_described_and_undescribed_alike() -> None:
    model = Model(gates={ALIKE: ranker((1, 1, 0, 0, 0), 1, 0)})
    for relevance in ("instance", "category"):
        model.gates[f"text>image>{relevance}"] = model.gates[ALIKE]
    model.gates[f"text>image>{UNDESCRIBED}"] = model.gates[ALIKE]
    assert gate(model, "text", "image", "instance").undescribed is not None
    assert gate(model, "text", "image", "category").undescribed is None
    assert gate(model, "audio", "image", "instance").undescribed is None


def asked(count: int, gap: float) -> dict[str, Any]:
    """Questions for one of ten undescribed among twenty described that score so much higher.

    Content knows the answer of half of them.
    """
    rng = np.random.default_rng(0)
    parts, right, owner = [], [], []
    for i in range(count):
        content = rng.uniform(0, 0.2, 30)
        content[20] += 0.5 * (i % 2)
        bare = np.arange(30) >= 20
        refined = np.where(bare, content, content + gap)
        parts.append(np.stack([content, refined, bare], 1))
        right.append(np.arange(30) == 20)
        owner.append(np.full(30, i))
    n = 30 * count
    return {
        "columns": COLUMNS,
        "parts": np.concatenate(parts).astype(np.float32),
        "right": np.concatenate(right),
        "owner": np.concatenate(owner),
        "known": np.zeros(n, np.float32),
    }


@pytest.mark.parametrize(("gap", "expected"), [(0.0, {0.1}), (0.5, {2.0, 4.0}), (3, {8.0})])
def test_they_are_raised_as_little_as_keeps_them_as_easy_to_find_as_by_content(
    gap: float, expected: set[float]
) -> None:
    assert undescribed.lift(SPLIT, **asked(200, gap)) in expected


@pytest.fixture(scope="module")
def half(museum: Retriever) -> tuple[protocols.Trial, Model]:
    """Half of the toy museum's pictures without any description, and what is learned of them."""
    plan = protocols.Plan(protocol="connected", lang="en", undescribed=0.5)
    graph, nodes = protocols.restricted(museum, plan)
    trial, encoders = protocols.prepare(museum, graph, nodes, plan, 0)
    aligned = align(trial.material, encoders, museum.config)
    return trial, weigh(aligned, trial.material, encoders, museum.store, museum.config)


@pytest.fixture(scope="module")
def partly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retriever]:
    """A museum that has described nothing of every fourth picture."""
    folder = tmp_path_factory.mktemp("partly")
    write_toy(folder / "toy", seed=0)
    for i, text in enumerate(sorted((folder / "toy").rglob("*.txt"))):
        if i % 4 == 0:
            text.unlink()
            for suffix in (".wav", ".flac"):
                text.with_suffix(suffix).unlink(missing_ok=True)
    with gr.open(folder / "toy.db", config=Config({"cache_dir": str(folder / "c")})) as kb:
        kb.add(folder / "toy")
        kb.fit(seed=0)
        yield kb


def test_search_finds_described_and_undescribed_and_says_what_each_score_is_made_of(
    partly: Retriever,
) -> None:
    graph = partly.store.export()
    linked = corpus.linked(graph)
    assert f"text>image>{UNDESCRIBED}" in partly.model.gates
    answer = partly.search("a red circle", target="image", k=30)
    described = [bool(linked[graph.row[hit.id]]) for hit in answer.hits]
    assert any(described[:10])
    assert not all(described[:10])
    score = [hit.score for hit in answer.hits]
    assert score == sorted(score, reverse=True)
    for hit in answer.hits:
        assert sum(hit.parts.values()) == pytest.approx(hit.score, abs=1e-6)
    sure = [hit.confidence for hit in answer.hits]
    assert sure == sorted(sure, reverse=True)
    bare = next(hit for hit, d in zip(answer.hits, described, strict=True) if not d)
    why = explain(partly, answer, bare, content=False)
    columns = {c.name: c.contribution for part in why.parts for c in part.columns}
    assert sum(columns.values()) == pytest.approx(bare.score, abs=1e-6)
    assert columns[UNDESCRIBED] != 0


@pytest.fixture(scope="module")
def museum(fitted: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = copied(fitted, tmp_path_factory.mktemp("half"))
    cache = {"cache_dir": str(store.parent / "c")}
    with gr.open(store, config=Config(cache)) as kb:
        yield kb


def test_texts_ask_for_what_they_describe_and_other_items_for_what_they_alone_linked(
    half: tuple[protocols.Trial, Model],
) -> None:
    material = half[0].material
    linked = corpus.linked(material.messages)
    rows, things = undescribed.questions(material, "text", linked, 0)
    assert len(rows)
    assert len(np.unique(things)) == len(things)
    assert (material.kinds[rows] == "text").all()
    assert material.validation[rows].all()
    pictures, nothing = undescribed.questions(material, "image", linked, 0)
    assert len(pictures)
    assert not len(nothing)
    assert np.isin(pictures, material.places.rows["image"]).all()
    assert (material.validation & linked)[pictures].all()


def test_pictures_that_nothing_links_come_among_the_others_by_odds_and_texts_do_not(
    half: tuple[protocols.Trial, Model], museum: Retriever
) -> None:
    trial, model = half
    material = trial.material
    shares = undescribed.described(material, corpus.linked(material.messages))
    assert 0.5 < shares["image"] < 0.9  # some have a sound
    assert gate(model, "text", "image", "instance").lift in undescribed.LIFTS
    assert gate(model, "image", "text", "instance").lift is None
    whole = gate(museum.model, "text", "image", "instance")
    assert whole.undescribed is not None
    assert whole.lift in undescribed.LIFTS


def test_a_hidden_question_is_not_told_by_what_it_left_alone(
    half: tuple[protocols.Trial, Model],
) -> None:
    """Which candidates are undescribed is learned from by no ranker."""
    model = half[1]
    at = model.columns.index(UNDESCRIBED)
    one = np.eye(len(model.columns), dtype=np.float32)[[at]]
    learned = {key: g for key, g in model.gates.items() if key != ALIKE}
    assert {key for key, g in learned.items() if g.weigh(one, 0.0).any()} == set()
