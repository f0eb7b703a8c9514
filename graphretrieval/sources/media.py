"""Decoding in child processes with a memory cap and a deadline: a bad file costs only itself."""

from __future__ import annotations

import multiprocessing as mp
import resource
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from graphretrieval.errors import GraphRetrievalError, InputRefused, TooLarge, Undecodable
from graphretrieval.sources import decode
from graphretrieval.sources.decode import Inspection, Limits
from graphretrieval.types import (
    AudioContent,
    Content,
    ImageContent,
    Modality,
    Node,
    TextContent,
)

T = TypeVar("T")
WORKERS = 2
# files a child is given at once: a message costs more than a small file
CHUNK = 16

__all__ = ["Inspection", "Limits", "MediaReader"]


@dataclass(frozen=True, slots=True)
class _Task:
    """One file for a child: which function of :mod:`decode`, and its arguments."""

    function: str
    arguments: tuple[Any, ...]


class MediaReader:
    """Reads untrusted files; close it, or use ``with``, so that no child stays behind."""

    def __init__(self, limits: Limits, *, workers: int = WORKERS) -> None:
        self.limits = limits
        self.workers = workers
        self._children: list[_Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the children."""
        for child in self._children:
            child.kill()
        self._children.clear()

    def inspect(self, paths: Sequence[Path]) -> list[Inspection | InputRefused]:
        """Decode files far enough to be sure of them, in order."""
        return self.run([_Task("inspect", (path,)) for path in paths])

    def load(self, nodes: Sequence[Node]) -> Iterator[Content | InputRefused]:
        """Decoded content of nodes, in order; texts come from the nodes themselves."""
        tasks = [_task_of(node) for node in nodes]
        results = iter(self.run([t for t in tasks if t is not None]))
        for node, task in zip(nodes, tasks, strict=True):
            if task is None:
                yield TextContent(node.text or node.title or "", node.lang)
                continue
            found = next(results)
            if isinstance(found, InputRefused):
                yield found
            elif node.modality == Modality.IMAGE:
                yield ImageContent(found)
            else:
                yield AudioContent(found, self.limits.audio_rate)

    def pdf_pages(self, path: Path) -> tuple[str | None, list[str]] | InputRefused:
        """Title and text by page of a PDF."""
        return self.run([_Task("pdf_pages", (path,))])[0]  # type: ignore[no-any-return]

    def run(self, tasks: Sequence[_Task]) -> list[Any]:
        """Results in order; a refusal, crash or time-out is an ``InputRefused`` in its place."""
        results: list[Any] = [None] * len(tasks)
        waiting = deque(
            list(range(i, min(i + CHUNK, len(tasks)))) for i in range(0, len(tasks), CHUNK)
        )
        while len(self._children) < min(self.workers, len(waiting)):
            self._children.append(_Child(self.limits))
        busy: dict[Connection, _Child] = {}
        while waiting or busy:
            for child in self._children:
                if waiting and child.idle:
                    child.give(waiting.popleft(), tasks)
                    busy[child.pipe] = child
            ready = wait(list(busy), timeout=self.limits.seconds)
            late = [] if ready else list(busy.values())
            for pipe in ready:
                child = busy[pipe]  # type: ignore[index]
                if not child.receive(results):
                    late.append(child)
                elif child.idle:
                    del busy[child.pipe]
            for child in late:
                del busy[child.pipe]
                waiting.extendleft(child.replace(results, late=not ready))
        return results


def _task_of(node: Node) -> _Task | None:
    if node.modality == Modality.IMAGE and node.uri:
        return _Task("load_image", (Path(node.uri),))
    if node.modality == Modality.AUDIO and node.uri:
        part = (node.start or 0.0, node.end) if node.unit == "seconds" else (0.0, None)
        return _Task("load_audio", (Path(node.uri), *part))
    return None


class _Child:
    """One decoding process and what it is working on."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._start()

    def _start(self) -> None:
        # spawn: a fork would copy the parent's threads' locks, and its memory against the cap
        context = mp.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, self.limits), daemon=True
        )
        self.process.start()
        theirs.close()
        self.todo: list[int] = []

    @property
    def idle(self) -> bool:
        return not self.todo

    def give(self, numbers: list[int], tasks: Sequence[_Task]) -> None:
        """Send a handful of tasks; results come back one by one, in order."""
        self.todo = list(numbers)
        self.pipe.send([(tasks[i].function, tasks[i].arguments) for i in numbers])

    def receive(self, results: list[Any]) -> bool:
        """Take one result; false if the child died instead."""
        try:
            results[self.todo[0]] = self.pipe.recv()
        except (EOFError, ConnectionError, OSError):
            return False
        self.todo.pop(0)
        return True

    def replace(self, results: list[Any], *, late: bool) -> list[list[int]]:
        """Refuse the file at fault, start a new child, and return what is still to do."""
        first, rest = self.todo[0], self.todo[1:]
        results[first] = (
            TooLarge(f"decoding took longer than {self.limits.seconds:g} s")
            if late
            else Undecodable("decoding it crashed, or needed more memory than it may use")
        )
        self.kill()
        self._start()
        return [rest] if rest else []

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(pipe: Connection, limits: Limits) -> None:
    """The child: decode what is sent until the parent goes away."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    cap = limits.memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (cap + _baseline(), cap + _baseline()))
    while True:
        try:
            tasks = pipe.recv()
        except (EOFError, OSError):
            return
        for function, arguments in tasks:
            pipe.send(_attempt(getattr(decode, function), arguments, limits))


def _baseline() -> int:
    """Address space the interpreter itself has mapped."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * resource.getpagesize()


def _attempt(function: Callable[..., T], arguments: tuple[Any, ...], limits: Limits) -> Any:
    try:
        return function(*arguments, limits)
    except InputRefused as e:
        return e
    except FileNotFoundError:
        return InputRefused("the file is gone")
    except PermissionError:
        return InputRefused("the file may not be read")
    except MemoryError:
        return TooLarge("decoding needs more memory than it may use")
    except GraphRetrievalError as e:
        return InputRefused(str(e))
    except Exception as e:  # a decoder's bug on hostile bytes must cost this file only
        return Undecodable(f"decoding failed ({type(e).__name__}: {e})")
