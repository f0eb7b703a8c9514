"""Limits that keep the service up: cost a minute for each client, and a queue that sheds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
    """``workers`` run, ``waiting`` wait, the others are told to come back: no collapse."""

    def __init__(self, workers: int, waiting: int) -> None:
        self.workers, self.waiting = workers, waiting
        self.inside = 0
        self.shed = 0
        self.closing = False
        self._turn = asyncio.Semaphore(workers)
        self._seconds = 0.1  # running mean of one turn, for Retry-After

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one of the workers.

        Raises:
            Refused: 503 where the queue is full or the service is stopping.
        """
        if self.closing or self.inside >= self.workers + self.waiting:
            self.shed += 1
            raise Refused(
                "OVERLOADED",
                503,
                "the service is stopping" if self.closing else "too many queries are waiting",
                remedy="try again a little later",
                retry=max(1.0, self.inside * self._seconds / self.workers),
            )
        self.inside += 1
        try:
            async with self._turn:
                started = time.monotonic()
                try:
                    yield
                finally:
                    self._seconds += 0.05 * (time.monotonic() - started - self._seconds)
        finally:
            self.inside -= 1


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
