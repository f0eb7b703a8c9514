"""A copy of a remote store: shared by processes, never empty while there was something in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from graphretrieval.errors import StoreAway, StoreBusy
from graphretrieval.stores import replica
from graphretrieval.stores.bolt import Bolt
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.stores.replica import Replica
from graphretrieval.types import Edge, Node
from tests.conftest import Server, wipe

HEALED = 10.0


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine may take longer than a reader would wait."""
    monkeypatch.setattr(replica, "PATIENCE", 20.0)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One for each time that all rows were copied."""
    made: list[str] = []
    plain = replica.copy_into
    monkeypatch.setattr(replica, "copy_into", lambda *a: (made.append("copied"), plain(*a))[1])
    return made


class Pause:
    """Holds calls of a function at its end, or at its beginning, until they are let go."""

    def __init__(self, call: Callable[..., Any], *, before: bool) -> None:
        self._call, self._before = call, before
        self.reached, self.go = threading.Event(), threading.Event()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        found = None if self._before else self._call(*args, **kwargs)
        self.reached.set()
        assert self.go.wait(30)
        return self._call(*args, **kwargs) if self._before else found


def until(condition: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < HEALED
        time.sleep(0.05)


def ids(store: Replica) -> list[str]:
    return [n.id for n in store.nodes()]


# --- two processes -----------------------------------------------------------------------


@pytest.mark.parametrize("where", ["the answer has come", "the copy is about to be written"])
def test_a_process_that_was_held_up_does_not_set_the_copy_back(
    opener: Callable[[], Replica],
    copies: list[str],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    quick = opener()
    quick.upsert([Node("x", "text", text="one")])
    quick.export()
    slow = opener()
    slow.export()
    copies.clear()
    if where == "the answer has come":
        pause = Pause(slow.remote.changes_since, before=False)
        monkeypatch.setattr(slow.remote, "changes_since", pause)
    else:
        pause = Pause(slow.local.mirror, before=True)
        monkeypatch.setattr(slow.local, "mirror", pause)
    quick.upsert([Node("y", "text", text="draft")])
    until(lambda: time.monotonic() > slow._next_poll)
    held = threading.Thread(target=slow.refresh)
    held.start()
    assert pause.reached.wait(20)
    newest = quick.upsert([Node("y", "text", text="final")])
    assert quick.get(["y"])[0].text == "final"  # type: ignore[union-attr]
    pause.go.set()
    held.join()
    for store in (quick, slow):
        assert store.get(["y"])[0].text == "final"  # type: ignore[union-attr]
        assert store.revision == newest
    assert copies == []  # what is newer than one has asked for is no restored backup


def test_a_copy_that_another_process_is_making_does_not_stop_reads(
    opener: Callable[[], Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opener()
    store.upsert([Node("x", "text")])
    store.export()

    def busy(*args: Any, **kwargs: Any) -> bool:
        raise StoreBusy("copy.db is being written by another process")

    with monkeypatch.context() as held:
        held.setattr(store.local, "mirror", busy)
        store.upsert([Node("y", "text")])
        assert ids(store) == ["x"]
        assert store.degraded
    until(lambda: ids(store) == ["x", "y"] and not store.degraded)


# --- copied anew -------------------------------------------------------------------------


def test_a_server_that_goes_away_while_all_is_copied_leaves_the_copy_as_it_was(
    opener: Callable[[], Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opener()
    store.upsert([Node(f"n{i}", "text", text="alpha") for i in range(3)], [Edge("n0", "R", "n1")])
    store.export()
    store.remote.delete(["n2"])
    store.remote.prune_tombstones(store.remote.revision)  # too old to be brought up to date

    def gone(*args: Any, **kwargs: Any) -> Any:
        raise StoreAway("no answer within 60 s")

    with monkeypatch.context() as away:
        away.setattr(store.remote, "edges", gone)
        until(lambda: store.revision > 0 and store.degraded)
        assert ids(store) == ["n0", "n1", "n2"]
        assert list(store.export().ids) == ["n0", "n1", "n2"]
        assert len(store.text_search(["alpha"])[0]) == 3
    until(lambda: ids(store) == ["n0", "n1"])
    assert [(e.src, e.dst) for e in store.edges()] == [("n0", "n1")]
    assert list(store.export().ids) == ["n0", "n1"]


# --- another database at the address -----------------------------------------------------


@pytest.mark.parametrize("when", ["while it is open", "while it is closed"])
def test_another_database_at_the_address_is_not_mixed_into_the_copy(
    opener: Callable[[], Replica], empty_neo4j: Server, when: str
) -> None:
    store = opener()
    store.upsert([Node("old", "text", text="alpha"), Node("both", "text", text="alpha")])
    store.export()
    if when == "while it is closed":
        store.close()
    wipe(empty_neo4j)
    other = Neo4jStore(Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20))
    for i in range(3):  # more writes than the former one had: by revision it would be followed
        other.upsert([Node(f"new{i}", "text", text="beta"), Node("both", "text", text="beta")])
    if when == "while it is closed":
        store = opener()
    until(lambda: ids(store) == ["both", "new0", "new1", "new2"])
    assert list(store.export().ids) == ["both", "new0", "new1", "new2"]
    assert store.text_search(["alpha"])[0] == []
    newest = store.upsert([Node("newest", "text")])
    assert store.get(["newest"])[0] is not None
    assert store.revision == other.revision == newest
    other.close()


def test_a_copy_by_an_earlier_release_is_made_anew_once(
    opener: Callable[[], Replica], copies: list[str]
) -> None:
    store = opener()
    store.upsert([Node("a", "text")])
    store.export()
    store.local._connection.execute("DELETE FROM copied")
    store.close()
    for _ in range(2):
        copies.clear()
        store = opener()
        store.upsert([Node(f"b{store.revision}", "text")])
        until(lambda: len(ids(store)) == store.remote.revision)  # noqa: B023
        store.close()
    assert copies == []
