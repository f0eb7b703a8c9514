"""Texts are compared without width, case or traditional forms; words are found in any script."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.folding import STOP_WORDS, fold, is_han, telling, tokens, words


@pytest.mark.parametrize(
    ("given", "folded"),
    [
        ("Ｆｕｌｌ　Ｗｉｄｔｈ", "full width"),
        ("ﬁsh", "fish"),
        ("STRASSE straße", "strasse strasse"),
        ("  many \t spaces\n", "many spaces"),
        ("藍色的圓", "蓝色的圆"),
        ("獅子與老虎", "狮子与老虎"),
        ("国", "国"),
        ("薴苧", "苎苎"),
        ("cafe\u0301", "café"),
        ("", ""),
    ],
)
def test_folding(given: str, folded: str) -> None:
    assert fold(given) == folded


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A red fire-truck!", ["a", "red", "fire", "truck"]),
        ("一只老虎在跑。", ["一只老虎在跑"]),
        ("iPhone手机2台", ["iphone", "手机", "2", "台"]),
        ("snake_case and CamelCase", ["snake", "case", "and", "camelcase"]),
        ("Тигр и лев", ["тигр", "и", "лев"]),
        ("हिन्दी में बाघ", ["हिन्दी", "में", "बाघ"]),  # vowels are marks on letters
        ("เสือที่นี่", ["เสือที่นี่"]),
        ("二〇二四年，人々", ["二〇二四年", "人々"]),
        ("𠮷野家", ["𠮷野家"]),
        ("…!?", []),
    ],
)
def test_words_and_han_runs_are_found_in_order(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_each_token_comes_once_in_order() -> None:
    assert tokens("the cat and the Cat and 猫 猫") == ["the", "cat", "and", "猫"]


@pytest.mark.parametrize(
    ("run", "parts"),
    [
        ("一只黑色的猫", ["黑色", "猫"]),
        ("老虎", ["老虎"]),
        ("一辆红色的消防车", ["红色", "消防车"]),
        ("一只", ["一只"]),  # nothing else is said
        ("的", ["的"]),
    ],
)
def test_a_chinese_phrase_gives_what_it_tells(run: str, parts: list[str]) -> None:
    assert telling(run) == parts


def test_han_is_told_from_other_scripts() -> None:
    assert is_han("虎")
    assert not any(map(is_han, ("tiger", "とら", "호랑이", "9", "")))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_folding_twice_is_folding_once_and_words_need_no_more(text: str) -> None:
    once = fold(text)
    assert fold(once) == once
    assert words(once) == words(text)


def test_stop_words_are_written_as_folded() -> None:
    assert {fold(word) for word in STOP_WORDS} == STOP_WORDS


def test_every_character_folds_to_what_stays_as_it_is() -> None:
    every = (chr(c) for c in range(0x30000) if not 0xD800 <= c < 0xE000)
    assert [c for c in every if fold(fold(c)) != fold(c)] == []
