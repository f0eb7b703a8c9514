"""Long work in the background, one at a time, with progress that several may watch."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

from graphretrieval.api.problems import Refused, described
from graphretrieval.protocols import Progress

KEPT = 50


@dataclass(frozen=True)
class Job:
    """What is known of one piece of work; ``state`` is running, done or failed."""

    id: str
    kind: str
    state: str
    done: int = 0
    total: int = 0
    what: str = ""
    result: Any = None
    error: dict[str, Any] | None = None
    started: float = 0.0
    seconds: float = 0.0


class Jobs:
    """Work that outlives the request that began it."""

    def __init__(self) -> None:
        self.all: dict[str, Job] = {}
        self._numbers = itertools.count(1)
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def running(self) -> Job | None:
        """The job at work, if any."""
        return next((j for j in self.all.values() if j.state == "running"), None)

    def idle(self) -> None:
        """Refuse what may not be done while a job is at work.

        Raises:
            Refused: 409, one is.
        """
        if (busy := self.running()) is not None:
            raise Refused(
                "JOB_RUNNING",
                409,
                f"{busy.kind} {busy.id} is running",
                remedy="wait until it has finished; its progress is a subscription",
            )

    def start(self, kind: str, work: Callable[[Progress], Any]) -> Job:
        """Run ``work(progress)`` on a thread.

        Raises:
            Refused: another job is running.
        """
        self.idle()
        job = Job(f"job{next(self._numbers)}", kind, "running", started=time.time())
        self.all[job.id] = job
        while len(self.all) > KEPT:
            del self.all[next(iter(self.all))]
        task = asyncio.create_task(self._run(job.id, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def _run(self, ident: str, work: Callable[[Progress], Any]) -> None:
        loop = asyncio.get_running_loop()

        def progress(done: int, total: int, what: str) -> None:
            asyncio.run_coroutine_threadsafe(
                self._set(ident, done=done, total=total, what=what), loop
            )

        try:
            result = await asyncio.to_thread(work, progress)
        except Exception as e:  # the job's failure is its result, not the service's end
            await self._set(ident, state="failed", error=described(e))
        else:
            await self._set(ident, state="done", result=result)

    async def _set(self, ident: str, **changes: Any) -> None:
        async with self._changed:
            job = self.all.get(ident)
            if job is not None and job.state == "running":
                self.all[ident] = replace(job, seconds=time.time() - job.started, **changes)
            self._changed.notify_all()

    async def watch(self, ident: str | None = None) -> AsyncIterator[Job]:
        """A job as it goes on, until it ends; without an id, whatever runs next and now."""
        last: Job | None = None
        while True:
            async with self._changed:
                while (now := self._latest(ident)) is None or now == last:
                    await self._changed.wait()
            yield now
            last = now
            if ident is not None and now.state != "running":
                return

    def _latest(self, ident: str | None) -> Job | None:
        if ident is not None:
            return self.all.get(ident)
        return next(reversed(self.all.values()), None)
