"""The command ``explain`` as scripts and people see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graphretrieval.cli import app
from graphretrieval.errors import QueryError

CIRCLE = "toy/shapes/circle/red_circle"


def run(museum: Path, *arguments: str) -> str:
    done = CliRunner().invoke(
        app, ["--store", str(museum), "explain", *arguments], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_json_names_the_hit_its_parts_and_what_deletions_change(museum: Path) -> None:
    query = ("a red circle", "--target", "image", "--hit", f"{CIRCLE}.png")
    edge = f"{CIRCLE}.txt#en DESCRIBES {CIRCLE}.png"
    told = json.loads(run(museum, *query, "--json", "--no-content", "--without", edge))
    assert told["hit"]["id"] == f"{CIRCLE}.png"
    assert sum(p["value"] for p in told["parts"]) == pytest.approx(told["hit"]["score"], abs=1e-6)
    assert edge.split() in [d["edge"] for d in told["deletions"]]


def test_people_read_sentences_in_their_language(museum: Path) -> None:
    query = ("红色的圆", "--target", "audio", "--no-content")
    assert "位列第1" in run(museum, *query, "--lang", "zh")
    assert "is number 1" in run(museum, *query)


def test_a_page_is_written(museum: Path, tmp_path: Path) -> None:
    run(museum, "a red circle", "--target", "image", "--html", str(tmp_path / "why.html"))
    assert "<svg" in (tmp_path / "why.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a red circle", "--lang", "fr"), "'fr'"),
        (("a red circle", "--without", "a b"), "SRC TYPE DST"),
        ((), "empty"),
    ],
)
def test_wrong_usage_says_what_was_given(
    museum: Path, arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(QueryError, match=said):
        run(museum, *arguments)
