"""The toy museum, generated and fitted once for all workers of a test run."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.sources.toy import write_toy


def fitted_museum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store with a model, to be read or copied, never changed."""
    base = tmp_path_factory.getbasetemp()
    # under xdist every worker has a folder of its own inside the run's
    folder = (base.parent if base.name.startswith("popen-") else base) / "museum"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            write_toy(folder / "toy", seed=0)
            config = Config({"cache_dir": str(folder / "cache")})
            with gr.open(folder / "toy.db", config=config) as kb:
                kb.add(folder / "toy")
                kb.fit(seed=0)
            (folder / "done").touch()
    return folder / "toy.db"


def copied(store: Path, folder: Path) -> Path:
    """A copy of the store with its models, for a test that changes them."""
    for path in store.parent.glob(f"{store.name}*"):
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        copy(path, folder / path.name)
    return folder / store.name
