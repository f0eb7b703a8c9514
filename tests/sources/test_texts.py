"""Bytes in common encodings come out as the same text; what is no text is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.errors import TooLarge, Undecodable
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.texts import read_text, text_of

CHINESE = "一只老虎在草地上奔跑，后面跟着两只小狮子。"


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "gb2312"])
def test_chinese_is_read_in_every_encoding_it_is_kept_in(codec: str) -> None:
    assert text_of(CHINESE.encode(codec)) == CHINESE


def test_line_ends_of_all_systems_are_one_kind() -> None:
    assert text_of(b"a\r\nb\rc\nd") == "a\nb\nc\nd"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\xfe\x00", "no text"),
        ("Größe der Straßenbahn".encode("latin-1"), "no text"),
        (("plain words " * 5_000 + "Mädchen").encode("latin-1"), "no text"),
        (bytes(range(256)) * 20, "no text"),
        (b"words\x00\x01\x02\x03\x04", "no text"),
        (b" \n\t ", "blank"),
        ("\ufeff".encode(), "blank"),
    ],
)
def test_what_is_no_text_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        text_of(data)


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=("C",)), min_size=1).filter(lambda t: t.strip()))
def test_any_printable_text_in_utf_8_is_read_as_written(text: str) -> None:
    read = text_of(text.encode())
    assert read == text.removeprefix("\ufeff")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_text_or_a_refusal(data: bytes) -> None:
    with contextlib.suppress(Undecodable):
        assert text_of(data).strip()


def test_a_text_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a" * 101)
    with pytest.raises(TooLarge, match="101 bytes, the limit is 100"):
        read_text(tmp_path / "a.txt", Limits(max_text_bytes=100))
