"""Stores on the tests' own Neo4j server, and a replica beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphretrieval.stores.bolt import Bolt
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.stores.replica import Replica
from tests.conftest import Server


@pytest.fixture
def remote(empty_neo4j: Server) -> Iterator[Neo4jStore]:
    store = Neo4jStore(Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20))
    yield store
    store.close()


@pytest.fixture
def browser(empty_neo4j: Server) -> Iterator[Callable[..., object]]:
    """Runs Cypher as somebody at Neo4j Browser would, behind the store's back."""
    bolt = Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20)
    yield bolt.run
    bolt.close()


@pytest.fixture
def replica(empty_neo4j: Server, tmp_path: Path) -> Iterator[Replica]:
    def connect() -> Neo4jStore:
        return Neo4jStore(Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20))

    store = Replica(connect, tmp_path / "replica.db", max_bytes=1 << 30)
    yield store
    store.close()


@pytest.fixture
def opener(empty_neo4j: Server, tmp_path: Path) -> Iterator[Callable[[], Replica]]:
    """Opens replicas on one copy, as processes of one user do."""
    opened: list[Replica] = []
    bolts: list[Bolt] = []

    def make() -> Replica:
        bolts.append(Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20))
        bolt = bolts[-1]
        opened.append(Replica(lambda: Neo4jStore(bolt), tmp_path / "copy.db", max_bytes=1 << 30))
        return opened[-1]

    yield make
    for store in opened:
        store.close()
    for bolt in bolts:
        bolt.close()
