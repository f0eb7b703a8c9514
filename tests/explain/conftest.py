"""The fitted museum of the retriever's tests, read only, with a refiner that passes messages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.sources.toy import write_toy


@pytest.fixture(scope="session")
def museum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a model, as it is fitted by default."""
    folder = tmp_path_factory.mktemp("explained")
    write_toy(folder / "toy", seed=0)
    with gr.open(folder / "toy.db", config=Config({"cache_dir": str(folder / "cache")})) as kb:
        kb.add(folder / "toy")
        kb.fit(seed=0)
    return folder / "toy.db"


@pytest.fixture(scope="session")
def kb(museum: Path) -> Iterator[gr.Retriever]:
    with gr.open(museum, config=Config({"cache_dir": str(museum.parent / "c")})) as out:
        yield out
