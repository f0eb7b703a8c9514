"""Your own embeddings: each item gets the row that is its own, or a refusal that says which."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.errors import InputRefused, TooLarge, Undecodable
from graphretrieval.retriever.features import own_vectors
from graphretrieval.sources.arrays import ArraySource, load_vectors
from graphretrieval.sources.media import Limits, MediaReader
from graphretrieval.types import Node


@pytest.fixture(scope="module")
def reader() -> Iterator[MediaReader]:
    with MediaReader(Limits.of(Config()), workers=1) as r:
        yield r


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def rows(root: Path, *given: dict[str, Any]) -> None:
    lines = [json.dumps({"modality": "image", **row}) for row in given]
    (root / "nodes.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def read(root: Path, reader: MediaReader) -> tuple[dict[str, Node], list[str]]:
    batches = list(ArraySource(root, reader=reader, config=Config()).batches({}))
    nodes = {n.id: n for b in batches for n in b.nodes}
    return nodes, [f.refused for b in batches for f in b.files if f.refused]


X = np.arange(12, dtype=np.float32).reshape(4, 3)
THREE = ({"id": "a"}, {"id": "b"}, {"id": "c"})


WRITERS = {
    "npy": lambda root: np.save(root / "vectors_image.npy", X),
    "npz of one": lambda root: np.savez(root / "vectors_image.npz", anything=X),
    "npz": lambda root: np.savez(root / "vectors.npz", image=X),
    "safetensors": lambda root: save_file({"image": X}, root / "vectors.safetensors"),
    "16 bit": lambda root: np.save(root / "vectors_image.npy", X.astype(np.float16)),
    "whole numbers": lambda root: np.save(root / "vectors_image.npy", X.astype(np.uint8)),
}


@pytest.mark.parametrize("form", WRITERS)
def test_each_item_gets_its_row_in_any_format(root: Path, reader: MediaReader, form: str) -> None:
    WRITERS[form](root)
    rows(root, *THREE)
    nodes, refused = read(root, reader)
    assert refused == []
    vectors = load_vectors([nodes[i] for i in ("c", "a", "b", "a")])
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, X[[2, 0, 1, 0]])


def test_a_row_may_be_named(root: Path, reader: MediaReader) -> None:
    WRITERS["npy"](root)
    rows(root, {"id": "a", "row": 3}, {"id": "b", "row": 0})
    nodes, _ = read(root, reader)
    np.testing.assert_array_equal(load_vectors([nodes["a"], nodes["b"]]), X[[3, 0]])


def test_modalities_are_counted_apart(root: Path, reader: MediaReader) -> None:
    np.savez(root / "vectors.npz", image=X, text=10 * X)
    words = {"modality": "text", "text": "words"}
    rows(root, {"id": "a"}, {"id": "t", **words}, {"id": "b"}, {"id": "u", **words})
    nodes, refused = read(root, reader)
    assert refused == []
    np.testing.assert_array_equal(load_vectors([nodes["a"], nodes["b"]]), X[:2])
    np.testing.assert_array_equal(load_vectors([nodes["t"], nodes["u"]]), 10 * X[:2])


def test_an_item_without_a_row_is_refused_and_the_others_come_in(
    root: Path, reader: MediaReader
) -> None:
    WRITERS["npy"](root)
    rows(root, {"id": "a"}, {"id": "b", "row": 4}, {"id": "c", "row": -1})
    nodes, refused = read(root, reader)
    assert set(nodes) == {"a"}
    assert any("has 4 rows, the item asks for row 4" in r for r in refused)
    assert len(refused) == 2


def row_of(node: Node) -> Any:
    return node.properties.get("vector", {}).get("row")  # type: ignore[union-attr, call-overload]


@pytest.mark.parametrize("bad", ['{"id": "x", "modality": "image", broken}', '{"id": "x"}', "[1]"])
def test_after_a_line_that_cannot_be_read_only_items_that_name_their_row_come_in(
    root: Path, reader: MediaReader, bad: str
) -> None:
    np.savez(root / "vectors.npz", image=X, text=X)
    image = '{"modality": "image", '
    (root / "nodes.jsonl").write_text(
        f'{image}"id": "a"}}\n{bad}\n{image}"id": "c"}}\n{image}"id": "d", "row": 3}}\n'
        '{"modality": "text", "id": "t", "text": "x"}\n{"modality": "object", "id": "o"}\n'
    )
    nodes, refused = read(root, reader)
    assert {i: row_of(node) for i, node in nodes.items()} == {"a": 0, "d": 3, "o": None}
    assert sum("line 2 of nodes.jsonl cannot be read, so that" in r for r in refused) == 2
    assert len(refused) == 3


def test_a_row_that_is_refused_keeps_its_place(root: Path, reader: MediaReader) -> None:
    WRITERS["npy"](root)
    rows(root, {"id": ["a"]}, {"id": "b"}, {}, {"id": "d"})
    nodes, refused = read(root, reader)
    assert {i: row_of(node) for i, node in nodes.items()} == {"b": 1, "d": 3}
    assert len(refused) == 2


def test_of_two_rows_with_one_id_the_one_taken_gives_the_vector(
    root: Path, reader: MediaReader
) -> None:
    WRITERS["npy"](root)
    rows(root, {"id": "a", "start": -1}, {"id": "b"}, {"id": "a"}, {"id": "b"})
    nodes, _ = read(root, reader)
    assert {i: row_of(node) for i, node in nodes.items()} == {"a": 2, "b": 1}


def test_what_brings_a_vector_is_never_cut(root: Path, reader: MediaReader) -> None:
    soundfile.write(root / "long.wav", np.zeros(8_000 * 40, np.float32) + 0.1, 8_000)
    (root / "long.txt").write_text("A lion sleeps. " * 100)
    np.savez(root / "vectors.npz", audio=X, text=X)
    rows(
        root,
        {"id": "a", "modality": "text", "text": "A lion sleeps. " * 100},
        {"id": "b", "modality": "text", "path": "long.txt"},
        {"id": "c", "modality": "audio", "path": "long.wav"},
    )
    nodes, refused = read(root, reader)
    assert refused == []
    assert {i: (n.modality, row_of(n)) for i, n in nodes.items()} == {
        "a": ("text", 0),
        "b": ("text", 1),
        "c": ("audio", 0),
    }
    assert list(own_vectors({"text": [nodes["a"], nodes["b"]], "audio": [nodes["c"]]}))


def test_vectors_that_only_some_items_have_are_left_out_aloud() -> None:
    vector = {"file": "gone.npy", "array": "", "row": 0}
    with_one = [Node(f"v{i}", "text", properties={"vector": vector}) for i in range(3)]
    without = [Node(f"n{i}", "text") for i in range(4)]
    with pytest.warns(UserWarning, match=r"4 of 7 text items brought no vector \(n0, n1, n2, …\)"):
        assert own_vectors({"text": [*with_one, *without], "image": without, "audio": []}) == {}


def test_a_row_that_was_corrected_is_no_longer_refused(root: Path) -> None:
    WRITERS["npy"](root)
    rows(root, {"id": "a"}, {"id": "b", "row": 4})
    with gr.open(root.parent / "own.db") as kb:
        assert len(kb.add(root).refused) == len(kb.add(root).refused) == 1
        rows(root, {"id": "a"}, {"id": "b", "row": 3})
        assert kb.add(root).refused == kb.add(root).refused == ()


@pytest.mark.parametrize(
    ("make", "error", "why"),
    [
        (lambda r: None, InputRefused, "holds no vectors"),
        (lambda r: np.save(r / "vectors_smell.npy", X), InputRefused, "'smell'.* no modality"),
        (lambda r: np.save(r / "vectors.npy", X), InputRefused, "no modality"),
        (
            lambda r: (r / "vectors_image.npy").write_bytes(b"rubbish"),
            Undecodable,
            "cannot be read",
        ),
        (lambda r: (r / "vectors.npz").write_bytes(b"PK\3\4"), Undecodable, "cannot be read"),
        (lambda r: (r / "vectors.safetensors").write_bytes(b"{}"), Undecodable, "cannot be read"),
        (lambda r: np.save(r / "vectors_image.npy", X[0]), Undecodable, "no matrix"),
        (lambda r: np.save(r / "vectors_image.npy", X[:, :0]), Undecodable, "no matrix"),
        (lambda r: np.save(r / "vectors_image.npy", X.astype(str)), Undecodable, "no matrix"),
        (
            lambda r: np.save(r / "vectors_image.npy", X.astype(object), allow_pickle=True),
            Undecodable,
            "cannot be read",
        ),
    ],
)
def test_an_array_that_cannot_be_used_is_refused(
    root: Path, reader: MediaReader, make: Any, error: type[Exception], why: str
) -> None:
    make(root)
    rows(root, *THREE)
    with pytest.raises(error, match=why):
        read(root, reader)


def _npz(path: Path, header: bytes, content: bytes) -> None:
    """An archive of one array whose header says what it likes."""
    head = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", head + content)


def test_an_archive_that_would_fill_the_memory_is_refused_unopened(
    root: Path, reader: MediaReader
) -> None:
    rows(root, *THREE)
    path = root / "vectors.npz"
    np.savez_compressed(path, image=np.zeros((400_000, 50), np.float32))
    tracemalloc.start()
    with pytest.raises(TooLarge, match=r"0 MB packed and 76 unpacked\. save it as \.npy"):
        read(root, reader)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()
    huge = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 1000)}"
    _npz(path, huge % 10**9, b"\0" * 4000)
    with pytest.raises(Undecodable, match="does not hold as much"):
        read(root, reader)
    _npz(path, huge % -1, b"\0" * 4000)
    with pytest.raises(Undecodable, match="cannot be read"):
        read(root, reader)


def test_an_archive_larger_than_a_file_may_be_is_refused(
    root: Path, reader: MediaReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS["npz"](root)
    rows(root, *THREE)
    monkeypatch.setattr("graphretrieval.sources.arrays.MAX_UNPACKED", X.nbytes - 1)
    with pytest.raises(TooLarge):
        read(root, reader)


def test_a_row_cannot_say_itself_where_its_vector_lies(root: Path) -> None:
    secret = root.parent / "secret.npy"
    np.save(secret, X)
    place = {"file": str(secret), "array": "", "row": 0}
    words = {"modality": "text", "text": "a lion"}
    rows(
        root,
        {"id": "a", **words, "vector": place},
        {"id": "b", **words, "properties": {"vector": place, "vector_": 1}},
    )
    (root / "categories.csv").write_text("id,vector\ncats,7\n")
    table = root.parent / "t.csv"
    table.write_text("id,title,vector\n" + "".join(f"{i},Lion {i},{i % 3}\n" for i in range(6)))
    with gr.open(root.parent / "own.db") as kb:
        assert kb.add(root).refused == kb.add(table).refused == ()
        nodes = {node.id: node for node in kb.store.nodes()}
    assert all("vector" not in node.properties for node in nodes.values())
    assert nodes["a"].properties == {"vector_": place}
    assert nodes["b"].properties == {"vector_": 1, "vector__": place}
    assert nodes["cat:cats"].properties == {"vector_": "7"}
    assert nodes["t/0:title"].properties == {"vector_": "0"}


def test_a_property_called_vector_that_is_no_place_brings_none() -> None:
    assert own_vectors({"text": [Node("a", "text", text="a", properties={"vector": "3"})]}) == {}


def test_two_arrays_for_one_modality_are_refused(root: Path, reader: MediaReader) -> None:
    WRITERS["npy"](root)
    WRITERS["npz"](root)
    rows(root, *THREE)
    with pytest.raises(InputRefused, match="two arrays are for image"):
        read(root, reader)


def test_an_array_that_lies_outside_is_refused(root: Path, reader: MediaReader) -> None:
    np.save(root.parent / "secret.npy", X)
    (root / "vectors_image.npy").symlink_to(root.parent / "secret.npy")
    rows(root, *THREE)
    with pytest.raises(InputRefused, match="leads out"):
        read(root, reader)


def test_an_array_that_became_shorter_or_broken_is_noticed_when_used(
    root: Path, reader: MediaReader
) -> None:
    WRITERS["npy"](root)
    rows(root, *THREE)
    nodes, _ = read(root, reader)
    np.save(root / "vectors_image.npy", X[:1])
    with pytest.raises(InputRefused, match="has 1 rows, row 2 is asked for"):
        load_vectors(list(nodes.values()))
    np.save(root / "vectors_image.npy", np.full_like(X, np.nan))
    with pytest.raises(Undecodable, match="no finite numbers"):
        load_vectors(list(nodes.values()))
    (root / "vectors_image.npy").unlink()
    with pytest.raises(InputRefused, match="cannot be read"):
        load_vectors(list(nodes.values()))


def test_vectors_of_two_lengths_are_refused(root: Path, reader: MediaReader) -> None:
    np.save(root / "vectors_image.npy", X)
    np.save(root / "other.npy", X[:, :2])
    place = {"file": str(root / "other.npy"), "array": "", "row": 0}
    rows(root, *THREE)
    nodes, _ = read(root, reader)
    odd = Node("odd", "image", properties={"vector": place})
    with pytest.raises(InputRefused, match=r"differ in length \(\[2, 3\]\)"):
        load_vectors([nodes["a"], odd])


def test_own_vectors_are_learned_from_and_searched(root: Path) -> None:
    rng = np.random.default_rng(0)
    topic = rng.normal(size=(6, 8))
    image = (topic[np.arange(48) % 6] + 0.1 * rng.normal(size=(48, 8))) @ rng.normal(size=(8, 12))
    sound = (topic[np.arange(48) % 6] + 0.1 * rng.normal(size=(48, 8))) @ rng.normal(size=(8, 10))
    np.savez(root / "vectors.npz", image=image, audio=sound)
    nodes = [
        {"id": f"{m}{i:02d}", "modality": kind, "category": f"topic{i % 6}"}
        for m, kind in (("i", "image"), ("a", "audio"))
        for i in range(48)
    ]
    rows(root, *nodes)
    with gr.open(root.parent / "own.db") as kb:
        assert kb.add(root).refused == ()
        kb.fit()
        hits = kb.search(node="i00", target="audio", k=8).hits
    assert [int(hit.id[1:]) % 6 for hit in hits] == [0] * 8
