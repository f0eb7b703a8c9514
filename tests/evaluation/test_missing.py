"""What is sought loses its content: its vectors are zeros, its links stay, and it is told apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.errors import QueryError
from graphretrieval.evaluation import missing
from graphretrieval.evaluation.protocols import Plan, evaluate
from graphretrieval.evaluation.results import Direction
from graphretrieval.retriever.learn import align, refined
from graphretrieval.retriever.material import embed
from graphretrieval.types import DESCRIBES

from .world import trial_of, write_world

CONFIG = Config({"text_model": "none"})

pytestmark = pytest.mark.xdist_group("missing")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Retriever]:
    """Read by all tests, changed by none."""
    folder = tmp_path_factory.mktemp("missing")
    with gr.open(folder / "world.db", config=CONFIG) as kb:
        kb.add(write_world(folder / "world"))
        yield kb


def test_so_many_pictures_and_sounds_of_the_galleries_are_lost() -> None:
    def d(target: str, gallery: np.ndarray) -> Direction:
        right = np.ones((1, len(gallery)), np.bool_)
        return Direction("text", target, np.array([99]), gallery, right)

    found = [d("image", np.arange(30)), d("audio", np.arange(40, 50)), d("text", np.arange(60, 90))]
    rows = missing.lost([*found, found[0]], 0.25, seed=0)
    assert len(rows) == 10
    assert rows.max() < 50
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, missing.lost(found, 0.25, seed=0))
    assert not np.array_equal(rows, missing.lost(found, 0.25, seed=1))
    assert not len(missing.lost(found[2:], 0.25, seed=0))


def test_lost_items_have_no_vector_and_keep_their_links(base: gr.Retriever) -> None:
    trial, encoders, graph = trial_of(base, protocol="connected", lang="en", missing=0.3)
    whole, _, _ = trial_of(base, protocol="connected", lang="en")
    assert len(trial.lost) == 18  # of sixty pictures
    np.testing.assert_array_equal(trial.material.graph.src, whole.material.graph.src)
    described = trial.material.messages.dst[trial.material.messages.edges_of(DESCRIBES)]
    assert np.isin(trial.lost, described).all()
    aligned = align(trial.material, encoders, base.config)
    model, raw = refined(aligned, trial.material, encoders, base.config)
    kept = np.setdiff1d(graph.rows_of("image"), trial.lost)
    for block, x in raw.items():
        assert not x[trial.lost].any(), block
        assert x[kept].any(axis=1).all(), block
    model.aligners = dict(aligned.final)
    assert not any(x[trial.lost].any() for x in embed(model, trial.material).values())


def test_nothing_is_asked_with_what_is_lost(base: gr.Retriever) -> None:
    trial, _, _ = trial_of(base, protocol="inductive", missing=0.4)
    whole, _, _ = trial_of(base, protocol="inductive")
    assert len(trial.lost) == round(0.4 * (12 + 5))
    assert len(trial.directions) == len(whole.directions)
    for d, before in zip(trial.directions, whole.directions, strict=True):
        np.testing.assert_array_equal(d.gallery, before.gallery)
        np.testing.assert_array_equal(d.queries, np.setdiff1d(before.queries, trial.lost))
        assert len(d.right) == len(d.queries)


def test_right_answers_with_and_without_content_are_each_among_the_wrong_ones() -> None:
    right = np.array([[True, True, False, False], [True, False, False, False]])
    d = Direction("text", "image", np.array([8, 9]), np.arange(4), right)
    scores = np.array([[4, 1, 3, 2], [4, 1, 3, 2]], np.float32)
    found = {part.slice: (part, own) for part, own in missing.by_content(d, scores, np.array([1]))}
    part, own = found["with content"]
    assert part.right.tolist() == [[True, False, False, False], [True, False, False, False]]
    assert own.tolist() == [[4, -np.inf, 3, 2], [4, 1, 3, 2]]
    part, own = found["without content"]
    assert part.right.tolist() == [[False, True, False, False], [False] * 4]
    assert own.tolist() == [[-np.inf, 1, 3, 2], [-np.inf, 1, 3, 2]]
    assert not [*missing.by_content(d, scores, np.array([7]))]


def test_captions_find_pictures_whose_files_are_gone(base: gr.Retriever) -> None:
    found = evaluate(base, Plan("connected", lang="en", missing=0.4))
    rows = {row["slice"]: row for row in found.rows if row["target"] == "image"}
    assert set(rows) == {"all", "with content", "without content"}
    apart = [rows[name] for name in ("with content", "without content")]
    assert sum(row["n_query"] for row in apart) == rows["all"]["n_query"]
    assert rows["without content"]["map"] > 4 * rows["without content"]["chance_map"]
    mean = sum(row["map"] * row["n_query"] for row in apart) / rows["all"]["n_query"]
    assert rows["all"]["map"] == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ({"missing": 1.0}, "no share of content"),
        ({"missing": -0.1}, "no share of content"),
        ({"protocol": "links", "missing": 0.3}, "choose from inductive, few-labels, connected"),
        (
            {"protocol": "links", "calibration": True},
            "choose from inductive, few-labels, connected",
        ),
    ],
)
def test_what_cannot_be_missing_is_refused(plan: dict[str, Any], why: str) -> None:
    with pytest.raises(QueryError, match=why):
        Plan(**plan)
