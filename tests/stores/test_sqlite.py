"""What the embedded store adds to the contract: its connections."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import Node


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
