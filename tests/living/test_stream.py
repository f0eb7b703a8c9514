"""Folders are followed into the store, and the store into the next model."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from graphretrieval import lifecycle
from graphretrieval.config import Config
from graphretrieval.errors import QueryError
from graphretrieval.lifecycle import Policy
from graphretrieval.protocols import GraphStore
from graphretrieval.retriever import Retriever
from graphretrieval.stream import Ingest, Trainer

from .conftest import every_store
from .world import descriptions

Told = "queue.Queue[Mapping[str, Any]]"


@pytest.fixture
def watched(
    new_store: Callable[[], GraphStore], config: Config, tmp_path: Path
) -> Iterator[tuple[Retriever, Path, queue.Queue[Mapping[str, Any]]]]:
    """A folder that is being watched, its store, and what is told of it."""
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "first.txt").write_text("the first letter", "utf-8")
    told: queue.Queue[Mapping[str, Any]] = queue.Queue()
    stop = threading.Event()
    with Retriever(new_store(), tmp_path / "x", config) as kb:
        ingest = Ingest(kb, [folder], told.put, settled=0.3, patience=5)
        thread = threading.Thread(target=ingest.run, args=(stop,))
        thread.start()
        assert told.get(timeout=30)["nodes"] == 1  # the first look
        yield kb, folder, told
        stop.set()
        thread.join(timeout=30)
        assert not thread.is_alive()


def until(
    told: queue.Queue[Mapping[str, Any]], done: Callable[[], bool]
) -> list[Mapping[str, Any]]:
    """Rounds until something is so."""
    rounds = []
    while not done():
        rounds.append(told.get(timeout=30))
    return rounds


def ids(kb: Retriever) -> set[str]:
    return {n.id for n in kb.store.nodes("text")}


@every_store
def test_a_new_file_comes_in_and_the_lag_is_told(watched: Any) -> None:
    kb, folder, told = watched
    (folder / "second.txt").write_text("the second letter", "utf-8")
    rounds = until(told, lambda: "letters/second.txt" in ids(kb))
    assert 0.3 <= rounds[-1]["lag_seconds"] < 10


@every_store
def test_a_burst_of_files_is_one_round(watched: Any) -> None:
    kb, folder, told = watched
    for i in range(100):
        (folder / f"note{i}.txt").write_text(f"note number {i}", "utf-8")
    rounds = until(told, lambda: len(ids(kb)) == 101)
    assert len(rounds) <= 2


def test_a_file_that_is_still_being_written_is_waited_for(watched: Any) -> None:
    kb, folder, told = watched
    pause = threading.Event()
    with (folder / "slow.txt").open("w") as f:
        for word in ("one", "two", "three", "four"):
            f.write(f"{word} ")
            f.flush()
            pause.wait(0.15)  # shorter than the quiet that is waited for
    rounds = until(told, lambda: "letters/slow.txt" in ids(kb))
    assert len(rounds) == 1
    assert kb.store.get(["letters/slow.txt"])[0].text.split() == ["one", "two", "three", "four"]


@every_store
def test_a_deleted_file_goes(watched: Any) -> None:
    kb, folder, told = watched
    (folder / "first.txt").unlink()
    until(told, lambda: ids(kb) == set())


@every_store
def test_a_renamed_file_keeps_its_node_and_its_links(watched: Any) -> None:
    kb, folder, told = watched
    (folder / "other.txt").write_text("another letter", "utf-8")
    until(told, lambda: "letters/other.txt" in ids(kb))
    kb.link("letters/first.txt", "ANSWERS", "letters/other.txt")
    (folder / "1843").mkdir()
    shutil.move(folder / "first.txt", folder / "1843" / "renamed.txt")
    until(told, lambda: str(kb.store.get(["letters/first.txt"])[0].uri).endswith("renamed.txt"))
    assert ids(kb) == {"letters/first.txt", "letters/other.txt"}
    assert [e.type for e in kb.store.neighbours(["letters/first.txt"], types=["ANSWERS"])[0]] == [
        "ANSWERS"
    ]


@every_store
def test_a_moved_file_that_changes_later_is_still_the_same_node(
    new_store: Callable[[], GraphStore], config: Config, tmp_path: Path
) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a.txt").write_text("the first version", "utf-8")
    with Retriever(new_store(), tmp_path / "x", config) as kb:
        kb.add(folder)
        (folder / "a.txt").rename(folder / "b.txt")
        kb.add(folder, prune=True)
        (folder / "b.txt").write_text("the second version, longer", "utf-8")
        kb.add(folder, prune=True)
        (folder / "b.txt").rename(folder / "c.txt")
        kb.add(folder, prune=True)
        (node,) = kb.store.nodes("text")
    assert node.id == "letters/a.txt"
    assert node.text == "the second version, longer"
    assert str(node.uri).endswith("c.txt")


def test_a_copy_is_another_node(
    new_store: Callable[[], GraphStore], config: Config, tmp_path: Path
) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a.txt").write_text("a letter", "utf-8")
    with Retriever(new_store(), tmp_path / "x", config) as kb:
        kb.add(folder)
        shutil.copy(folder / "a.txt", folder / "b.txt")
        kb.add(folder, prune=True)
        assert {n.id for n in kb.store.nodes("text")} == {"letters/a.txt", "letters/b.txt"}


def test_a_folder_that_is_none_is_refused(kb: Retriever, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="is no folder"):
        Ingest(kb, [tmp_path / "nowhere"], print).run(threading.Event())


# --- training ----------------------------------------------------------------------------------


@every_store
def test_the_trainer_refits_when_enough_links_were_made_and_not_before(kb: Retriever) -> None:
    told: queue.Queue[Mapping[str, Any]] = queue.Queue()
    stop = threading.Event()
    trainer = Trainer(kb, Policy(links=50), told.put, every=0.02)
    thread = threading.Thread(target=trainer.run, args=(stop,))
    thread.start()
    try:
        kb.store.upsert([], descriptions(range(60, 70)))
        kb.store.upsert([], descriptions(range(70, 110)))
        said = told.get(timeout=30)
    finally:
        stop.set()
        thread.join()
    assert said["promoted"]
    assert said["behind_links"] >= 50
    assert kb.bundles.current() == said["version"]
    assert told.empty()


def test_a_failed_refit_is_told_and_does_not_end_the_trainer(
    kb: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: queue.Queue[Mapping[str, Any]] = queue.Queue()
    stop = threading.Event()
    kb.store.upsert([], descriptions(range(60, 110)))
    thread = threading.Thread(
        target=Trainer(kb, Policy(links=1), told.put, every=0.02).run, args=(stop,)
    )
    with lifecycle._alone(kb):  # somebody else is refitting
        thread.start()
        assert "another process is refitting" in told.get(timeout=30)["failed"]
    kb.link("txt111", "DESCRIBES", "img111")
    assert told.get(timeout=30)["promoted"]
    stop.set()
    thread.join()


@pytest.mark.parametrize("service", ["ingest", "trainer"])
def test_services_stop_cleanly_when_told_to(tmp_path: Path, service: str) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a.txt").write_text("a letter", "utf-8")
    command = [sys.executable, "-m", f"services.{service}", "--store", str(tmp_path / "x.db")]
    more = [str(folder)] if service == "ingest" else ["--every", "0.1"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [*command, *more], stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ}
    ) as child:
        assert child.stdout is not None
        if service == "ingest":
            assert json.loads(child.stdout.readline())["nodes"] == 1
        else:
            while not (tmp_path / "x.db").exists():
                assert child.poll() is None
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=30) in (0, -signal.SIGTERM if service == "trainer" else 0)
