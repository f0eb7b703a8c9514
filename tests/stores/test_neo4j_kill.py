"""A server killed under write load: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from graphretrieval.errors import StoreAway, StoreBusy
from graphretrieval.stores import server
from graphretrieval.stores.bolt import Bolt
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.types import Edge, Node
from tests.conftest import Server, start_neo4j

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("neo4j"),
]
KILLS, PARTS = 10, 20


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    home = tmp_path / "mortal"
    found = start_neo4j(home)
    yield found
    server.stop(home)


def again(found: Server) -> None:
    """Start the killed server anew on the same ports."""
    cache = Path("~/.cache/graphretrieval").expanduser()
    was = server.status(found.home)
    assert was is not None
    assert was.pid is None
    server.start(
        found.home,
        cache,
        version=found.version,
        bolt_port=int(was.bolt.rpartition(":")[2]),
        http_port=int(was.browser.rpartition(":")[2].partition("/")[0]),
        heap_mb=512,
    )


def test_ten_kills_lose_nothing_acknowledged_and_double_nothing(mortal: Server) -> None:
    store = Neo4jStore(Bolt(mortal.bolt, mortal.auth, quick=5, patience=90))
    acknowledged: list[int] = []
    revisions: list[int] = []
    failed: list[BaseException] = []
    stop, progress = threading.Event(), threading.Semaphore(0)

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            nodes = [Node(f"w{n}-{i}", "text", text=f"write {n} part {i}") for i in range(PARTS)]
            edges = [Edge(f"w{n}-{i}", "NEXT", f"w{n}-{i + 1}") for i in range(PARTS - 1)]
            try:
                revisions.append(store.upsert(nodes, edges))
            except (StoreAway, StoreBusy) as e:
                failed.append(e)  # told to the caller: not acknowledged
                continue
            acknowledged.append(n)
            progress.release()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    rng = np.random.default_rng(0)
    try:
        for _ in range(KILLS):
            for _ in range(3):  # the client has recovered by itself and writes again
                assert progress.acquire(timeout=120)
            stop.wait(float(rng.uniform(0, 0.5)))
            server.kill(mortal.home)
            again(mortal)
        assert progress.acquire(timeout=120)
    finally:
        stop.set()
        writer.join(120)
    ids = [f"w{n}-{i}" for n in acknowledged for i in range(PARTS)]
    assert len(acknowledged) >= 3 * KILLS
    assert None not in store.get(ids)
    rows = store.bolt.run("MATCH (n:Node) RETURN count(n) AS n, count(DISTINCT n.id) AS ids")[0]
    assert rows["n"] == rows["ids"]
    # every write is there as a whole, and every edge once
    whole = store.bolt.run(
        "MATCH (n:Node) WITH split(n.id, '-')[0] AS w, count(*) AS parts "
        "RETURN collect(DISTINCT parts) AS parts, count(*) AS writes"
    )[0]
    assert whole["parts"] == [PARTS]
    edges = store.bolt.run(
        "MATCH (s:Node)-[r:NEXT]->(d:Node) "
        "RETURN count(r) AS n, count(DISTINCT [s.id, d.id]) AS once"
    )[0]
    assert edges["n"] == edges["once"] == whole["writes"] * (PARTS - 1)
    assert revisions == sorted(revisions)
    assert store.revision == whole["writes"]
    print(f"{len(acknowledged)} writes acknowledged over {KILLS} kills, {len(failed)} refused")
    store.close()
