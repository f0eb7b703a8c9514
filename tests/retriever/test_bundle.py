"""Models on disk: what was written is what is read, and nothing else is believed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval.errors import BundleError
from graphretrieval.retriever.bundle import Bundles, Embedded
from graphretrieval.retriever.model import Model


def test_a_version_comes_back_as_it_was(kb: gr.Retriever) -> None:
    found = kb.bundles.load("v1")
    assert found is not None
    model, embedded = found
    assert next(iter(model.aligners)) == "posteriors"
    assert model.meta["revision"] == kb.store.revision
    assert embedded.raw.keys() == embedded.refined.keys() == model.aligners.keys()
    assert all(len(x) == len(embedded.ids) for x in embedded.raw.values())


@pytest.mark.parametrize("name", ["model.json", "stages.safetensors", "vectors.safetensors"])
def test_a_flipped_byte_is_noticed(kb: gr.Retriever, name: str) -> None:
    file = kb.bundles.folder / "v1" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(BundleError, match="is not what was written"):
        kb.search("circle")


def test_a_missing_file_is_noticed(kb: gr.Retriever) -> None:
    (kb.bundles.folder / "v1" / "stages.safetensors").unlink()
    with pytest.raises(BundleError, match="incomplete"):
        kb.search("circle")


def test_another_format_is_refused_with_its_number(kb: gr.Retriever) -> None:
    file = kb.bundles.folder / "v1" / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(BundleError, match="format 99"):
        kb.bundles.load("v1")


def test_a_damaged_version_is_never_put_in_service(kb: gr.Retriever, tmp_path: Path) -> None:
    kb.save(tmp_path / "saved")
    (tmp_path / "saved" / "v1" / "model.json").write_text("{}")
    with pytest.raises(BundleError):
        kb.load(tmp_path / "saved")
    assert kb.bundles.current() == "v1"


def test_no_pickle_is_ever_read(kb: gr.Retriever) -> None:
    files = {p.suffix for p in (kb.bundles.folder / "v1").iterdir()}
    assert files == {".json", ".safetensors"}


_SAVE = """
import sys
import numpy as np
from pathlib import Path
from graphretrieval.retriever.bundle import Bundles, Embedded
from graphretrieval.retriever.model import Model
bundles = Bundles(Path(sys.argv[1]))
x = np.random.default_rng(0).normal(size=(20000, 64)).astype(np.float32)
ids = tuple(f"n{i}" for i in range(len(x)))
print("ready", flush=True)
while True:
    print(bundles.save(Model(), Embedded(ids, {"a": x}, {"a": x})), flush=True)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_whole_model_in_service(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    x = np.zeros((3, 2), np.float32)
    Bundles(folder).save(Model(), Embedded(("a", "b", "c"), {"a": x}, {"a": x}))
    rng = np.random.default_rng(0)
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", _SAVE, str(folder)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            try:
                child.wait(timeout=float(rng.uniform(0.0, 0.6)))
            except subprocess.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
            told = [line.strip() for line in child.stdout if line.startswith("v")]
        bundles = Bundles(folder)
        current = bundles.current()
        assert current is not None
        assert bundles.load(current) is not None
        if told:  # an acknowledged save is never lost
            assert int(current[1:]) >= int(told[-1][1:])
