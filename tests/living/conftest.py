"""Every store that is registered, each as an empty one of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphretrieval import registry
from graphretrieval.config import Config
from graphretrieval.protocols import GraphStore
from tests.stores.test_contract import STORES


@pytest.fixture(params=list(STORES))
def new_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], GraphStore]]:
    """Opens another empty store each time it is called."""
    opened: list[GraphStore] = []

    def make() -> GraphStore:
        place = STORES[request.param](tmp_path_factory.mktemp("store"))
        opened.append(registry.resolve("store", request.param)(place))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config({"cache_dir": str(tmp_path / "cache")})
