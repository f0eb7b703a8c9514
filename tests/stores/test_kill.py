"""An acknowledged write survives a kill at any moment."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graphretrieval.stores.sqlite import SqliteStore

_WRITE = """
import sys
from pathlib import Path
from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import Edge, Node
store = SqliteStore(Path(sys.argv[1]))
print("ready", flush=True)
n = store.revision
while True:
    n += 1
    nodes = [Node(f"n{n}-{i}", "text", text=f"write {n} part {i}") for i in range(20)]
    edges = [Edge(f"n{n}-{i}", "NEXT", f"n{n}-{i + 1}") for i in range(19)]
    print(store.upsert(nodes, edges), flush=True)
"""


@pytest.mark.slow
def test_twenty_kills_lose_nothing_acknowledged_and_leave_no_half_write(tmp_path: Path) -> None:
    path = tmp_path / "graph.db"
    SqliteStore(path).close()
    rng = np.random.default_rng(0)
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITE, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            try:
                child.wait(timeout=float(rng.uniform(0.0, 0.4)))
            except subprocess.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
            told = [int(line) for line in child.stdout if line.strip().isdigit()]
        store = SqliteStore(path)
        assert store.revision >= max(told, default=0)
        for n in range(1, store.revision + 1):
            assert None not in store.get([f"n{n}-{i}" for i in range(20)])
        assert store.counts()["edges"].get("NEXT", 0) == 19 * store.revision
        store.close()
    with sqlite3.connect(path) as c:
        assert c.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    c.close()
    assert SqliteStore(path).revision > 0
