"""Queries go on, correct and steady, while links are made and models are retrained."""

from __future__ import annotations

import os
import resource
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from graphretrieval import lifecycle
from graphretrieval.config import Config
from graphretrieval.cpus import threads
from graphretrieval.retriever import Retriever
from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import DESCRIBES

from . import world

MINUTES = float(os.environ.get("GRAPHRETRIEVAL_LOAD_MINUTES", "10"))
QUIET = 20.0  # seconds
# of a short run the slowest hundredth is a refit or two
SLOWER, GROWTH_MB = 3.0 if MINUTES >= 10 else 8.0, 200


@pytest.mark.slow
def test_queries_stay_correct_and_steady_under_links_and_refits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register(monkeypatch)
    # as many as a service has, where other tests have one: they get in each other's way
    config = Config({"cache_dir": str(tmp_path / "cache"), "threads": threads()})
    store = SqliteStore(tmp_path / "world.db")
    world.topics(store, n=2000, linked=1000)
    kb = world.served(store, tmp_path / "world.db", config)
    kb.serving.prime()
    quiet = _asked(kb, QUIET)
    stop, wrong, made = threading.Event(), [], [0, 0]

    def links() -> None:
        rng = np.random.default_rng(0)
        while not stop.wait(0.05):
            a, b = rng.integers(0, 2000, 2)
            try:
                kb.link(f"txt{a:03d}", DESCRIBES, f"img{(b - b % 8 + a % 8) % 2000:03d}")
                made[0] += 1
            except Exception as e:
                wrong.append(e)

    def refits() -> None:
        while not stop.wait(5):
            try:
                made[1] += lifecycle.refit(kb, seed=made[0]).promoted
                lifecycle.prune(kb, keep=2)
            except Exception as e:
                wrong.append(e)

    others = [threading.Thread(target=links), threading.Thread(target=refits)]
    for thread in others:
        thread.start()
    _asked(kb, 10)  # whatever is loaded once is loaded
    before = _memory_mb()
    busy = _asked(kb, 60 * MINUTES)
    after = _memory_mb()
    stop.set()
    for thread in others:
        thread.join()
    p99 = [float(np.percentile(x, 99)) for x in (quiet, busy)]
    print(
        f"{len(busy)} queries in {MINUTES} min, {made[0]} links, {made[1]} refits promoted: "
        f"p50 {np.median(busy):.1f} ms, p99 {p99[1]:.1f} ms; quiet p50 {np.median(quiet):.1f} ms, "
        f"p99 {p99[0]:.1f} ms; memory {before:.0f} to {after:.0f} MB"
    )
    assert wrong == []
    assert made[1] > 0
    assert p99[1] <= SLOWER * p99[0]
    assert after - before < GROWTH_MB


def _asked(kb: Retriever, seconds: float) -> list[float]:
    """Milliseconds of queries one after another; each is answered with what was asked for."""
    rng, spent = np.random.default_rng(1), []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        answer = kb.search(f"topic{rng.integers(8)} text {rng.integers(9999)}", target="image")
        spent.append(1e3 * (time.perf_counter() - started))
        assert len(answer.hits) == 10
        assert answer.model is not None
    return spent


def _memory_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * resource.getpagesize() / 2**20
