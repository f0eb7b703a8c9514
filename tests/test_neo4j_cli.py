"""Neo4j from the command line, and from an installed wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from graphretrieval.sources.toy import write_toy
from graphretrieval.stores import remote
from graphretrieval.stores.bolt import Bolt
from tests.conftest import Server

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def run(empty_neo4j: Server, tmp_path: Path) -> Any:
    def call(
        *arguments: str | Path, code: int = 0, path: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        environ = {
            **os.environ,
            remote.PASSWORD: empty_neo4j.password,
            "GRAPHRETRIEVAL_DATA_DIR": str(tmp_path / "data"),
            "COLUMNS": "160",
            "PYTHONPATH": str(path or ROOT),
        }
        done = subprocess.run(
            [sys.executable, "-m", "graphretrieval", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            env=environ,
            cwd=tmp_path,
        )
        assert done.returncode == code, done.stdout[-500:] + done.stderr[-2000:]
        return done

    return call


def test_a_collection_is_synced_listed_and_linked(
    run: Any, empty_neo4j: Server, tmp_path: Path
) -> None:
    write_toy(tmp_path / "toy")
    run("--store", "toy.db", "add", tmp_path / "toy")
    url = empty_neo4j.bolt
    done = json.loads(run("sync", "toy.db", url, "--json").stdout)
    assert done["equal"]
    assert {row["name"] for row in done["rows"]} >= {"image", "text", "audio", "DESCRIBES"}
    info = json.loads(run("--store", url, "--json", "info").stdout)
    assert info["store"] == url
    assert info["nodes"]["image"] == next(r["target"] for r in done["rows"] if r["name"] == "image")
    shown = run("sync", url, "back.db").stdout
    assert "yes" in shown
    run("--store", url, "link", "no such", "DESCRIBES", "nothing", code=1)


def test_migrate_tells_what_it_would_do_and_does_it(run: Any, empty_neo4j: Server) -> None:
    assert run("migrate", empty_neo4j.bolt).stdout.strip() in (
        "up to date",
        "applied: V001__graph\napplied: V002__words",
    )
    assert run("migrate", empty_neo4j.bolt, "--dry-run").stdout.strip() == "up to date"
    assert "there is no store" in run("migrate", "none.db", code=2).stderr


def test_wrong_addresses_are_wrong_usage(run: Any) -> None:
    assert "holds a password" in run("migrate", "neo4j://u:p@localhost", code=2).stderr
    assert "no store at" in run("sync", "none.db", "other.db", code=2).stderr
    assert "no server in" in run("neo4j", "status", "--home", "none", code=2).stderr
    assert "was not running" in run("neo4j", "stop", "--home", "none").stderr


def test_status_tells_how_to_reach_a_running_server(run: Any, empty_neo4j: Server) -> None:
    found = json.loads(run("neo4j", "status", "--home", empty_neo4j.home, "--json").stdout)
    assert found["running"]
    assert found["url"].startswith("neo4j://neo4j@127.0.0.1:")
    assert empty_neo4j.password not in json.dumps(found)
    assert "Browser" in run("neo4j", "status", "--home", empty_neo4j.home).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)),
        ],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_a_wheel_carries_migrations_and_server_files_and_nothing_at_the_top(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"graphretrieval"}
    for name in (
        *("_migrations/neo4j/V001__graph.cypher", "_migrations/sqlite/V001__graph.sql"),
        *("_services/neo4j/pom.xml", "_services/neo4j/browser/guide.html"),
    ):
        assert f"graphretrieval/{name}" in names
    assert not any(name.endswith(".jar") for name in names)


def test_an_installed_wheel_migrates(
    wheel: Path, run: Any, empty_neo4j: Server, tmp_path: Path
) -> None:
    target = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    bolt = Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20)
    bolt.run("MATCH (m:__Neo4jMigration) DETACH DELETE m")
    bolt.close()
    done = run("migrate", empty_neo4j.bolt, "--json", path=target)
    assert json.loads(done.stdout)["migrations"] == ["V001__graph", "V002__words"]
    where = subprocess.run(
        [sys.executable, "-c", "from graphretrieval.stores import server; print(server.folder())"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
    )
    assert where.stdout.strip() == str(target / "graphretrieval" / "_services" / "neo4j")
