"""Decoding processes: a hang, a crash or greed costs one file, and answers keep their order."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graphretrieval.errors import InputRefused, TooLarge, Undecodable
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import ImageContent, Node, TextContent

_MISBEHAVE = """
import os, signal, sys

def number(i, limits):
    return i

def hang(i, limits):
    while True:
        pass

def hang_deaf(i, limits):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang(i, limits)

def crash(i, limits):
    os.kill(os.getpid(), signal.SIGSEGV)

def leave(i, limits):
    os._exit(0)

def raise_odd(i, limits):
    raise ZeroDivisionError("a decoder's bug")

def want_memory(i, limits):
    return len(bytearray(i << 20))

def write(path, limits):
    with open(path, "w") as f:
        f.write("x")

def mixed(i, limits):
    return {7: crash, 11: raise_odd, 20: leave}.get(i, number)(i, limits)

def heavy(limits):
    return [m for m in ("torch", "sklearn", "graphretrieval.retriever") if m in sys.modules]
"""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MediaReader]:
    (tmp_path / "misbehave.py").write_text(_MISBEHAVE)
    monkeypatch.syspath_prepend(tmp_path)
    with MediaReader(Limits(memory_mb=128), workers=2) as r:
        yield r


def children() -> set[int]:
    tasks = Path("/proc/self/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


def test_answers_come_in_the_order_asked(reader: MediaReader) -> None:
    found = list(reader.run("misbehave:number", [(i,) for i in range(500)]))
    assert found == list(range(500))


def test_a_crash_a_bug_and_a_silent_end_cost_their_own_file_only(reader: MediaReader) -> None:
    found = list(reader.run("misbehave:mixed", [(i,) for i in range(60)]))
    good = [i for i in range(60) if i not in (7, 11, 20)]
    assert [found[i] for i in good] == good
    for i in (7, 20):
        assert isinstance(found[i], Undecodable)
        assert "the decoder crashed on it" in found[i].problem
    assert "a decoder's bug" in found[11].problem


@pytest.mark.parametrize("how", ["hang", "hang_deaf"])
def test_a_file_that_never_ends_is_given_up_at_the_deadline(reader: MediaReader, how: str) -> None:
    with MediaReader(Limits(seconds=0.3)) as impatient:
        found = next(impatient.run(f"misbehave:{how}", [(0,)]))
    assert isinstance(found, TooLarge)
    assert str(found) == "decoding it took longer than 0.3 s. raise decode_seconds"


def test_memory_beyond_the_limit_is_refused_and_below_it_given(reader: MediaReader) -> None:
    small, large = reader.run("misbehave:want_memory", [(10,), (2_000,)])
    assert small == 10 << 20
    assert isinstance(large, TooLarge)
    assert "more than 128 MB" in large.problem


def test_a_decoder_can_write_no_file(reader: MediaReader, tmp_path: Path) -> None:
    found = next(reader.run("misbehave:write", [(str(tmp_path / "out"),)]))
    assert isinstance(found, InputRefused)
    assert not (tmp_path / "out").exists() or not (tmp_path / "out").stat().st_size


def test_nothing_heavy_is_loaded_into_a_decoder(reader: MediaReader) -> None:
    assert list(reader.run("misbehave:heavy", [()])) == [[]]


def test_closing_leaves_no_process_behind(reader: MediaReader) -> None:
    before = children()
    with MediaReader(Limits(), workers=3) as other:
        list(other.run("misbehave:number", [(i,) for i in range(90)]))
        assert len(children() - before) == 3
    assert children() == before


def test_a_reader_that_stops_early_leaves_nothing_to_the_next(reader: MediaReader) -> None:
    answers = reader.run("misbehave:number", [(i,) for i in range(200)])
    assert next(answers) == 0
    answers.close()  # type: ignore[attr-defined]
    assert list(reader.run("misbehave:number", [(i,) for i in (-1, -2)])) == [-1, -2]


def test_a_child_killed_while_idle_costs_no_file(reader: MediaReader) -> None:
    before = children()
    assert list(reader.run("misbehave:number", [(1,)])) == [1]
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert list(reader.run("misbehave:number", [(i,) for i in range(40)])) == list(range(40))


def test_contents_follow_their_nodes_whatever_kind_they_are(
    reader: MediaReader, tmp_path: Path
) -> None:
    Image.new("RGB", (5, 4), "red").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    nodes = [
        Node("t", "text", text="words", lang="en"),
        Node("a", "image", uri=str(tmp_path / "a.png")),
        Node("b", "image", uri=str(tmp_path / "b.png")),
        Node("gone", "image", uri=str(tmp_path / "gone.png")),
        Node("u", "text", title="only a title"),
    ]
    t, a, b, gone, u = reader.load(nodes)
    assert t == TextContent("words", "en")
    assert isinstance(a, ImageContent)
    assert np.unique(a.pixels.reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]
    assert isinstance(b, Undecodable)
    assert str(gone) == "the file is gone"
    assert u == TextContent("only a title", None)


def test_a_file_that_may_not_be_read_is_refused(
    reader: MediaReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked.py").write_text("def f(limits):\n    raise PermissionError\n")
    found = next(reader.run("locked:f", [()]))
    assert str(found) == "the file may not be read. check its permissions"


def test_no_files_need_no_process() -> None:
    before = children()
    with MediaReader(Limits()) as reader:
        assert reader.inspect([]) == []
        assert children() == before
