"""The sentence model is the published one, is never downloaded, and knows what means the same."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphretrieval.encoders import minilm
from graphretrieval.encoders.minilm import PACKAGE, SentenceModel, locate
from graphretrieval.errors import BundleError, ConfigError

here = pytest.mark.skipif(find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed")


def test_none_is_none_and_a_folder_is_itself() -> None:
    assert locate("none") is None
    assert locate("/some/folder") == "/some/folder"


def test_without_the_package_there_is_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    assert locate("auto") is None


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.safetensors").write_bytes(b"other weights")
    spec = ModuleSpec(PACKAGE, None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(minilm, "find_spec", lambda name: spec)
    with pytest.raises(BundleError, match="as it was published"):
        locate("auto")


def test_a_model_that_is_not_here_is_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        pytest.fail("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(ConfigError, match="'nobody/no-such-model' is not on this machine"):
        SentenceModel("nobody/no-such-model")


@pytest.fixture(scope="module")
def model() -> SentenceModel:
    where = locate("auto")
    assert where is not None
    return SentenceModel(where)


@here
def test_sentences_of_one_meaning_are_nearest(model: SentenceModel) -> None:
    pairs = [
        ("A man is playing a guitar.", "Someone makes music on a stringed instrument."),
        ("It is raining heavily.", "A downpour."),
        ("The cat sleeps on the sofa.", "A kitten naps on a couch."),
    ]
    a, b = (model.encode([p[i] for p in pairs]) for i in (0, 1))
    assert a.shape == (3, model.dim) == (3, 384)
    assert np.argmax(a @ b.T, axis=1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, atol=1e-5)


@here
def test_rows_follow_their_texts_whatever_the_batch(
    model: SentenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["a", "a much longer text about a lion", "b", "a", ""]
    whole = model.encode(texts)
    monkeypatch.setattr(minilm, "BATCH", 2)
    np.testing.assert_allclose(model.encode(texts), whole, atol=1e-5)
    np.testing.assert_array_equal(whole[0], whole[3])


@here
def test_a_folder_with_the_model_serves_as_well(tmp_path: Path) -> None:
    where = locate("auto")
    assert where is not None
    copy = shutil.copytree(where, tmp_path / "copy")
    a, b = (SentenceModel(str(w)).encode(["a lion"]) for w in (where, copy))
    np.testing.assert_array_equal(a, b)


@here
def test_texts_are_read_in_an_order_that_no_hash_decides(
    model: SentenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def batch(texts: list[str]) -> Any:
        read.extend(texts)
        return np.ones((len(texts), model.dim), np.float32)

    monkeypatch.setattr(model, "_batch", batch)
    monkeypatch.setattr(model, "_remembered", {})
    texts = [f"{word} {number}" for word in ("owl", "lion") for number in range(60)]
    model.encode(texts[::-1])
    assert read == sorted(texts, key=lambda t: (len(t), t))


@here
def test_two_threads_may_be_the_first_to_use_it(model: SentenceModel) -> None:
    """Run apart, since a process imports and loads it once."""
    script = (
        "import json, threading\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from graphretrieval.encoders.minilm import SentenceModel, locate\n"
        "gate = threading.Barrier(2)\n"
        "def first(text):\n"
        "    gate.wait()\n"
        "    return SentenceModel(locate('auto')).encode([text])[0].tolist()\n"
        "with ThreadPoolExecutor(2) as pool:\n"
        "    print(json.dumps(list(pool.map(first, ['a red circle', 'two lions']))))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = model.encode(["a red circle", "two lions"])
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-5)
