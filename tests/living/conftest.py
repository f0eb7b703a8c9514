"""Empty stores: embedded ones, and for tests marked so also one on a Neo4j server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphretrieval.config import Config
from graphretrieval.protocols import GraphStore
from graphretrieval.retriever import Retriever
from graphretrieval.stores import replica
from graphretrieval.stores.bolt import Bolt
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.stores.replica import Replica
from graphretrieval.stores.sqlite import SqliteStore
from tests.conftest import wipe

from . import world

_NEO4J = pytest.param("neo4j", marks=pytest.mark.xdist_group("neo4j"))
# what the store has a part in is tested on each of them; the rest on the embedded one alone
every_store = pytest.mark.parametrize("new_store", ["sqlite", _NEO4J], indirect=True)
on_server = pytest.mark.parametrize("new_store", [_NEO4J], indirect=True)


@pytest.fixture
def new_store(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], GraphStore]]:
    """Opens another empty store each time it is called; on a server it takes the former's place."""
    world.register(monkeypatch)
    opened: list[GraphStore] = []
    kind = getattr(request, "param", "sqlite")
    if kind == "neo4j":
        server = request.getfixturevalue("neo4j_server")
        # a loaded machine may take longer than a reader would wait
        monkeypatch.setattr(replica, "PATIENCE", 20.0)

    def connect() -> Neo4jStore:
        return Neo4jStore(Bolt(server.bolt, server.auth, quick=20))

    def make() -> GraphStore:
        place = tmp_path_factory.mktemp("store") / "graph.db"
        if kind == "neo4j":
            wipe(server)
            opened.append(Replica(connect, place, max_bytes=1 << 30))
        else:
            opened.append(SqliteStore(place))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def kb(
    new_store: Callable[[], GraphStore],
    tmp_path: Path,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> Retriever:
    """Texts and pictures of a few topics, half of the texts linked, and a model in service."""
    world.register(monkeypatch)
    store = new_store()
    world.topics(store)
    return world.served(store, tmp_path / "world", config)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config({"cache_dir": str(tmp_path / "cache")})
