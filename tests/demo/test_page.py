"""Whatever a title, a text, an id or a file's type holds, the page shows it and runs none of it."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from graphretrieval.demo.page import Shown, write_page
from graphretrieval.sources.media import Limits, MediaReader
from graphretrieval.types import Answer, Hit, Node
from graphretrieval.types import Path as Way

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;"


@pytest.fixture(scope="module")
def reader() -> Iterator[MediaReader]:
    with MediaReader(Limits(), workers=1) as r:
        yield r


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def page_of(folder: Path, reader: MediaReader, nodes: list[Node], words: str) -> Elements:
    hits = tuple(
        Hit(n, 0.5, {"content": 0.75, "graph": -0.25}, Way((n.id, n.id), ()), 0.5) for n in nodes
    )
    answer = Answer({}, hits, "v1", 1, no_match=True)
    file = folder / "page.html"
    write_page(file, words, words, [Shown(words, answer, frozenset({nodes[0].id}))], reader)
    out = Elements()
    out.feed(file.read_text("utf-8"))
    return out


def assert_harmless(page: Elements) -> None:
    for tag, attributes in page.found:
        assert tag in (
            *("html", "meta", "title", "style", "h1", "h2", "p", "span", "section", "ul", "li"),
            *("img", "audio", "strong", "div", "i"),
        )
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("src") or "data:").startswith("data:")


def test_hostile_words_are_shown_and_not_run(tmp_path: Path, reader: MediaReader) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a.png")
    (tmp_path / "a.ogg").write_bytes(b"OggS")
    nodes = [
        Node(HOSTILE, "image", uri=str(tmp_path / "a.png"), title=HOSTILE, lang=HOSTILE),
        Node("s", "audio", uri=str(tmp_path / "a.ogg"), title="s", media_type=HOSTILE),
        Node("t", "text", text=HOSTILE, start=1.0, end=2.0, unit=HOSTILE),
    ]
    page = page_of(tmp_path, reader, nodes, HOSTILE)
    assert_harmless(page)
    assert page.words.count("<script>alert(1)</script>") >= 6
    pictures = [a for tag, a in page.found if tag == "img"]
    assert [p["alt"] for p in pictures] == [HOSTILE]
    assert "no confident match" in page.words


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(st.sampled_from("<>\"'&/=;scriptonlad \n\0\u2028狮"), max_size=40).filter(str.strip))
def test_no_text_becomes_an_element(tmp_path: Path, reader: MediaReader, words: str) -> None:
    page = page_of(tmp_path, reader, [Node("t", "text", text=words, title=words)], words)
    assert_harmless(page)


def test_a_picture_or_sound_that_is_gone_leaves_its_words(
    tmp_path: Path, reader: MediaReader
) -> None:
    nodes = [
        Node("i", "image", uri=str(tmp_path / "gone.png"), title="a lion"),
        Node("a", "audio", uri=str(tmp_path / "gone.ogg"), title="a roar"),
    ]
    page = page_of(tmp_path, reader, nodes, "gone")
    assert not [tag for tag, _ in page.found if tag in ("img", "audio")]
    assert "a lion" in page.words
    assert "a roar" in page.words
