"""A server slow, gone or silent: answers go on from the snapshot, and heal by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphretrieval.errors import StoreAway, StoreError
from graphretrieval.stores.bolt import Bolt
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.stores.replica import Replica
from graphretrieval.types import Edge, Node
from tests.conftest import Server, wipe

from .proxy import Proxy

# what was promised
DEGRADED, HEALED = 2.0, 5.0


@pytest.fixture
def proxy(empty_neo4j: Server) -> Iterator[Proxy]:
    with Proxy(int(empty_neo4j.bolt.rpartition(":")[2])) as proxy:
        yield proxy


@pytest.fixture
def store(empty_neo4j: Server, proxy: Proxy, tmp_path: Path) -> Iterator[Replica]:
    found: list[Neo4jStore] = []

    def connect() -> Neo4jStore:
        if not found:
            found.append(Neo4jStore(Bolt(f"bolt://127.0.0.1:{proxy.port}", empty_neo4j.auth)))
        return found[0]

    replica = Replica(connect, tmp_path / "replica.db", max_bytes=1 << 30)
    replica.upsert([Node("a", "text", text="alpha"), Node("b", "image")], [Edge("a", "R", "b")])
    replica.export()
    yield replica
    proxy.set("pass")
    replica.close()


def within(seconds: float, condition: Callable[[], bool]) -> float:
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            pytest.fail(f"it took longer than {seconds} s")
    return time.monotonic() - started


FAULTS = [("drop", 0.0), ("blackhole", 0.0), ("delay", 4.0)]


@pytest.mark.parametrize(("mode", "delay"), FAULTS)
def test_queries_are_answered_degraded_and_heal(
    store: Replica, proxy: Proxy, mode: str, delay: float
) -> None:
    assert store.degraded is False
    time.sleep(0.6)  # so that the next read asks the server
    proxy.set(mode, delay)
    longest = 0.0
    until = time.monotonic() + 4.0
    degraded = False
    while time.monotonic() < until:
        started = time.monotonic()
        assert store.revision >= 1
        assert store.text_search(["alpha"])[0][0][0] == "a"
        assert [e.dst for e in store.neighbours(["a"])[0]] == ["b"]
        longest = max(longest, time.monotonic() - started)
        degraded |= store.degraded
    assert degraded
    assert longest < DEGRADED
    proxy.set("pass")
    assert within(HEALED, lambda: store.revision > 0 and not store.degraded) < HEALED
    assert store.upsert([Node("c", "text", text="gamma")]) >= 2
    assert store.text_search(["gamma"])[0][0][0] == "c"


def test_a_write_while_the_server_is_away_fails_clearly_and_later_succeeds(
    store: Replica, proxy: Proxy
) -> None:
    proxy.set("drop")
    with pytest.raises(StoreAway, match=r"does not answer|has not answered"):
        store.upsert([Node("d", "text", text="delta")])
    proxy.set("pass")
    within(HEALED, lambda: not store.remote.bolt.away)
    store.upsert([Node("d", "text", text="delta")])
    assert store.get(["d"])[0] is not None


def test_a_patient_write_waits_for_the_server(empty_neo4j: Server, proxy: Proxy) -> None:
    import threading

    address = f"bolt://127.0.0.1:{proxy.port}"
    store = Neo4jStore(Bolt(address, empty_neo4j.auth, patience=20))
    proxy.set("drop")
    threading.Timer(1.0, lambda: proxy.set("pass")).start()
    store.upsert([Node("late", "text", text="late")])
    assert store.get(["late"])[0] is not None
    store.close()


def test_a_call_under_way_while_the_store_is_closed_opens_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bolt = Bolt("bolt://127.0.0.1:9", ("neo4j", "never used"))
    connect, made = bolt._connected, []
    monkeypatch.setattr(bolt, "_new_driver", lambda seconds: made.append(seconds))

    def closed_meanwhile() -> object:
        bolt.close()
        return connect()

    monkeypatch.setattr(bolt, "_connected", closed_meanwhile)
    with pytest.raises(StoreError, match="closed"):
        bolt.run("RETURN 1")
    assert not made


def test_a_write_whose_commit_was_not_confirmed_is_done_once(
    empty_neo4j: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    import neo4j.exceptions

    bolt = Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20, patience=30)
    store = Neo4jStore(bolt)
    before = store.revision
    plain, lost = Bolt._managed, [True]

    def unconfirmed(self: Bolt, *args: object) -> object:
        done = plain(self, *args)  # type: ignore[arg-type]
        if lost:
            lost.clear()
            raise neo4j.exceptions.IncompleteCommit("the answer to COMMIT was lost")
        return done

    monkeypatch.setattr(Bolt, "_managed", unconfirmed)
    assert store.upsert([Node("once", "text", text="once")]) == before + 1
    assert not lost
    assert store.revision == before + 1
    rows = bolt.run("MATCH (n:Node {id: 'once'}) RETURN count(n) AS n")
    assert rows[0]["n"] == 1
    store.close()


def test_a_silent_server_does_not_hold_a_read_longer_than_its_deadline(
    empty_neo4j: Server, proxy: Proxy
) -> None:
    bolt = Bolt(f"bolt://127.0.0.1:{proxy.port}", empty_neo4j.auth, quick=0.5)
    store = Neo4jStore(bolt)
    proxy.set("blackhole")
    started = time.monotonic()
    with pytest.raises(StoreAway, match="no answer within"):
        bolt.read(lambda tx: tx.run("RETURN 1").consume(), seconds=0.5)
    assert time.monotonic() - started < 1.5
    # the breaker is open: the next fails at once
    started = time.monotonic()
    with pytest.raises(StoreAway, match="has not answered"):
        _ = store.revision
    assert time.monotonic() - started < 0.1
    store.close()


def test_a_store_can_be_opened_while_its_server_is_away(
    empty_neo4j: Server, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import graphretrieval as gr
    from graphretrieval.config import Config
    from graphretrieval.stores import remote

    monkeypatch.setenv(remote.PASSWORD, empty_neo4j.password)
    config = Config({"data_dir": str(tmp_path)})
    url = f"bolt://neo4j@127.0.0.1:{proxy.port}"
    with gr.open(url, config=config) as kb:
        kb.store.upsert([Node("a", "text", text="alpha")])
        assert kb.info()["revision"] == 1
    proxy.set("drop")
    with gr.open(url, config=config) as kb:
        assert kb.info()["nodes"] == {"text": 1}
        assert kb.store.degraded
        proxy.set("pass")
        within(HEALED, lambda: kb.store.revision > 0 and not kb.store.degraded)
        kb.store.upsert([Node("b", "text", text="beta")])
        assert kb.store.text_search(["beta"])[0][0][0] == "b"


def test_a_store_opened_while_away_is_not_mixed_with_another_that_comes_back(
    empty_neo4j: Server, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import graphretrieval as gr
    from graphretrieval.config import Config
    from graphretrieval.stores import remote

    monkeypatch.setenv(remote.PASSWORD, empty_neo4j.password)
    config = Config({"data_dir": str(tmp_path)})
    url = f"bolt://neo4j@127.0.0.1:{proxy.port}"
    with gr.open(url, config=config) as kb:
        kb.store.upsert([Node("old", "text", text="alpha")])
        assert kb.info()["revision"] == 1
    proxy.set("drop")
    with gr.open(url, config=config) as kb:
        assert kb.store.get(["old"])[0] is not None
        wipe(empty_neo4j)
        other = Neo4jStore(Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20))
        for name in ("new", "newer"):
            other.upsert([Node(name, "text", text="beta")])
        proxy.set("pass")
        within(2 * HEALED, lambda: [n.id for n in kb.store.nodes()] == ["new", "newer"])
        other.close()


def test_a_server_never_seen_and_away_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import graphretrieval as gr
    from graphretrieval.config import Config
    from graphretrieval.stores import remote
    from tests.conftest import free_port

    monkeypatch.setenv(remote.PASSWORD, "x")
    with pytest.raises(StoreAway, match="does not answer"):
        gr.open(f"bolt://127.0.0.1:{free_port()}", config=Config({"data_dir": str(tmp_path)}))
