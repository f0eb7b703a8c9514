"""What a terminal shows: nothing in a title is markup or a command to the terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval import render
from graphretrieval.retriever.ingest import Report
from graphretrieval.types import Answer, Hit, Node, Path, Step

HOSTILE = "[bold red]a[/] [link=http://x]b[/link] \x1b[2J\x1b]0;owned\x07 \x9b31m\r\nc"


def answer(*nodes: Node, **more: Any) -> Answer:
    path = Path((nodes[0].id, "b"), (Step("DESCRIBES", "in"),), 0.5, "lexical", 0.25)
    hits = tuple(Hit(n, 1.0, {"content": 0.25, "path": 0.75}, path, 0.5) for n in nodes)
    return Answer({}, hits, "v1", 7, **more)


def test_hostile_titles_are_shown_as_they_are_and_command_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nodes = [
        Node("[red]id[/red]\x1b[2J", "image", title=HOSTILE),
        Node("t", "text", text=HOSTILE, lang="\x1b[1m", start=1, end=2, unit="\x1b[1m"),
    ]
    render.print_answer(answer(*nodes), explain=True)
    out = capsys.readouterr().out
    assert "[bold red]a[/]" in out
    assert "[red]id[/red]" in out
    assert not set(out) & set("\x1b\x07\x9b\r")


def test_hostile_names_of_refused_files_and_problems_command_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    render.print_report(Report(1, 2, 3, 4, 0, ((f"/x/{HOSTILE}", HOSTILE),), 5, 0.1))
    render.print_error(HOSTILE, HOSTILE)
    render.print_rows([{"a": HOSTILE}], ["a"])
    render.print_info(
        {
            "store": HOSTILE,
            "revision": 1,
            "nodes": {"image": 2},
            "edges": {},
            "learned": None,
        }
    )
    found = capsys.readouterr()
    assert "[bold red]a[/]" in found.out
    for out in (found.out, found.err):
        assert not set(out) & set("\x1b\x07\x9b\r")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=100))
def test_a_title_is_one_short_line_of_printable_characters(words: str) -> None:
    shown = render.title(Hit(Node("a", "text", text=words, lang="en"), 1.0, {}))
    assert len(shown) <= 75
    assert "\n" not in shown
    assert all(c.isprintable() or c in "\u200c\u200d" for c in shown)


def test_a_title_tells_language_and_place() -> None:
    node = Node("a", "text", text="x" * 100, lang="en", start=1.5, end=3, unit="seconds")
    shown = render.title(Hit(node, 1.0, {}))
    assert shown.endswith("… (seconds 1.5–3) [en]")


def test_a_way_reads_along_the_arrows() -> None:
    hit = answer(Node("a", "text")).hits[0]
    assert render.way(hit.path) == "query ≈(lexical 0.25) a ←DESCRIBES─ b"
    assert render.way(None) == "(no path: found by likeness alone)"


def test_parts_are_told_the_greatest_first_and_nothings_left_out() -> None:
    hit = Hit(Node("a", "text"), 1.0, {"content": 0.2, "graph": 0.0, "path": -0.7})
    assert render.parts(hit) == "path -0.700 + content 0.200"


def test_an_unsure_answer_says_so_and_an_empty_one_too(capsys: pytest.CaptureFixture[str]) -> None:
    render.print_answer(answer(Node("a", "text", text="lion"), no_match=True))
    assert "no confident match" in capsys.readouterr().out
    render.print_answer(Answer({}, (), "v1", 7, no_match=True))
    assert capsys.readouterr().out == "nothing found\n"


def test_an_empty_answer_names_the_filters_that_were_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = {"lang": "zh", "collection": "stamps"}
    render.print_answer(Answer({"where": where}, (), "v1", 7, no_match=True))
    said = capsys.readouterr().out
    assert said == "nothing found; no item passes the filters (--lang zh --collection stamps)\n"


def test_ids_in_a_pipe_are_neither_cut_nor_broken(capsys: pytest.CaptureFixture[str]) -> None:
    long = "a/" * 200 + "b.png"
    render.print_rows([{"src": long, "dst": long}], ["src", "dst"])
    assert f"{long}  {long}" in capsys.readouterr().out


def test_bars_of_stages_that_are_over_are_full(capsys: pytest.CaptureFixture[str]) -> None:
    with render.bars() as progress:
        progress(0, 3, "refining")
    assert "3/3" in capsys.readouterr().err


def test_what_is_proposed_is_told_apart_from_the_edges(capsys: pytest.CaptureFixture[str]) -> None:
    about = {"store": "a.db", "revision": 1, "nodes": {"image": 2}, "learned": None}
    render.print_info({**about, "edges": {"R": 1}, "proposed": {"R": 3}})
    assert "edges: 1 R\nproposed: 3 R\n" in capsys.readouterr().out
    render.print_info({**about, "edges": {}, "proposed": {}})
    assert "proposed" not in capsys.readouterr().out


def test_json_keeps_chinese_and_every_character(capsys: pytest.CaptureFixture[str]) -> None:
    render.print_json({"狮子": HOSTILE})
    out = capsys.readouterr().out
    assert "狮子" in out
    assert "\x1b" not in out
    assert json.loads(out) == {"狮子": HOSTILE}
