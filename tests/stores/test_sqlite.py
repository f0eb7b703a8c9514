"""What the embedded store adds to the contract: its connections, and what it says of values."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphretrieval.errors import InvalidNode, QueryError
from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import JSON, Node


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "graph.db")
    store.upsert([Node("a", "text", text="alpha")])
    yield store
    store.close()


def test_threads_that_have_ended_keep_no_file_open(store: SqliteStore) -> None:
    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = files()
    for _ in range(50):
        thread = threading.Thread(target=store.get, args=(["a"],))
        thread.start()
        thread.join()
    assert files() <= before + 4  # the last one's: file, log and their index
    assert store.get(["a"])[0] is not None


def test_a_thread_that_goes_on_keeps_its_connection(store: SqliteStore) -> None:
    asked, answered, found = threading.Event(), threading.Event(), []

    def twice() -> None:
        found.append(store.get(["a"])[0])
        answered.set()
        asked.wait(10)
        found.append(store.get(["a"])[0])

    thread = threading.Thread(target=twice)
    thread.start()
    assert answered.wait(10)
    other = threading.Thread(target=store.get, args=(["a"],))
    other.start()
    other.join()
    asked.set()
    thread.join()
    assert None not in found
    assert len(found) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"title": "half \ud83d"}, {"width": 2**70}, {"uri": Path("/x")}, {"properties": {"x": {1}}}],
    ids=str,
)
def test_a_value_that_cannot_be_stored_is_said_to_be_wrong_and_not_the_file(
    store: SqliteStore, wrong: dict[str, JSON]
) -> None:
    with pytest.raises(InvalidNode, match=r"cannot be stored|no JSON"):
        store.upsert([Node("good", "text"), Node("bad", "image", **wrong)])
    assert [n.id for n in store.nodes()] == ["a"]
    assert store.upsert([Node("good", "text")]) == 2


def test_what_no_store_can_hold_is_not_looked_for(store: SqliteStore) -> None:
    with pytest.raises(QueryError, match=r"nothing that .* can hold"):
        store.get(["half \ud83d"])
