"""Limits that keep the service up: cost a minute for each client, and a queue that sheds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any

from graphretrieval.api.problems import Refused

# clients whose budget is remembered; who was not heard of longest has a full one anyway
CLIENTS = 10_000


class Budget:
    """A bucket of cost for each client, refilled all the time; one minute's worth fits in."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def charge(self, client: str, cost: float, now: float | None = None) -> None:
        """Take a query's cost.

        Raises:
            Refused: 429 with the seconds after which there is enough; nothing is taken.
        """
        if not self.per_minute:
            return
        now = time.monotonic() if now is None else now
        left, then = self._left.get(client, (self.per_minute, now))
        left = min(self.per_minute, left + (now - then) * self.per_minute / 60)
        enough = left >= cost
        self._left[client] = (left - cost if enough else left, now)
        self._left.move_to_end(client)
        while len(self._left) > CLIENTS:
            self._left.popitem(last=False)
        if not enough:
            wait = min(60.0, (cost - left) * 60 / self.per_minute)
            raise Refused(
                "RATE_LIMITED",
                429,
                f"this query costs {cost:.0f}, and {left:.0f} of {self.per_minute:.0f} a minute "
                "are left",
                remedy=f"wait {wait:.0f} s, or ask for less at once",
                retry=wait,
            )


class Queue:
    """``workers`` run, ``waiting`` wait, the others are told to come back: no collapse.

    Args:
        patience: seconds after which one who waits is told to come back; None waits for ever.
    """

    def __init__(self, workers: int, waiting: int, *, patience: float | None = None) -> None:
        self.workers, self.waiting, self.patience = workers, waiting, patience
        self.inside = 0
        self.shed = 0
        self.closing = False
        self._turn = asyncio.Semaphore(workers)
        self._owed = 0  # threads that run on without a turn of their own
        self._seconds = 0.1  # running mean of one turn, for Retry-After

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one of the workers.

        Raises:
            Refused: 503 where the queue is full, none of the workers is free within the patience,
                or the service is stopping.
        """
        if self.closing or self.inside >= self.workers + self.waiting:
            why = "the service is stopping" if self.closing else "too many queries are waiting"
            raise self._later(why)
        self.inside += 1
        try:
            await asyncio.wait_for(self._turn.acquire(), self.patience)
        except BaseException as e:
            self.inside -= 1
            if isinstance(e, TimeoutError):
                raise self._later("those who ask keep each other waiting") from e
            raise
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds += 0.05 * (time.monotonic() - started - self._seconds)
            self._leave()

    def keep(self, running: Future[Any]) -> None:
        """Leave a turn taken until a thread has ended for whose result nobody waits any more.

        A thread cannot be stopped: were its turn free, those who take it would find no worker.
        """
        loop = asyncio.get_running_loop()
        self._owed += 1
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))

    def _leave(self) -> None:
        """End a turn or a thread that was kept: while some are owed a turn, it passes to them."""
        if self._owed:
            self._owed -= 1
            return
        self.inside -= 1
        self._turn.release()

    def _later(self, why: str) -> Refused:
        self.shed += 1
        retry = max(1.0, self.inside * self._seconds / self.workers)
        return Refused("OVERLOADED", 503, why, remedy="try again a little later", retry=retry)


class Streams:
    """Open subscriptions, a bounded number for each client and in all."""

    def __init__(self, each: int, total: int = 200) -> None:
        self.each, self.total = each, total
        self._open: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._open.values())

    def enter(self, client: str) -> None:
        """Count one more.

        Raises:
            Refused: 429, the client or the service holds enough.
        """
        if self._open.get(client, 0) >= self.each or len(self) >= self.total:
            raise Refused(
                "TOO_MANY_STREAMS",
                429,
                f"{self._open.get(client, 0)} subscriptions are open",
                remedy="close some, or share one",
            )
        self._open[client] = self._open.get(client, 0) + 1

    def leave(self, client: str) -> None:
        """Count one less."""
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]
