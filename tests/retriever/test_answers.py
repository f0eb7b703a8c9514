"""What an answer of several terms, modalities and look-alikes is made of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval.retriever.likeness import joined
from graphretrieval.retriever.query import Searcher
from graphretrieval.types import Node

CIRCLE = "toy/shapes/circle/red_circle"


def test_the_same_words_twice_are_the_same_words(kb: gr.Retriever) -> None:
    once = kb.search("a red circle", k=10).hits
    twice = kb.search(["a red circle", "a red circle"], k=10).hits
    assert [h.id for h in twice] == [h.id for h in once]
    assert [h.score for h in twice] == pytest.approx([h.score for h in once], rel=1e-4)
    assert [h.confidence for h in twice] == pytest.approx([h.confidence for h in once], rel=1e-4)


def test_modalities_compete_by_how_sure_their_hits_are(kb: gr.Retriever) -> None:
    hits = kb.search("a red circle", k=30).hits
    assert len({h.node.modality for h in hits}) > 1
    sure = [h.confidence for h in hits]
    assert sure == sorted(sure, reverse=True)
    score = [h.score for h in hits]
    assert score != sorted(score, reverse=True)


def test_of_texts_that_say_the_same_an_answer_holds_one(kb: gr.Retriever) -> None:
    words = "A narwhal and a lighthouse."
    kb.store.upsert([Node(f"copy{i}", "text", text=words, lang="en") for i in range(3)])
    hits = kb.search(words, target="text", k=10).hits
    assert len(hits) == 10
    assert sum(h.node.text == words for h in hits) == 1


def test_no_path_begins_at_what_is_pushed_away(kb: gr.Retriever) -> None:
    hits = kb.search("a blue moon", exclude=f"{CIRCLE}.png", target="text", k=100).hits
    paths = [h.path for h in hits if h.path is not None]
    assert paths
    assert all(p.anchor is not None for p in paths)  # none is the excluded node itself


def test_a_diverse_hit_is_unlike_all_before_it_and_not_the_last_alone() -> None:
    angle = np.radians([0, 180, 5, 90])
    x = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    searcher: Any = SimpleNamespace(
        scorer=SimpleNamespace(likeness_of=joined), vectors=SimpleNamespace(refined={"pivot": x})
    )
    found: Any = {"image": SimpleNamespace(rows=np.arange(4))}
    order = Searcher._diverse(searcher, found, [("image", i) for i in range(4)], 4, 1.0)
    assert [i for _, i in order] == [0, 1, 3, 2]
