"""The demo from end to end, as a stranger runs it: one command, answers, and a page of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from graphretrieval.demo.collections import obtain
from graphretrieval.demo.run import written_down
from graphretrieval.errors import QueryError

# what is made once for all tests here is made in one process
pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the demo wrote, and what it said."""
    folder = tmp_path_factory.mktemp("demo")
    settings = {
        "GRAPHRETRIEVAL_CACHE_DIR": str(folder / "cache"),
        "GRAPHRETRIEVAL_THREADS": "1",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [sys.executable, "-m", "graphretrieval", "demo", "--collection", "toy", "--out", "out"],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    return folder / "out", done.stdout


@pytest.mark.parametrize("query", [q["text"] for q in written_down("toy")])
def test_every_query_is_answered_right_at_the_first_place(
    ran: tuple[Path, str], query: str
) -> None:
    assert f"✓ {query} → " in ran[1]


def test_it_says_what_came_in_what_was_measured_and_what_to_try(ran: tuple[Path, str]) -> None:
    said = ran[1]
    assert "from 120 new or changed files" in said
    assert "0 refused" not in said
    assert "5 of 5 right at the first place" in said
    assert re.search(r"es +default +[01]\.\d{3}", said)
    assert "─RELATED_TO" in said
    assert "toy.db info" in said


def test_the_page_holds_its_answers_and_needs_nothing_else(ran: tuple[Path, str]) -> None:
    page = (ran[0] / "answers.html").read_text("utf-8")
    seen = _Page()
    seen.feed(page)
    for query in written_down("toy"):
        assert f"{query['text']} → {query['target']}" in seen.words
    assert len(seen.pictures) >= 15
    assert seen.sounds
    assert all(x.startswith("data:image/jpeg;base64,") for x in seen.pictures)
    assert all(x.startswith("data:audio/") for x in seen.sounds)
    assert page.count('class="hit right"') >= 5
    assert "http" not in page


def test_the_checks_are_written_down_with_chance_beside_them(ran: tuple[Path, str]) -> None:
    checks = json.loads((ran[0] / "checks.json").read_text("utf-8"))
    rows = [r for r in checks["rows"] if r["target"] == "image" and r["method"] == "default"]
    assert {r["slice"] for r in rows} == {"es", "zh"}
    assert all(r["map"] > 3 * r["chance_map"] for r in rows)


def test_an_unknown_collection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="choose stamps or toy"):
        obtain("louvre", tmp_path)


def test_where_nothing_can_be_fetched_a_museum_is_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphretrieval.demo.collections.shutil.which", lambda name: None)
    found = obtain("stamps", tmp_path)
    assert found.name == "toy"
    assert "apt-get and dpkg are not here" in found.about
    assert len(list(found.folder.rglob("*.png"))) == 48
    assert obtain("toy", tmp_path).folder == found.folder


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words = ""
        self.pictures: list[str] = []
        self.sounds: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img":
            self.pictures.append(given["src"] or "")
        if tag == "audio":
            self.sounds.append(given["src"] or "")

    def handle_data(self, data: str) -> None:
        self.words += data
