"""A graph brought to a newer revision is the one that reading all rows gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphretrieval.stores import snapshot
from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import Edge, Graph, Node

IDS = st.sampled_from(["a", "b", "n003", "n017", "zz", "é", "鱼"])
KINDS = st.sampled_from(["DESCRIBES", "RELATED_TO", "PAINTED_BY", "ABOVE"])
WRITES = st.one_of(
    st.tuples(st.just("node"), IDS, st.sampled_from(["image", "text", "person"])),
    st.tuples(st.just("delete"), IDS),
    st.tuples(st.just("edge"), IDS, KINDS, IDS, st.sampled_from(["asserted", "rejected"])),
    st.tuples(st.just("unlink"), IDS, KINDS, IDS),
)


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    store = SqliteStore(tmp_path / "graph.db")
    nodes = [Node(f"n{i:03d}", "image" if i % 2 else "text") for i in range(100)]
    edges = [Edge(f"n{i:03d}", "DESCRIBES", f"n{7 * i % 100:03d}", i) for i in range(100)]
    store.upsert(nodes, edges)
    return store


def write(store: SqliteStore, what: tuple[str, ...]) -> None:
    match what:
        case ("node", name, modality):
            store.upsert([Node(name, modality)])
        case ("delete", name):
            store.delete([name])
        case ("edge", src, kind, dst, status):
            if None not in store.get([src, dst]):
                store.upsert([], [Edge(src, kind, dst, len(src + kind), status=status)])
        case ("unlink", src, kind, dst):
            store.delete(edges=[(src, kind, dst)])


def read_anew(store: SqliteStore) -> Graph:
    return snapshot._build(store.revision, store._connection)


def assert_equal(a: Graph, b: Graph) -> None:
    assert list(a.ids) == list(b.ids)
    assert a.row == b.row
    assert (a.modalities, a.relations, a.revision) == (b.modalities, b.relations, b.revision)
    for name in ("modality", "src", "relation", "dst", "weight"):
        ours, theirs = getattr(a, name), getattr(b, name)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(WRITES, min_size=1, max_size=4), min_size=1, max_size=5))
def test_any_run_of_writes_is_followed(
    store: SqliteStore, rounds: list[list[tuple[str, ...]]]
) -> None:
    store.export()
    for writes in rounds:
        for what in writes:
            write(store, what)
        assert_equal(store.export(), read_anew(store))


def test_a_small_change_is_followed_and_a_large_one_read(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.export()
    read: list[int] = []
    build = snapshot._build
    monkeypatch.setattr(snapshot, "_build", lambda r, c: read.append(r) or build(r, c))
    store.upsert([Node("a", "text")])
    store.export()
    assert read == []
    store.upsert([Node(f"m{i}", "text") for i in range(50)])
    store.export()
    assert read == [store.revision]


def test_forgotten_deletions_are_not_missed(store: SqliteStore) -> None:
    store.export()
    store.delete(["n003"])
    store.prune_tombstones(store.revision)
    store.upsert([Node("a", "text")])
    assert "n003" not in store.export().ids


def test_a_store_that_begins_anew_is_read_anew(store: SqliteStore) -> None:
    store.export()
    store.clear()
    for name in ("x", "y"):
        store.upsert([Node(name, "text")])
    assert list(store.export().ids) == ["x", "y"]


def test_what_changed_is_found_by_index(store: SqliteStore) -> None:
    said: list[str] = []
    store._connection.set_trace_callback(said.append)
    store.changes_since(store.revision - 1)
    store._connection.set_trace_callback(None)
    plans = [
        step
        for statement in said
        if "revision >" in statement
        for *_, step in store._connection.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert sum("_revision (revision>?)" in step for step in plans) == 3
    assert not [step for step in plans if step.startswith("SCAN")]


@pytest.mark.parametrize("name", ["src", "dst", "weight", "modality", "relation", "ids"])
def test_a_damaged_snapshot_is_made_again(store: SqliteStore, tmp_path: Path, name: str) -> None:
    store.export()
    (file,) = store._snapshots.folder.rglob(f"{name}.npy")
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)
    again = SqliteStore(tmp_path / "graph.db")
    assert_equal(again.export(), read_anew(again))
    again.close()
