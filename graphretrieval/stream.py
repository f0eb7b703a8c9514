"""Following what changes: folders into the store, the store into the next model.

Both run until they are told to stop, finish what they have begun, and begin anew where they ended:
ingest by the stamps of files read, training by the revision that the model was learned from.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphretrieval import lifecycle, privacy
from graphretrieval.errors import GraphRetrievalError, NotFitted, QueryError
from graphretrieval.lifecycle import Policy
from graphretrieval.retriever import Retriever
from graphretrieval.types import JSON

#: Seconds of quiet after which a file is taken to be written to its end, and the longest wait.
SETTLED, PATIENCE = 1.0, 30.0
# how often the store is asked whether it has moved on
EVERY = 2.0
# how often a watch that nothing happens on looks whether it is to stop, in milliseconds
LOOK_MS = 200

#: Called with what was done and how far behind it is.
Tell = Callable[[Mapping[str, JSON]], None]


@dataclass
class Ingest:
    """Keeps a store up to date with folders.

    Args:
        kb: what is added to.
        folders: watched with all below them.
        tell: hears of every round: what came in, what was refused, and the ``lag_seconds`` between
            the first change that it took in and its end.
        settled: seconds without any change before files are read: half-written ones are waited for.
        patience: seconds after which they are read even so.
        prune: remove what vanishes from the folders.
    """

    kb: Retriever
    folders: Sequence[Path]
    tell: Tell
    settled: float = SETTLED
    patience: float = PATIENCE
    prune: bool = True

    def run(self, stop: threading.Event) -> None:
        """Take in what is there, then what changes, until ``stop`` is set.

        Raises:
            QueryError: one of the folders is none.
        """
        for folder in self.folders:
            if not folder.is_dir():
                raise QueryError(f"{folder} is no folder", remedy="name folders that are there")
        privacy.resume(self.kb)
        changes = self._changes(stop)
        next(changes)  # the watch is set up before the first look, so that nothing falls between
        self._round(self.folders, time.time())
        for first, touched in changes:
            self._round([f for f in self.folders if _within(touched, f)], first)

    def _changes(self, stop: threading.Event) -> Iterator[tuple[float, set[str]]]:
        """Bursts of changes, each when it has ended: since when, and what was touched."""
        from watchfiles import watch

        first, touched, last = 0.0, set[str](), 0.0
        watching = watch(
            *self.folders,
            stop_event=stop,
            debounce=50,
            step=20,
            rust_timeout=LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        yield 0.0, touched
        for events in watching:
            now = time.time()
            if events:
                first = first or now
                last = now
                touched |= {path for _, path in events}
            if touched and (now - last >= self.settled or now - first >= self.patience):
                yield first, touched
                first, touched = 0.0, set()
        if touched:
            yield first, touched

    def _round(self, folders: Sequence[Path], since: float) -> None:
        for folder in folders:
            started = time.time()
            try:
                report = self.kb.add(folder, prune=self.prune).to_json()
            except GraphRetrievalError as e:
                # the next change tries again; a busy store or a vanished folder is no reason to end
                self.tell({"folder": str(folder), "failed": str(e)})
                continue
            lag = time.time() - (since or started)
            self.tell({"folder": str(folder), **report, "lag_seconds": round(lag, 2)})


@dataclass
class Trainer:
    """Refits a collection's model as its links grow.

    Args:
        kb: read, and given new models.
        policy: when.
        tell: hears of every refit, and how many links and seconds the model was behind.
        every: seconds between looks at the store.
        seed: of the refits.
    """

    kb: Retriever
    policy: Policy
    tell: Tell
    every: float = EVERY
    seed: int = 0

    def run(self, stop: threading.Event) -> None:
        """Look and refit until ``stop`` is set."""
        seen = -1
        while not stop.is_set():
            revision = self.kb.store.revision
            if revision != seen or self.policy.minutes:
                seen = revision
                self._look()
            stop.wait(self.every)

    def _look(self) -> None:
        try:
            links, seconds = lifecycle.new_links(self.kb)
            if not self.policy.due(links, seconds):
                return
            report: Mapping[str, Any] = lifecycle.refit(self.kb, seed=self.seed).to_json()
        except NotFitted:
            return  # the first model is made by hand
        except GraphRetrievalError as e:
            self.tell({"failed": str(e)})
            return
        self.tell({**report, "behind_links": links, "behind_seconds": round(seconds, 1)})


def _within(touched: set[str], folder: Path) -> bool:
    root = folder.resolve()
    return any(Path(path).resolve().is_relative_to(root) for path in touched)
