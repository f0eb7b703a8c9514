"""The command line as scripts see it: output, exit codes, and errors that help."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graphretrieval.sources.toy import write_toy
from graphretrieval.stores.sqlite import SqliteStore


def run(*arguments: str | Path, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "graphretrieval", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "160"},
        **more,
    )
    assert done.returncode == code, done.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write_toy(folder / "toy")
    os.environ["GRAPHRETRIEVAL_CACHE_DIR"] = str(folder / "cache")
    report = json.loads(run("--store", folder / "toy.db", "add", folder / "toy", "--json").stdout)
    assert report[0]["refused"] == []
    learned = json.loads(run("--store", folder / "toy.db", "fit", "--json").stdout)
    assert learned["model"] == "v1"
    return folder / "toy.db"


def test_search_prints_json_with_parts_that_add_up(store: Path) -> None:
    found = run("--store", store, "search", "红色的圆", "--target", "image", "-k", "3", "--json")
    answer = json.loads(found.stdout)
    assert answer["hits"][0]["title"] == "red circle"
    for hit in answer["hits"]:
        assert sum(hit["parts"].values()) == pytest.approx(hit["score"], abs=1e-3)


def test_search_shows_a_table_with_paths_to_people(store: Path) -> None:
    shown = run("--store", store, "search", "a red circle", "--target", "image", "--explain").stdout
    assert "red circle" in shown
    assert "DESCRIBES" in shown


def test_a_file_that_is_not_there_is_named(store: Path) -> None:
    said = run("--store", store, "search", "--image", "nope.png", code=2).stderr
    assert "there is no file nope.png" in said
    assert "give the path of a file to ask by image" in said


def test_a_second_add_reads_nothing(store: Path) -> None:
    again = run("--store", store, "add", store.parent / "toy", "--json").stdout
    report = json.loads(again)[0]
    assert report["nodes"] == report["files"] == 0
    assert report["unchanged"] > 100


def test_a_refused_file_gives_exit_code_3_and_its_reason(store: Path, tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    (tmp_path / "box" / "good.txt").write_text("A good text.", "utf-8")
    done = run("--store", tmp_path / "new.db", "add", tmp_path / "box", "--json", code=3)
    report = json.loads(done.stdout)[0]
    assert report["files"] == 1
    assert report["refused"][0]["uri"].endswith("broken.png")
    assert "no picture" in report["refused"][0]["reason"]


def test_link_and_unlink_tell_the_new_revision(store: Path) -> None:
    ends = ("toy/nature/sun/red_sun.png", "RELATED_TO", "toy/nature/moon/red_moon.png")
    first = json.loads(run("--store", store, "link", *ends, "--json").stdout)["revision"]
    second = json.loads(run("--store", store, "unlink", *ends, "--json").stdout)["revision"]
    assert second == first + 1
    said = run("--store", store, "unlink", *ends, code=2).stderr
    assert f"there is no link {' '.join(ends)}" in said


def test_info_names_the_model_in_service(store: Path) -> None:
    about = json.loads(run("--store", store, "info", "--json").stdout)
    assert about["model"] == "v1"
    assert about["nodes"]["image"] == 48
    assert "48 image" in run("--store", store, "info").stdout


def test_a_graph_lives_by_command(store: Path, tmp_path: Path) -> None:
    for path in store.parent.glob("toy.db*"):
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        copy(path, tmp_path / path.name)

    def do(*arguments: str, code: int = 0) -> Any:
        done = run("--store", tmp_path / "toy.db", "--json", *arguments, code=code)
        return json.loads(done.stdout) if code == 0 else done.stderr

    circle = "toy/shapes/circle/red_circle"
    do("update", f"{circle}.txt#en", "--text", "A vermilion roundel.")
    do("link", "toy/nature/wave/red_wave.wav", "RELATED_TO", f"{circle}.png")
    report = do("refit")
    assert {"version", "promoted", "reason", "slices"} <= report.keys()
    proposed = do("propose", "--type", "in_category", "--limit", "3")
    assert len(proposed) == 3
    assert do("accept", proposed[0]["id"], "--by", "ada")["verdict"] == "accepted"
    assert do("undo", proposed[0]["id"], "--by", "ada")["undone_by"] == "ada"
    assert "nobody" in do("reject", proposed[0]["id"], "--by", " ", code=2)
    certificate = do("forget", f"{circle}.txt#en", "--by", "ada")
    assert certificate["removed"]["nodes"] == 1
    assert {m["version"] for m in do("models", "list")} >= {"v1", report["version"]}
    assert do("models", "promote", "v1") == {"in service": "v1"}
    assert do("models", "diff", "v1", report["version"])
    assert do("models", "prune", "--keep", "5") == {"removed": []}
    shown = run("--store", tmp_path / "toy.db", "models", "prune", "--keep", "5").stdout
    assert shown == "nothing to remove\n"
    assert do("refit", "--after-links", "100")["due"] is False
    waiting = run("--store", tmp_path / "toy.db", "refit", "--after-links", "100").stdout
    assert waiting.startswith("not due: ")


def test_models_are_listed_and_shown(store: Path) -> None:
    rows = json.loads(run("--store", store, "models", "list", "--json").stdout)
    assert [(r["version"], r["in_service"]) for r in rows] == [("v1", True)]
    shown = run("--store", store, "models", "show", "v1", "--json").stdout
    assert "validation" in json.loads(shown)
    assert "no model 'v9'" in run("--store", store, "models", "show", "v9", code=2).stderr


def test_evaluate_writes_rows_with_chance_and_counts(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    run(
        *("--store", store, "evaluate", "--protocol", "connected", "--lang", "en"),
        *("--parts", "--calibration", "--slices", "parallel,direct,alike", "--out", out),
    )
    result = json.loads(out.read_text("utf-8"))
    assert result["protocol"]["name"] == "connected"
    row = next(r for r in result["rows"] if r["method"] == "default")
    assert {"map", "recall@1", "ndcg@10", "mrr", "chance_map", "n_query", "n_gallery"} <= set(row)
    assert {r["method"] for r in result["rows"]} > {"default", "pivot+", "path", "lexical"}
    assert {row["top"] for row in result["calibration"]} == {1, 5}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search", "cat"), "run `graphretrieval add FOLDER` first"),
        (("--store", "my own.db", "info"), "run `graphretrieval --store 'my own.db' add FOLDER`"),
        (("--store", ".", "info"), ". is a folder, and a store is a file"),
        (("add", "/nowhere"), "nothing at /nowhere"),
        (("--store", "neo5j://h", "info"), "neo5j"),
        (("evaluate", "/tmp", "--protocol", "guess"), "guess"),
        (("evaluate", "/tmp", "--missing", "2"), "no share of content"),
        (("evaluate", "/tmp", "--refiner", "propogate"), "Did you mean 'propagate'?"),
        (("add", ".", "--map", "title"), "FIELD=COLUMN"),
        (("add", ".", "--format", "foldr"), "Did you mean 'folder'?"),
        (("fit", "--method", "pivots"), "Did you mean 'pivot'?"),
        (("fit", "--method", ","), "no aligner is named"),
        (
            ("keys", "list", "--store", "a.db"),
            "stands before the command: graphretrieval --store … keys list",
        ),
        (("search", "black", "cat"), 'several words into quotes: graphretrieval search "…"'),
    ],
)
def test_wrong_usage_says_what_was_given_and_exits_2(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run(*arguments, code=2, cwd=tmp_path)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.db"))  # no store is made for nothing


def test_fitting_an_empty_store_says_so_first(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "empty.db").close()
    said = run("--store", tmp_path / "empty.db", "fit", code=1).stderr
    assert "the store is empty" in said
    assert "add a folder first" in said


def test_files_that_nothing_reads_are_counted_by_ending(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    for name in ("a.txt", "b.DOCX", "c.docx", "d.xyz", "LICENSE"):
        (tmp_path / "box" / name).write_text("words", "utf-8")
    done = run("--store", tmp_path / "a.db", "add", tmp_path / "box")
    assert "4 files passed over: .docx 2, .xyz 1, license 1\n" in done.stdout
    again = json.loads(run("--store", tmp_path / "a.db", "add", tmp_path / "box", "--json").stdout)
    assert again[0]["ignored"] == {".docx": 2, ".xyz": 1, "license": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--store", "/dev/null/x.db", "add", "."), "/dev/null"),
        (("--store", "here.db", "export", "/dev/null/x"), "/dev/null/x"),
        (("--store", "here.db", "backup", "/nowhere/x"), "/nowhere"),
    ],
)
def test_a_place_that_cannot_be_written_is_named_with_a_remedy(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    SqliteStore(tmp_path / "here.db").close()
    done = run(*arguments, code=1, cwd=tmp_path)
    assert f"error: {said}" in done.stderr
    assert "→" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_error_is_shown_on_request(tmp_path: Path) -> None:
    done = run("-v", "--store", "/dev/null/x.db", "add", ".", code=1, cwd=tmp_path)
    assert "Traceback" in done.stderr


def test_a_mistyped_command_suggests_the_right_one(tmp_path: Path) -> None:
    assert "search" in run("serach", code=2, cwd=tmp_path).stderr


def test_help_describes_every_command() -> None:
    shown = run("--help").stdout
    for command in (
        *("add", "fit", "search", "evaluate", "link", "unlink", "info", "models", "demo"),
        *("refit", "update", "forget", "propose", "accept", "reject", "undo"),
        *("serve", "mcp", "keys"),
    ):
        assert command in shown


def test_export_backup_and_restore_from_the_shell(store: Path, tmp_path: Path) -> None:
    run("--store", store, "export", tmp_path / "out")
    assert (tmp_path / "out" / "nodes.jsonl").exists()
    safe = tmp_path / "safe"
    assert json.loads(run("--store", store, "backup", safe, "--json").stdout) == {
        "written": str(safe)
    }
    again = tmp_path / "again.db"
    assert f"restored as {again}" in run("--store", again, "restore", safe).stderr
    found = json.loads(
        run("--store", tmp_path / "again.db", "search", "moon", "--json", "-k", "1").stdout
    )
    assert found["hits"]
