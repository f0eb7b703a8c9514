"""Killed two hundred times, nothing acknowledged is lost and the old or the new model serves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval import lifecycle
from graphretrieval.config import Config
from graphretrieval.stores.migrate import folder_of
from graphretrieval.stores.sqlite import SqliteStore

from . import world
from .world import descriptions

KILLS = 50  # of each of the four kinds
WITHIN = 0.6  # seconds of work before a kill, at most
RESUMED = 5.0  # seconds that opening and answering may take after a kill
ROOT = Path(__file__).resolve().parents[2]

# each says "ready" when it has begun, then what is acknowledged, a line at a time, for ever
INGEST = """
n = kb.store.counts()["nodes"].get("text", 0)
folder = Path(sys.argv[2])
half_written = folder.parent / "half written"  # a file that a kill has torn is refused, as it must
while True:
    n += 1
    for i in range(5):
        half_written.write_text(f"topic{n % 8} note {n} part {i}")
        half_written.rename(folder / f"note{n}-{i}.txt")
    assert not kb.add(folder).refused
    say(sorted(p.name for p in folder.glob("*.txt")))
"""
REFIT = """
n = kb.store.revision
while True:
    n += 1
    links = descriptions(range(n % 100, n % 100 + 20))
    kb.store.upsert([], [replace(e, weight=1 + n % 997 / 1000) for e in links])  # never the same
    say([lifecycle.refit(kb, seed=n).version, kb.store.revision])
"""
SWAP = """
n = 0
while True:
    n += 1
    there = kb.bundles.versions()
    say([lifecycle.promote(kb, there[n % len(there)]), 0])
"""
WORK = {"ingest": INGEST, "refit": REFIT, "swap": SWAP}
CHILD = """
import json, sys
from dataclasses import replace
from pathlib import Path
import pytest
from graphretrieval import lifecycle
from graphretrieval.config import Config
from graphretrieval.retriever import open as open_kb
from tests.living import world
from tests.living.world import descriptions

def say(value):
    print(json.dumps(value), flush=True)

world.register(pytest.MonkeyPatch())
sys.stdin.readline()
kb = open_kb(sys.argv[1], config=Config({"cache_dir": sys.argv[3]}))
print("ready", flush=True)
"""


def killed(code: str, *arguments: Path, rng: np.random.Generator) -> Iterator[list[str]]:
    """The lines that one after another said until it was killed, at a random moment of its work.

    The next loads its modules while the caller looks at what the last has left.
    """
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE
    with ExitStack() as running:

        def begun() -> subprocess.Popen[str]:
            child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
            running.enter_context(child)
            running.callback(child.kill)
            return child

        waiting = begun()
        while True:
            child = waiting
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "ready\n"
            try:
                child.wait(timeout=float(rng.uniform(0, WITHIN)))
            except subprocess.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
            else:
                raise AssertionError("it ended by itself")
            said = child.stdout.read().splitlines()
            waiting = begun()
            yield [line for line in said if line.endswith(("]", '"'))]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a model, and a folder of files."""
    world.register(monkeypatch)
    config = Config({"cache_dir": str(tmp_path / "cache")})
    store = SqliteStore(tmp_path / "world.db")
    world.topics(store)
    world.served(store, tmp_path / "world.db", config)
    store.close()
    (tmp_path / "notes").mkdir()
    return tmp_path


def resumed(place: Path) -> tuple[gr.Retriever, float]:
    """The collection opened again, and how long that took until it had answered."""
    started = time.perf_counter()
    kb = gr.open(place / "world.db", config=Config({"cache_dir": str(place / "cache")}))
    answer = kb.search("topic3 text", target="image", k=3)
    assert len(answer.hits) == 3
    assert answer.model in kb.bundles.versions()
    assert answer.model == kb.bundles.current()
    return kb, time.perf_counter() - started


def series(place: Path, kind: str, check: Callable[[gr.Retriever, list[str]], None]) -> None:
    arguments = [place / name for name in ("world.db", "notes", "cache")]
    slowest, acknowledged = 0.0, 0
    with closing(killed(CHILD + WORK[kind], *arguments, rng=np.random.default_rng(0))) as runs:
        for told in islice(runs, KILLS):
            kb, seconds = resumed(place)
            slowest, acknowledged = max(slowest, seconds), acknowledged + len(told)
            check(kb, told)
            for version in kb.bundles.versions():
                assert kb.bundles.load(version) is not None
            kb.close()
    print(f"{kind}: {KILLS} kills, {acknowledged} acknowledged, resumed within {slowest:.1f} s")
    assert acknowledged
    assert slowest < RESUMED


@pytest.mark.slow
def test_ingest_killed_fifty_times_loses_nothing_acknowledged(place: Path) -> None:
    def check(kb: gr.Retriever, told: list[str]) -> None:
        for name in json.loads(told[-1]) if told else ():
            node = kb.store.get([f"notes/{name}"])[0]
            assert node is not None
            assert kb.store.text_search([str(node.text)], 50)[0]

    series(place, "ingest", check)


@pytest.mark.slow
def test_refit_killed_fifty_times_serves_the_old_model_or_the_new(place: Path) -> None:
    def check(kb: gr.Retriever, told: list[str]) -> None:
        for line in told:
            version, revision = json.loads(line)
            assert version in kb.bundles.versions()
            assert kb.store.revision >= revision
        lifecycle.refit(kb)  # whatever was left behind does not stand in the way
        if len(kb.bundles.versions()) > 12:
            lifecycle.prune(kb, keep=3)

    series(place, "refit", check)


@pytest.mark.slow
def test_swaps_killed_fifty_times_leave_one_model_in_service(place: Path) -> None:
    kb, _ = resumed(place)
    for seed in range(2):
        kb.store.upsert([], descriptions(range(60 + 20 * seed, 80 + 20 * seed)))
        lifecycle.refit(kb, seed=seed)
    kb.close()
    assert len(kb.bundles.versions()) == 3

    def check(kb: gr.Retriever, told: list[str]) -> None:
        assert kb.bundles.former() != kb.bundles.current()

    series(place, "swap", check)


MIGRATE = """
import sys
from pathlib import Path
from graphretrieval.stores import migrate
from graphretrieval.stores.sqlite import SqliteStore
migrate.folder_of = lambda kind: Path(sys.argv[2])
print("ready", flush=True)
SqliteStore(Path(sys.argv[1])).close()
print('"migrated"', flush=True)
"""


@pytest.mark.slow
def test_migrations_killed_fifty_times_are_done_whole_or_not_at_all(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place / "migrations"
    shutil.copytree(folder_of("sqlite"), folder)
    monkeypatch.setattr("graphretrieval.stores.migrate.folder_of", lambda kind: folder)
    rng = np.random.default_rng(0)
    nodes = SqliteStore(place / "world.db").counts()["nodes"]
    for i in range(KILLS):
        number = len(list(folder.iterdir())) + 1
        columns = "\n".join(
            f"ALTER TABLE nodes ADD COLUMN extra{number}_{j} TEXT;\n"
            f"UPDATE nodes SET extra{number}_{j} = title;"
            for j in range(3)
        )
        (folder / f"V{number:03d}__more{i}.sql").write_text(columns + "\n")
        with subprocess.Popen(
            [sys.executable, "-c", MIGRATE, str(place / "world.db"), str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            try:
                child.wait(timeout=float(rng.uniform(0, 0.05)))
            except subprocess.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
        started = time.perf_counter()
        store = SqliteStore(place / "world.db")
        assert time.perf_counter() - started < RESUMED
        assert store.counts()["nodes"] == nodes
        assert store.migrate(dry_run=True) == []
        store.close()
