"""Which model answers, at which revision: loaded once, changed by deltas, swapped as a whole.

A query holds a share of the lock while it searches, a change holds it alone: an answer is made of
one version at one revision. Another version is made ready beside the one in service, and one
assignment puts it in its place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from graphretrieval import cpus
from graphretrieval.config import Config
from graphretrieval.errors import NotFitted, SnapshotTooOld
from graphretrieval.protocols import GraphStore
from graphretrieval.retriever.bundle import Bundles
from graphretrieval.retriever.live import Live, TooMuchChanged

#: Seconds until a version that could not be loaded is tried again: what was in the way may pass,
#: and to find a large one damaged takes a while too.
AGAIN = 10.0


class Serving:
    """The model in service at the store's newest revision."""

    def __init__(self, store: GraphStore, bundles: Bundles, config: Config) -> None:
        self.store, self.bundles, self.config = store, bundles, config
        #: Threads of one search's matrix products; 0 takes what the CPU quota allows.
        self.threads: int = config["threads"]
        self._live: Live | None = None
        self._lock = SharedLock()
        self._changing = threading.Lock()  # one delta at a time
        self._loading = threading.Lock()  # one version at a time
        self._refused: dict[str, tuple[Exception, float]] = {}  # why, and when

    @contextmanager
    def reading(self) -> Iterator[Live]:
        """What to search, not older than any write acknowledged before; it stays as it is inside.

        Raises:
            NotFitted: nothing has been learned yet.
        """
        self.newest()
        with self._lock.shared():
            live = self._live
            if live is None:
                raise NotFitted("the store was closed", remedy="open it again")
            yield live

    def newest(self) -> Live:
        """The model in service, brought to the store's newest revision.

        A version that somebody else has put in service is loaded beside the one that serves,
        which goes on until the other is ready.
        """
        version = self._version()
        live = self._live
        if live is None:
            live = self.swap()
        elif live.version != version and self._may_try(version):
            self._swap_beside()
        if live.revision < self.store.revision:
            with self._changing:
                live = self._live or live
                if live.revision < self.store.revision:
                    live = self._live = self._followed(live)
        return live

    def swap(self) -> Live:
        """Load the version named as current, if it is not the one that serves, and let it serve."""
        with self._loading:
            version, live = self._version(), self._live
            if live is not None and live.version == version:
                return live
            found = self.bundles.load(version)
            if found is None:
                raise NotFitted("nothing has been learned yet", remedy="run `graphretrieval fit`")
            cpus.settle(self.threads)
            since = int(found[0].meta["revision"])
            primed = live is not None and live.pushes is not None
            args = (version, *found, since, self.store, self.config)
            with cpus.one_thread():  # those who ask meanwhile need the others
                made = Live.load(*args, primed=primed)
                with self._changing:
                    if made.revision < self.store.revision:
                        made = self._followed(made)
                    self._live = made
            self._refused.clear()
            return made

    def renew(self) -> None:
        """After this process has put another version in service: serve it, if one serves at all."""
        if self._live is not None:
            self.swap()

    @property
    def refused(self) -> dict[str, Exception]:
        """The version that is meant to serve and could not be loaded, and why; else nothing.

        It is tried again after a while.
        """
        current = self.bundles.current()
        return {v: e for v, (e, _) in self._refused.copy().items() if v == current}

    @property
    def degraded(self) -> bool:
        """Whether answers are older than they should be: the model's, or what the store knows."""
        return bool(self.refused) or self.store.degraded

    def _version(self) -> str:
        version = self.bundles.current()
        if version is None:
            raise NotFitted("nothing has been learned yet", remedy="run `graphretrieval fit`")
        return version

    def _may_try(self, version: str) -> bool:
        refused = self._refused.get(version)
        return refused is None or time.monotonic() - refused[1] >= AGAIN

    def _swap_beside(self) -> None:
        if not self._loading.locked():
            threading.Thread(target=self._try_swap, name="next model", daemon=True).start()

    def _try_swap(self) -> None:
        version = self.bundles.current()
        try:
            self.swap()
        except Exception as e:  # whatever it is, the version in service goes on
            self._refused[str(version)] = e, time.monotonic()

    def prime(self) -> Live:
        """Be ready to take in changes by deltas: the first one would otherwise build everything."""
        live = self.newest()
        if live.pushes is None:
            with self._changing:
                live = self._live = self._rebuilt(live)
        return live

    def close(self) -> None:
        """Let go of what was loaded."""
        self._live = None

    def _followed(self, live: Live) -> Live:
        try:
            changes = self.store.changes_since(live.revision)
            with self._lock.alone():
                live.follow(changes)
        except (SnapshotTooOld, TooMuchChanged):
            return self._rebuilt(live)
        except BaseException:
            self._live = None  # it may be half changed: the next query loads it again
            raise
        return live

    def _rebuilt(self, live: Live) -> Live:
        args = (live.version, live.model, live.embedded(), live.revision, self.store, self.config)
        return Live.load(*args, primed=True)


class SharedLock:
    """Many at once, or one alone; those who want it alone go first."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._sharing = 0
        self._waiting = 0
        self._alone = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """With others who only look."""
        with self._condition:
            self._condition.wait_for(lambda: not self._alone and not self._waiting)
            self._sharing += 1
        try:
            yield
        finally:
            with self._condition:
                self._sharing -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """With nobody else."""
        with self._condition:
            self._waiting += 1
            self._condition.wait_for(lambda: not self._alone and not self._sharing)
            self._waiting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._condition:
                self._alone = False
                self._condition.notify_all()
