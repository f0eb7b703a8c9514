"""The Dockerfile, compose.yaml and systemd unit name what is there, and their command serves."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from api.test_process import free_port
from typer.testing import CliRunner

from graphretrieval import cli, config
from graphretrieval.stores import server

ROOT = Path(__file__).resolve().parent.parent
QUERY = ROOT / "services" / "query"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "services" / "compose.yaml").read_text("utf-8"))
UNIT = (QUERY / "graphretrieval-query.service").read_text("utf-8")
PREFIX = "GRAPHRETRIEVAL_"


def steps() -> Iterator[tuple[str, str]]:
    """The Dockerfile's instructions and what follows each."""
    text = re.sub(r"^#.*\n", "", (QUERY / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, rest.strip()


def step(name: str) -> str:
    """What follows the only instruction of a name."""
    (found,) = [rest for n, rest in steps() if n == name]
    return found


def copied() -> list[str]:
    """All paths of this folder that go into the image."""
    return [path for name, rest in steps() if name == "COPY" for path in rest.split()[:-1]]


def environment() -> dict[str, str]:
    """What the Dockerfile sets."""
    return dict(pair.split("=", 1) for pair in shlex.split(step("ENV")))


def installed_extras() -> set[str]:
    (found,) = [re.search(r"'\.\[(.+)\]'", rest) for n, rest in steps() if "pip install" in rest]
    assert found is not None
    return set(found[1].split(","))


def test_all_that_is_copied_is_there_and_is_sent_to_be_built() -> None:
    sent = (ROOT / ".dockerignore").read_text("utf-8").split()
    for path in copied():
        assert (ROOT / path).exists(), path
        assert f"!{PurePosixPath(path).parts[0]}" in sent


def test_all_that_a_wheel_is_made_of_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [
        *("pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]),
        *(*wheel["packages"], *wheel["force-include"]),
    ]
    assert set(needed) <= set(copied())
    assert installed_extras() <= set(project["project"]["optional-dependencies"])


def test_every_variable_is_a_setting_or_read_by_the_command() -> None:
    names = {row.name for row in config.SETTINGS}
    program = (QUERY / "__main__.py").read_text("utf-8")
    compose = COMPOSE["services"]["query"]["environment"]
    unit = re.findall(r"^Environment=(\w+)=", UNIT, re.MULTILINE)
    for name in [*environment(), *compose, *unit]:
        if name.startswith(PREFIX):
            short = name.removeprefix(PREFIX).lower()
            assert short in names or f'"{name}"' in program, name


def test_what_is_written_lies_in_the_volume() -> None:
    volume = step("VOLUME")
    written = {f"{PREFIX}{n}" for n in ("STORE", "CACHE_DIR", "DATA_DIR")}
    assert written <= set(environment())
    for name in written:
        assert PurePosixPath(environment()[name]).is_relative_to(volume)
    targets = [v.split(":")[1] for v in COMPOSE["services"]["query"]["volumes"]]
    assert targets == [volume]


def test_one_port_is_meant_everywhere() -> None:
    port = environment()["GRAPHRETRIEVAL_PORT"]
    assert step("EXPOSE") == port
    assert f"127.0.0.1:{port}/healthz" in step("HEALTHCHECK")
    assert COMPOSE["services"]["query"]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_compose_builds_from_this_folder_and_runs_the_neo4j_that_is_tested() -> None:
    build = COMPOSE["services"]["query"]["build"]
    context = (ROOT / "services" / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).samefile(QUERY / "Dockerfile")
    image = COMPOSE["services"]["neo4j"]["image"]
    release = re.fullmatch(r"neo4j:(\d+\.\d+)-community", image)
    assert release is not None
    assert server.LTS.startswith(f"{release[1]}.")


def test_the_unit_starts_a_command_with_options_that_there_are() -> None:
    (line,) = re.findall(r"^ExecStart=\S+/graphretrieval (.+)$", UNIT, re.MULTILINE)
    name, *rest = line.split()
    shown = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert shown.exit_code == 0
    for option in (word for word in rest if word.startswith("--")):
        assert option in shown.output


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The image's command over an empty volume: its address and its environment."""
    data, port = tmp_path_factory.mktemp("data"), str(free_port())
    settings = {n: v.replace(step("VOLUME"), str(data)) for n, v in environment().items()}
    settings |= {f"{PREFIX}HOST": "127.0.0.1", f"{PREFIX}PORT": port}
    settings |= {f"{PREFIX}ANONYMOUS": "never"}
    program, *command = json.loads(step("CMD"))
    assert program == "python"
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, **settings}, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"Uvicorn running" in line:
            break
    yield port, settings
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    process.stderr.close()
    assert process.wait(30) in (0, -signal.SIGTERM)


def status(port: str, path: str, key: str = "") -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"X-API-Key": key})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as e:
        with e:
            return e.code, json.loads(e.read())


def test_the_health_check_passes_where_the_service_lives_and_fails_elsewhere(
    container: tuple[str, dict[str, str]],
) -> None:
    command = json.loads(step("HEALTHCHECK").partition("CMD")[2])
    assert command[:2] == ["python", "-c"]
    for port, code in ((container[0], 0), (str(free_port()), 1)):
        script = command[2].replace(":8000/", f":{port}/")
        done = subprocess.run([sys.executable, "-c", script], capture_output=True)
        assert done.returncode == code


def test_an_empty_store_lives_is_not_ready_and_says_what_to_do(
    container: tuple[str, dict[str, str]],
) -> None:
    port, settings = container
    assert status(port, "/readyz")[0] == 503
    assert status(port, "/api/search?text=sun")[0] == 401
    create = ["keys", "create", "me", "--role", "admin"]  # as compose.yaml says
    done = subprocess.run(
        [sys.executable, "-m", "graphretrieval", *create],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    code, said = status(port, "/api/search?text=sun", done.stdout.strip())
    assert (code, said["error"]["code"]) == (409, "NOT_FITTED")
    assert "graphretrieval fit" in said["error"]["remedy"]
    assert status(port, "/api/node?id=nowhere", done.stdout.strip())[0] == 404
