"""The knowledge base as a service: threads around it, uploads and jobs beside it."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from graphretrieval import cpus
from graphretrieval.api.categories import Tree
from graphretrieval.api.inbox import Inbox
from graphretrieval.api.jobs import Jobs
from graphretrieval.api.limits import Budget, Queue, Streams
from graphretrieval.api.logs import LOG
from graphretrieval.api.problems import Refused
from graphretrieval.api.uploads import Uploads
from graphretrieval.errors import QueryError
from graphretrieval.retriever import Retriever
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import Answer

T = TypeVar("T")
# hits kept of the latest answers, so that the next page of one costs nothing: 128 usual rankings
HITS = 128 * 128
#: Deepest page of a ranking.
MOST = 1000


class Service:
    """What every request shares.

    Args:
        kb: used from many threads; its model is brought up to date by one of them at a time.
    """

    def __init__(self, kb: Retriever) -> None:
        self.kb, self.config = kb, kb.config
        # searches side by side share the cores: threads beyond them wait for each other
        share = cpus.threads() // self.config["search_workers"]
        kb.serving.threads = self.config["threads"] or max(1, share)
        self.queue = Queue(
            self.config["search_workers"],
            self.config["queue"],
            patience=self.config["query_seconds"],
        )
        self.budget = Budget(self.config["cost_per_minute"])
        self.streams = Streams(self.config["max_subscriptions"])
        self.jobs, self.uploads = Jobs(), Uploads()
        self.inbox = Inbox(kb)
        self._threads = ThreadPoolExecutor(self.config["search_workers"], "search")
        # thumbnails and store reads, so that they never wait behind a search
        self._reads = ThreadPoolExecutor(4, "read")
        self._reader = MediaReader(Limits.of(self.config))
        self._reading = threading.Lock()
        self._fresh = threading.Lock()
        #: Whether a search would be answered at once.
        self.ready = False
        self.tree: Tree | None = None
        self._answers: OrderedDict[tuple[Any, ...], Answer] = OrderedDict()

    def close(self) -> None:
        """Finish what runs, then let go of everything."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._reads.shutdown(wait=True, cancel_futures=True)
        self._reader.close()
        self.uploads.close()

    async def work(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run what takes a core (a search) on one of the search threads, within the deadline.

        A thread that has passed the deadline runs on, and its turn is taken until it has ended.

        Raises:
            Refused: 503, it took too long.
        """
        running = self._threads.submit(partial(call, *arguments, **named))
        try:
            return await asyncio.wait_for(
                asyncio.wrap_future(running), self.config["query_seconds"]
            )
        except TimeoutError as e:
            raise Refused(
                "TIMED_OUT",
                503,
                f"the query took longer than {self.config['query_seconds']:g} s",
                remedy="ask for less, or raise query_seconds",
            ) from e
        finally:
            if not running.cancel() and not running.done():
                self.queue.keep(running)

    async def read(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run a short store read on a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reads, partial(call, *arguments, **named))

    def newest(self) -> tuple[str, int]:
        """Bring what is served up to the newest revision; its version and revision."""
        if not self.ready:
            with self._fresh:
                if not self.ready:
                    self._warm()
        live = self.kb.serving.newest()
        return live.version, live.revision

    def _warm(self) -> None:
        """Load what a first query and a first change would load."""
        self.kb.serving.prime()
        try:
            self.kb.search("warm", k=1)
        except QueryError:
            LOG.info("the collection cannot be asked by words")
        self.ready = True

    def answer(self, k: int, **query: Any) -> Answer:
        """A search's answer; asked again at the same revision it is remembered.

        Whether it is degraded is told anew each time: a store may go away and come back meanwhile.
        """
        if not 1 <= k <= MOST:
            raise QueryError(f"{k} results were asked for", remedy=f"ask for 1 to {MOST}")
        key = (self.newest(), k, repr(sorted(query.items())))
        found = self._answers.get(key)
        if found is None:
            found = self.kb.search(k=k, **query)
            with self._fresh:
                self._answers[key] = found
                while sum(1 + len(a.hits) for a in self._answers.values()) > HITS:
                    self._answers.popitem(last=False)
        return replace(found, degraded=self.kb.serving.degraded)

    def media(self, call: Callable[[MediaReader], T]) -> T:
        """Use the decoding children, one caller at a time."""
        with self._reading:
            return call(self._reader)

    def files(self, uploads: Sequence[tuple[str, float]]) -> dict[str, list[tuple[str, float]]]:
        """Upload ids and weights → search terms ``{"image": […], "audio": […]}``."""
        out: dict[str, list[tuple[str, float]]] = {}
        for ident, weight in uploads:
            upload = self.uploads.get(ident)
            out.setdefault(upload.modality, []).append((str(upload.path), weight))
        return out
