"""Every store that is registered, each as an empty one of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphretrieval import registry
from graphretrieval.config import Config
from graphretrieval.protocols import GraphStore
from graphretrieval.retriever import Retriever

from . import world

# how an empty store of each kind is opened in an empty folder
STORES: dict[str, Callable[[Path], Path]] = {"sqlite": lambda folder: folder / "graph.db"}


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
