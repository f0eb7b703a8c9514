"""One small fitted museum for all tests of this folder that only read it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.sources.toy import write_toy


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
    for path in fitted.parent.glob("toy.db*"):
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        copy(path, tmp_path / path.name)
    with gr.open(tmp_path / "toy.db", config=Config({"cache_dir": str(tmp_path / "c")})) as out:
        yield out
