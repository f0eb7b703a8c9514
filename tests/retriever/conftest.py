"""One small fitted museum for all tests of this folder that only read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.retriever.sync import sync
from graphretrieval.sources.toy import write_toy
from graphretrieval.stores import remote
from tests.conftest import Server, wipe
from tests.museum import copied


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the toy museum with a model, to be copied or read."""
    folder = tmp_path_factory.mktemp("museum")
    write_toy(folder / "toy", seed=0)
    config = Config({"cache_dir": str(folder / "cache")})
    with gr.open(folder / "toy.db", config=config) as kb:
        kb.add(folder / "toy")
        kb.fit(seed=0)
    return folder / "toy.db"


@pytest.fixture
def kb(fitted: Path, tmp_path: Path) -> Iterator[gr.Retriever]:
    """A copy of it that a test may change."""
    store = copied(fitted, tmp_path)
    with gr.open(store, config=Config({"cache_dir": str(tmp_path / "c")})) as out:
        yield out


@pytest.fixture(scope="module")
def museum(
    neo4j_server: Server, fitted: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[gr.Retriever, gr.Retriever]]:
    """The toy museum, embedded and in Neo4j, with the same model."""
    wipe(neo4j_server)
    folder = tmp_path_factory.mktemp("both")
    config = Config({"cache_dir": str(folder / "c"), "data_dir": str(folder / "d")})
    patch = pytest.MonkeyPatch()
    patch.setenv(remote.PASSWORD, neo4j_server.password)
    with (
        gr.open(copied(fitted, folder), config=config) as embedded,
        gr.open(neo4j_server.bolt, config=config) as there,
    ):
        assert sync(embedded, there).equal
        yield embedded, there
    patch.undo()
