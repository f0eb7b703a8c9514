"""A snapshot is used only for the very rows it was made of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from graphretrieval.stores import snapshot
from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import Edge, Node


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store that was exported and closed."""
    path = tmp_path / "graph.db"
    store = SqliteStore(path)
    store.upsert([Node("a", "text"), Node("b", "text")], [Edge("a", "R", "b")])
    store.export()
    store.close()
    return path


def ids(store: SqliteStore) -> list[str]:
    found = list(store.export().ids)
    store.close()
    return found


def test_a_store_begun_again_in_place_of_a_deleted_one_has_its_own_graph(path: Path) -> None:
    path.unlink()
    store = SqliteStore(path)
    store.upsert([Node("new", "text")])
    assert store.revision == 1  # as the deleted one's
    assert ids(store) == ["new"]


def test_a_backup_copied_over_a_store_and_written_to_has_its_own_graph(
    path: Path, tmp_path: Path
) -> None:
    store = SqliteStore(path)
    store.backup(tmp_path / "saved.db")
    store.upsert([Node("mistake", "text")])
    store.export()
    store.close()
    shutil.copy(tmp_path / "saved.db", path)
    store = SqliteStore(path)
    store.upsert([Node("right", "text")])
    assert ids(store) == ["a", "b", "right"]


def test_a_store_cleared_by_another_process_is_not_followed(path: Path) -> None:
    store, other = SqliteStore(path), SqliteStore(path)
    nodes = [Node(f"n{i:03d}", "text") for i in range(50)]
    store.upsert(nodes)
    store.export()
    other.clear()
    for _ in range(3):
        other.upsert([Node(f"m{other.revision}", "text")])
    other.close()
    assert ids(store) == ["m0", "m1", "m2"]


def test_the_snapshot_of_the_same_write_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_build", None)
    assert ids(SqliteStore(path)) == ["a", "b"]
    assert ids(SqliteStore(path, read_only=True)) == ["a", "b"]


def test_a_snapshot_of_an_earlier_release_is_made_anew(path: Path) -> None:
    about = path.with_name("graph.db.snapshot") / "rev-000000001" / "about.json"
    values = json.loads(about.read_text("utf-8"))
    written = values.pop("write")
    about.write_text(json.dumps(values), "utf-8")
    assert ids(SqliteStore(path)) == ["a", "b"]
    assert json.loads(about.read_text("utf-8"))["write"] == written


def test_a_file_of_an_earlier_release_is_read_and_brought_up_to_date(path: Path) -> None:
    store = SqliteStore(path)
    store._connection.executescript(
        "DELETE FROM meta WHERE name IN ('write', 'life'); DROP TABLE copied;"
        "DELETE FROM migrations WHERE version >= 3"
    )
    store.close()
    assert ids(SqliteStore(path, read_only=True)) == ["a", "b"]
    store = SqliteStore(path)
    assert list(store.export().ids) == ["a", "b"]
    store.upsert([Node("c", "text")])
    assert ids(store) == ["a", "b", "c"]
