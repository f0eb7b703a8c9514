"""Explanations of several terms, and where a patch lies."""

from __future__ import annotations

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval.explain import explain
from graphretrieval.explain.saliency import patches
from graphretrieval.types import ImageContent


def test_of_several_terms_the_similarity_watched_is_the_content_of_the_score(
    kb: gr.Retriever,
) -> None:
    told = explain(kb, {"text": ["a red circle", "a yellow sun"], "target": "image"})
    content = next(p.value for p in told.parts if p.name == "content")
    assert {s.measure for s in told.saliency} == {"content"}
    (hit,) = [s for s in told.saliency if s.side == "hit"]
    asked = [s for s in told.saliency if s.side == "query"]
    assert hit.base == pytest.approx(content, abs=1e-3)
    assert len(asked) == 2
    assert sum(s.base for s in asked) == pytest.approx(content, abs=1e-3)


def test_a_patch_is_painted_over_where_its_place_says() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 42, 3)).astype(np.uint8)
    for (left, top, right, bottom), variant in zip(*patches(ImageContent(pixels), 3), strict=True):
        changed = (variant.pixels != pixels).any(axis=2)
        inside = np.zeros_like(changed)
        inside[round(top * 30) : round(bottom * 30), round(left * 42) : round(right * 42)] = True
        assert not (changed & ~inside).any()
        assert changed[inside].mean() > 0.9
