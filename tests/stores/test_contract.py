"""Every store under the one contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphretrieval import registry
from graphretrieval.protocols import GraphStore
from graphretrieval.stores import replica
from graphretrieval.stores.bolt import Bolt
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.stores.replica import Replica
from tests.conftest import Server

from .contract import StoreContract

# the stores there are; those on a server are emptied instead of made anew
STORES = ("sqlite", "neo4j")


@pytest.fixture
def reopen() -> Iterator[Callable[[Path], GraphStore]]:
    """Opens embedded stores (every backup is one), and closes them at the end."""
    opened: list[GraphStore] = []

    def at(path: Path) -> GraphStore:
        opened.append(registry.resolve("store", "sqlite")(path))
        return opened[-1]

    yield at
    for store in opened:
        store.close()


class TestSqlite(StoreContract):
    @pytest.fixture
    def opener(
        self, tmp_path: Path, reopen: Callable[[Path], GraphStore]
    ) -> Callable[[], GraphStore]:
        return lambda: reopen(tmp_path / "graph.db")


class TestNeo4j(StoreContract):
    @pytest.fixture
    def opener(self, empty_neo4j: Server) -> Iterator[Callable[[], GraphStore]]:
        opened: list[GraphStore] = []

        def make() -> GraphStore:
            bolt = Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20)
            opened.append(registry.resolve("store", "neo4j")(bolt))
            return opened[-1]

        yield make
        for store in opened:
            store.close()


class TestReplica(StoreContract):
    @pytest.fixture
    def opener(
        self, empty_neo4j: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Callable[[], GraphStore]]:
        # a loaded machine may take longer than a reader would wait
        monkeypatch.setattr(replica, "PATIENCE", 20.0)
        opened: list[GraphStore] = []

        def connect() -> Neo4jStore:
            return Neo4jStore(Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20))

        def make() -> GraphStore:
            path = tmp_path / f"replica-{len(opened)}.db"
            opened.append(Replica(connect, path, max_bytes=1 << 30))
            return opened[-1]

        yield make
        for store in opened:
            store.close()


def test_every_registered_store_is_under_the_contract() -> None:
    assert set(registry.names("store")) == set(STORES)
