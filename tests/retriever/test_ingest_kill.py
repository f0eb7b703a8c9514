"""Ingest killed at random moments and run again ends where an uninterrupted one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graphretrieval.protocols import GraphStore
from graphretrieval.sources.toy import write_toy
from graphretrieval.stores.sqlite import SqliteStore

KILLS = 20


def _graph(store: GraphStore) -> tuple[set[str], set[tuple[str, str, str]]]:
    return (
        {n.id for n in store.nodes()},
        {(e.src, e.type, e.dst) for e in store.edges(status=None)},
    )


def _start(path: Path, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "graphretrieval", "--store", str(path), "add", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_twenty_kills_and_a_last_run_give_the_uninterrupted_graph(tmp_path: Path) -> None:
    for seed in range(8):
        write_toy(tmp_path / "museum" / f"hall{seed}", seed=seed)
    assert _start(tmp_path / "whole.db", tmp_path / "museum").wait() == 0
    whole = SqliteStore(tmp_path / "whole.db")
    rng = np.random.default_rng(0)
    killed, done = 0, 0
    while killed < KILLS:
        path = tmp_path / f"cut{done}.db"
        seen: tuple[set[str], set[tuple[str, str, str]]] = (set(), set())
        while killed < KILLS:
            child = _start(path, tmp_path / "museum")
            try:
                code = child.wait(timeout=float(rng.uniform(0.4, 1.8)))
                assert code == 0
                break
            except subprocess.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
                child.wait()
                killed += 1
            store = SqliteStore(path)
            now = _graph(store)
            store.close()
            assert seen[0] <= now[0]  # nothing that was there is lost
            assert seen[1] <= now[1]
            seen = now
        assert _start(path, tmp_path / "museum").wait() == 0
        store = SqliteStore(path)
        assert _graph(store) == _graph(whole)
        store.close()
        done += 1
    whole.close()
