"""Fixtures for all tests: one thread, and the real collections where GRAPHRETRIEVAL_DATA says."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real collections; tests that need it are skipped visibly without it."""
    folder = os.environ.get("GRAPHRETRIEVAL_DATA")
    if not folder or not Path(folder).is_dir():
        if os.environ.get("CI"):
            pytest.fail("GRAPHRETRIEVAL_DATA must point at the real collections in CI")
        pytest.skip("GRAPHRETRIEVAL_DATA is not set: no real collections to test on")
    return Path(folder)


@dataclass(frozen=True)
class Server:
    """A Neo4j server of the tests' own."""

    home: Path
    bolt: str
    user: str
    password: str
    version: str

    @property
    def auth(self) -> tuple[str, str]:
        return self.user, self.password


def free_port() -> int:
    """A port that no client's own end is given: one that looks for a server that is away could
    otherwise find itself."""
    for port in random.sample(range(20_000, 32_000), 200):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    pytest.fail("no port is free between 20000 and 32000")


def start_neo4j(home: Path, version: str | None = None) -> Server:
    """Start a server, or skip visibly; GRAPHRETRIEVAL_REQUIRE_NEO4J makes that a failure."""
    from graphretrieval.errors import ServerError
    from graphretrieval.stores import server

    cache = Path(os.environ.get("GRAPHRETRIEVAL_JARS", "~/.cache/graphretrieval")).expanduser()
    version = version or os.environ.get("GRAPHRETRIEVAL_NEO4J_VERSION", server.LTS)
    try:
        made = server.start(
            home, cache, version=version, bolt_port=free_port(), http_port=free_port(), heap_mb=768
        )
    except ServerError as e:
        if os.environ.get("GRAPHRETRIEVAL_REQUIRE_NEO4J"):
            pytest.fail(f"Neo4j is required here: {e}")
        pytest.skip(f"no Neo4j server: {e}")
    return Server(home, f"bolt://{made.bolt}", made.user, server.password(home), version)


@pytest.fixture(scope="session")
def neo4j_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a worker; they are marked to run in the same one."""
    from graphretrieval.stores import server

    home = tmp_path_factory.mktemp("neo4j")
    found = start_neo4j(home)
    yield found
    server.stop(home)


@pytest.fixture
def empty_neo4j(neo4j_server: Server) -> Server:
    """The same server with nothing in it; its schema stays."""
    wipe(neo4j_server)
    return neo4j_server


def wipe(found: Server) -> None:
    from graphretrieval.stores import cypher
    from graphretrieval.stores.bolt import Bolt

    bolt = Bolt(found.bolt, found.auth, quick=20)
    while bolt.run(cypher.wipe())[0]["n"]:
        pass
    for row in bolt.run(cypher.INDEXES):
        if row["type"] == "VECTOR":
            bolt.run(f"DROP INDEX `{row['name']}`")
    bolt.close()


def pytest_itemcollected(item: pytest.Item) -> None:
    """All that use the server run in one worker, so that there is one server."""
    if {"neo4j_server", "empty_neo4j"} & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.xdist_group("neo4j"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's feature cache."""
    monkeypatch.setenv("GRAPHRETRIEVAL_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
