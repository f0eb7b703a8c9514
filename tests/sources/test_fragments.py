"""Long texts are cut where a reader would pause, recordings into even parts; nothing is lost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.sources.files import text_nodes
from graphretrieval.sources.fragments import cut_audio, cut_text


def pieces(text: str, longest: int) -> list[str]:
    return [text[a:b] for a, b in cut_text(text, longest)]


@settings(max_examples=300, deadline=None)
@given(st.text(" \n.a。，👍🏽\u200d\u0301狮é", max_size=120), st.integers(2, 60))
def test_all_that_is_not_blank_lies_in_exactly_one_piece(text: str, longest: int) -> None:
    places = cut_text(text, longest)
    covered = [i for a, b in places for i in range(a, b)]
    assert covered == sorted(set(covered))
    assert set(covered) >= {i for i, c in enumerate(text) if not c.isspace()}
    for piece in (text[a:b] for a, b in places):
        assert 1 <= len(piece) <= longest
        assert piece == piece.strip()


def test_an_english_text_is_cut_at_sentence_ends() -> None:
    text = "The lion sleeps tonight. It is 3.5 m long! Does it roar? Nobody knows, they say."
    assert pieces(text, 45) == [
        "The lion sleeps tonight. It is 3.5 m long!",
        "Does it roar? Nobody knows, they say.",
    ]


def test_a_chinese_text_is_cut_at_sentence_ends_without_spaces() -> None:
    text = "狮子今晚睡着了。它有三米长！“它会叫吗？”没有人知道，他们说。"
    assert pieces(text, 17) == ["狮子今晚睡着了。它有三米长！", "“它会叫吗？”没有人知道，他们说。"]


def test_a_closing_quote_stays_with_its_sentence() -> None:
    assert pieces('"Go home now." "Not today, thank you."', 22)[0] == '"Go home now."'
    assert pieces("他说：“快回家去吧。”我不回家去。", 12)[0] == "他说：“快回家去吧。”"


def test_a_paragraph_end_goes_before_a_sentence_end() -> None:
    text = "One sentence here.\n\nAnother one. And more words that follow after it."
    assert pieces(text, 34)[0] == "One sentence here."


@pytest.mark.parametrize(
    ("text", "longest", "first"),
    [
        ("without any end, but with a clause in it", 24, "without any end,"),
        ("没有句号，但是有逗号的一个长句子", 8, "没有句号，"),
        ("only words and nothing else to hold on", 20, "only words and"),
        ("x" * 30, 10, "x" * 10),
    ],
)
def test_clauses_then_words_then_characters_are_parted(text: str, longest: int, first: str) -> None:
    assert pieces(text, longest)[0] == first


def test_a_letter_keeps_its_marks_and_an_emoji_its_parts() -> None:
    accented = "e\u0301" * 20
    assert all(not p.startswith("\u0301") for p in pieces(accented, 7))
    family = "👩\u200d👧" * 10
    assert all(p.startswith("👩") for p in pieces(family, 8))
    assert all(not p.startswith("🏽") for p in pieces("👍🏽" * 9, 5))


def test_a_long_run_of_marks_is_cut_all_the_same() -> None:
    assert max(map(len, pieces("a" + "\u0301" * 500, 50))) <= 50


@settings(max_examples=100, deadline=None)
@given(st.floats(0.01, 40_000), st.floats(1, 600))
def test_a_recording_is_cut_into_even_parts_that_meet(duration: float, longest: float) -> None:
    parts = cut_audio(duration, longest)
    assert parts[0][0] == 0
    assert parts[-1][1] == duration
    assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
    lengths = [b - a for a, b in parts]
    assert max(lengths) <= longest + 1e-3  # places are in milliseconds
    assert max(lengths) - min(lengths) <= 2e-3


def test_a_recording_of_just_the_longest_length_stays_whole() -> None:
    assert cut_audio(30.0, 30.0) == [(0, 30.0)]
    assert len(cut_audio(30.001, 30.0)) == 2


def test_fragments_know_their_source_their_place_and_what_follows() -> None:
    text = "狮子睡着了。老虎醒着。\n" * 12
    nodes, edges = text_nodes(text, id="a.txt", longest=50, lang="zh", title="a")
    source, *parts = nodes
    assert (source.id, source.modality) == ("a.txt", "source")
    assert len(parts) >= 3
    for part in parts:
        assert part.unit == "characters"
        assert part.text == text[int(part.start or 0) : int(part.end or 0)]
        assert part.lang == "zh"
        assert part.id == f"a.txt#{part.start:g}-{part.end:g}"
    links = {(e.src, e.type, e.dst) for e in edges}
    ids = [part.id for part in parts]
    assert links == {(i, "PART_OF", "a.txt") for i in ids} | {
        (a, "NEXT", b) for a, b in itertools.pairwise(ids)
    }


def test_a_short_text_is_one_node_whatever_blank_lines_are_around_it() -> None:
    nodes, edges = text_nodes("\n  A lion. \n" + "\n" * 100, id="t", longest=50)
    assert [(n.id, n.text, n.start) for n in nodes] == [("t", "A lion.", None)]
    assert edges == []
