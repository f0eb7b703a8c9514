"""Texts in two languages meet where they mean the same, with and without a sentence model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest

from graphretrieval.arrays import normalise
from graphretrieval.encoders.minilm import PACKAGE
from graphretrieval.encoders.text import TextEncoder, speaks
from graphretrieval.types import State, TextContent

COLOURS = {
    "red": "红色",
    "green": "绿色",
    "blue": "蓝色",
    "yellow": "黄色",
    "black": "黑色",
    "white": "白色",
    "purple": "紫色",
    "brown": "棕色",
}
THINGS = {
    "lion": "狮子",
    "house": "房子",
    "violin": "小提琴",
    "ship": "轮船",
    "apple": "苹果",
    "bicycle": "自行车",
    "owl": "猫头鹰",
    "umbrella": "雨伞",
    "horse": "骏马",
    "train": "火车",
}
ALL = [(c, t) for c in COLOURS for t in THINGS]
HELD = ALL[::7]
MODELS = [
    "none",
    pytest.param(
        "auto",
        marks=pytest.mark.skipif(find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed"),
    ),
]


def english(colour: str, thing: str) -> TextContent:
    return TextContent(f"A {colour} {thing}.", "en")


def chinese(colour: str, thing: str) -> TextContent:
    return TextContent(f"一个{COLOURS[colour]}的{THINGS[thing]}。", "zh_CN")


@pytest.fixture(scope="module", params=MODELS)
def encoder(request: pytest.FixtureRequest) -> Iterator[TextEncoder]:
    shown = [x for x in ALL if x not in HELD]
    texts = [make(*x) for x in shown for make in (english, chinese)]
    groups = np.repeat(np.arange(len(shown)), 2)
    return TextEncoder(model=request.param, components=32).fit(texts, groups=groups, seed=0)


def meaning(encoder: TextEncoder, texts: list[TextContent]) -> np.ndarray:
    start, end = encoder.parts["meaning"]
    return normalise(encoder.encode(texts)[:, start:end])


def test_an_unseen_chinese_text_lies_nearest_its_english_twin(encoder: TextEncoder) -> None:
    zh = meaning(encoder, [chinese(*x) for x in HELD])
    en = meaning(encoder, [english(*x) for x in HELD])
    nearest = np.argmax(zh @ en.T, axis=1)
    assert (nearest == np.arange(len(HELD))).mean() >= 0.9
    both = (zh * en).sum(axis=1)
    assert both.mean() > np.mean(zh @ en.T) + 0.3


def test_traditional_characters_mean_the_same(encoder: TextEncoder) -> None:
    a, b = meaning(
        encoder, [TextContent("一隻綠色的獅子", "zh_TW"), TextContent("一只绿色的狮子", "zh_CN")]
    )
    assert a @ b == pytest.approx(1, abs=1e-4)


def test_rows_do_not_depend_on_their_neighbours(encoder: TextEncoder) -> None:
    texts = [english("red", "lion"), chinese("red", "lion"), TextContent("", None)]
    together = encoder.encode(texts)
    for i, text in enumerate(texts):
        np.testing.assert_allclose(encoder.encode([text])[0], together[i], atol=1e-5)


@pytest.mark.parametrize("text", ["", " ", "…", "zzzz qqqq", "\0", "🦁", "व्याघ्र", "x" * 100_000])
def test_any_text_gives_finite_numbers(encoder: TextEncoder, text: str) -> None:
    row = encoder.encode([TextContent(text)])
    assert row.shape == (1, encoder.dim)
    assert row.dtype == np.float32
    assert np.isfinite(row).all()


def test_nothing_in_nothing_out(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_comes_back_exactly_from_its_state(encoder: TextEncoder) -> None:
    state = encoder.state()
    kept = State(dict(state.arrays), json.loads(json.dumps(state.settings)))
    again = TextEncoder.from_state(kept)
    texts = [english("blue", "owl"), chinese("blue", "owl")]
    np.testing.assert_array_equal(again.encode(texts), encoder.encode(texts))
    assert again.version == encoder.version
    assert again.parts == encoder.parts


def test_the_same_seed_learns_the_same_and_the_version_follows_what_was_learned() -> None:
    texts = [english(*x) for x in ALL[:30]]
    a, b = (TextEncoder(model="none", components=8).fit(texts, seed=3) for _ in range(2))
    np.testing.assert_array_equal(a.encode(texts), b.encode(texts))
    assert a.version == b.version
    assert TextEncoder(model="none", components=8).fit(texts[1:]).version != a.version


@pytest.mark.parametrize("words", ["", "the", "🦁"])
def test_texts_without_a_telling_word_can_be_learned_from(words: str) -> None:
    encoder = TextEncoder(model="none").fit([TextContent(words)] * 3)
    assert np.isfinite(encoder.encode([TextContent(words), TextContent("lion")])).all()


def test_one_single_text_is_enough_to_learn_from() -> None:
    row = TextEncoder(model="none").fit([TextContent("A lion.")]).encode([TextContent("lion")])
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "lang", "known"),
    [
        ("A lion.", "en", True),
        ("A lion.", "en_GB", True),
        ("A lion.", None, True),
        ("Un león.", "es", False),
        ("Un lion.", None, True),
        ("一只狮子", None, False),
        ("лев", None, False),
        ("1234", None, True),
    ],
)
def test_the_sentence_model_is_asked_for_english_only(
    text: str, lang: str | None, known: bool
) -> None:
    assert speaks(TextContent(text, lang)) is known
