"""The documents tell the truth: their Python runs, their commands and targets exist."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from graphretrieval import registry
from graphretrieval.cli import app
from graphretrieval.config import SETTINGS
from graphretrieval.sources.decode import SUFFIXES
from graphretrieval.sources.table import COLUMNS
from graphretrieval.sources.toy import write_toy

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text("utf-8")


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.S)


def commands() -> list[tuple[str, str]]:
    """(document, command line) of every `$ …` in a console block, continued lines joined."""
    found = []
    for path in DOCUMENTS:
        for block in blocks(path.read_text("utf-8"), "console"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("$ "):
                    found.append((path.name, line[2:]))
    return found


OURS = [
    (name, line.removeprefix(".venv/bin/"))
    for name, line in commands()
    if line.removeprefix(".venv/bin/").startswith("graphretrieval ")
]


@pytest.mark.parametrize(("document", "line"), OURS)
def test_every_command_shown_exists_with_its_options(document: str, line: str) -> None:
    given = shlex.split(line, comments=True)[1:]
    # options are read before help is shown: an unknown one is an error
    done = CliRunner().invoke(app, [*given, "--help"])
    assert done.exit_code == 0, f"{document}: {line}\n{done.output}"
    assert not done.output.startswith("Usage: graphretrieval [OPTIONS] COMMAND"), line


def test_an_option_that_is_not_there_would_be_noticed() -> None:
    done = CliRunner().invoke(app, ["search", "cat", "--colour", "red", "--help"])
    assert done.exit_code == 2


@pytest.mark.parametrize(
    ("document", "line"), [(d, c) for d, c in commands() if c.startswith("make ")]
)
def test_every_target_shown_is_in_the_makefile(document: str, line: str) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
    words = shlex.split(line, comments=True)[1:]
    asked = [w for w in words if "=" not in w]
    assert asked
    assert set(asked) <= targets, f"{document}: {line}"


def test_every_file_linked_to_is_there() -> None:
    missing = [
        f"{path.name}: {target}"
        for path in DOCUMENTS
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text("utf-8"))
        if not (path.parent / target).exists()
    ]
    assert missing == []


def test_every_extra_named_can_be_installed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    for path in DOCUMENTS:
        for named in re.findall(r"graphretrieval\[([\w,]+)\]", path.read_text("utf-8")):
            assert set(named.split(",")) <= set(extras), path.name


def test_every_setting_says_what_it_is() -> None:
    assert all(len(row.about) > 10 for row in SETTINGS)
    assert len({row.name for row in SETTINGS}) == len(SETTINGS)


def test_the_table_of_settings_has_each_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    for row in SETTINGS:
        default = str(row.default).lower() if isinstance(row.default, bool) else str(row.default)
        shown = f"`{default}`" if default else ""
        assert f"| `{row.name}` | {shown} | {row.about} |" in text
    assert text.count("\n| `") == len(SETTINGS)


def test_what_can_be_added_is_told_with_all_formats_endings_and_columns() -> None:
    text = (ROOT / "docs" / "inputs.md").read_text("utf-8")
    for name in registry.names("source"):
        assert f"| `{name}` |" in text
    for suffix in (s for kind in SUFFIXES.values() for s in kind):
        assert suffix in text
    for field, columns in COLUMNS.items():
        assert f"| `{field}` | {', '.join(f'`{c}`' for c in columns)}" in text


def test_the_python_shown_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_toy(tmp_path / "toy")
    photos = tmp_path / "photos"
    photos.mkdir()
    # two subjects are enough to learn from
    for subject in ("shapes/circle", "nature/moon"):
        shutil.copytree(tmp_path / "toy" / subject, photos / subject)
    Image.new("RGB", (32, 32), "black").save(photos / "b.png")
    Image.new("RGB", (32, 32), "white").save(tmp_path / "cat.jpg")
    (photos / "a.txt").write_text("A tiger at night.", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHRETRIEVAL_TEXT_MODEL", "none")
    shown = blocks(README, "python")
    assert shown
    for block in shown:
        exec(compile(block, "README.md", "exec"), {"__name__": "shown"})
    out = capsys.readouterr().out
    assert "photos/" in out
    assert (tmp_path / "museum.db").exists()
