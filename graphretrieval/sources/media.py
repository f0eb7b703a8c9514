"""Decoding in child processes with a memory cap and a deadline: a bad file costs only itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from graphretrieval.errors import InputRefused, TooLarge, Undecodable
from graphretrieval.sources.decode import Inspection
from graphretrieval.sources.limits import Limits
from graphretrieval.types import (
    AudioContent,
    Content,
    ImageContent,
    Modality,
    Node,
    TextContent,
)

__all__ = ["Inspection", "Limits", "MediaReader"]

_CALL = tuple[str, tuple[Any, ...]]  # module:function, arguments
_DECODE = "graphretrieval.sources.decode"
# files handed over at once: a message costs more than a small file, and many would wait behind
# one slow file while the other child has nothing to do
_CHUNK = 16
# chunks that may be decoded ahead of the one that is being read out, per child
_AHEAD = 4
_START = "import sys; sys.path[:] = {path!r}; from graphretrieval.sources.child import serve; "


class MediaReader:
    """Reads untrusted files in child processes that are started when the first is asked for.

    Close it, or use ``with``, so that no child stays behind. ``workers`` children decode side by
    side.
    """

    def __init__(self, limits: Limits, *, workers: int = 2) -> None:
        self.limits = limits
        self.workers = workers
        self._idle: list[_Child] = []

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
        """End the children; the next call would start others."""
        while self._idle:
            self._idle.pop().end()

    def inspect(self, paths: Sequence[Path]) -> list[Inspection | InputRefused]:
        """Decode files far enough to be sure of them, in order."""
        return list(self.run(f"{_DECODE}:inspect", [(path,) for path in paths]))

    def load(self, nodes: Sequence[Node]) -> Iterator[Content | InputRefused]:
        """Decoded content of nodes, in order, a bounded number ahead of the reader.

        Texts come from the nodes themselves. Pictures have at most ``image_side`` pixels a side.
        Recordings are mono at ``audio_rate``, cut to the node's place, 30 s at most.
        """
        calls = [call for call in map(_call_for, nodes) if call is not None]
        answers = self._stream(calls)
        for node in nodes:
            if _call_for(node) is None:
                yield without_file(node)
                continue
            found = next(answers)
            if isinstance(found, InputRefused):
                yield found
            elif node.modality == Modality.IMAGE:
                yield ImageContent(found)
            else:
                yield AudioContent(found, self.limits.audio_rate)

    def run(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Call ``module:function(*arguments[i], limits)`` in the children; results in order.

        A refusal, crash or time-out comes as an ``InputRefused`` in its place.
        """
        return self._stream([(function, given) for given in arguments])

    def _stream(self, calls: Sequence[_CALL]) -> Iterator[Any]:
        work = _Work(calls, self.workers)
        children = [self._child() for _ in range(min(self.workers, work.chunks))]
        try:
            for i in range(len(calls)):
                while i not in work.answers:
                    work.advance(children)
                yield work.answers.pop(i)
                work.read_out = i + 1
        finally:
            # a child whose answers nobody waits for is of no use to the next caller
            for child in children:
                if child.todo:
                    child.end()
                else:
                    self._idle.append(child)

    def _child(self) -> _Child:
        return self._idle.pop() if self._idle else _Child(self.limits)


def without_file(node: Node) -> TextContent | InputRefused:
    """The content of a node that names no file: its text, if that is what it is."""
    if node.modality in (Modality.IMAGE, Modality.AUDIO):
        return InputRefused(f"the {node.modality} has no file")
    return TextContent(node.text or node.title or "", node.lang)


def _call_for(node: Node) -> _CALL | None:
    if node.modality == Modality.IMAGE and node.uri:
        return f"{_DECODE}:load_image", (Path(node.uri),)
    if node.modality == Modality.AUDIO and node.uri:
        part = (node.start or 0.0, node.end) if node.unit == "seconds" else (0.0, None)
        return f"{_DECODE}:load_audio", (Path(node.uri), *part)
    return None


class _Work:
    """Calls waiting, and answers that have come but were not read out yet."""

    def __init__(self, calls: Sequence[_CALL], workers: int) -> None:
        self.calls = calls
        # a few files are shared out evenly
        size = max(1, min(_CHUNK, -(-len(calls) // workers)))
        self._waiting = deque(
            list(range(i, min(i + size, len(calls)))) for i in range(0, len(calls), size)
        )
        self.chunks = len(self._waiting)
        self.answers: dict[int, Any] = {}
        self.read_out = 0
        self._window = workers * _AHEAD * size

    def advance(self, children: list[_Child]) -> None:
        """Keep the children busy and take the answers that are ready; wait for at least one."""
        for place, child in enumerate(children):
            if not child.todo and self._waiting:
                # never far ahead of the reader, so that memory stays bounded
                if self._waiting[0][0] >= self.read_out + self._window:
                    break
                numbers = self._waiting.popleft()
                try:
                    child.give(numbers, self.calls)
                except OSError:  # it was ended while it had nothing to do: no file's fault
                    child.end()
                    children[place] = _Child(child.limits)
                    children[place].give(numbers, self.calls)
        busy = {child.pipe: child for child in children if child.todo}
        for pipe in wait(list(busy)):
            self._take(busy[cast(Connection, pipe)], children)

    def _take(self, child: _Child, children: list[_Child]) -> None:
        first = child.todo[0]
        try:
            self.answers[first] = child.pipe.recv()
            child.todo.popleft()
        except (EOFError, OSError):
            self.answers[first] = child.cause_of_death()
            if rest := list(child.todo)[1:]:
                self._waiting.appendleft(rest)
            child.end()
            children[children.index(child)] = _Child(child.limits)


class _Child:
    """One decoding process and the calls it is working on."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.todo: deque[int] = deque()
        self.pipe, theirs = Pipe()
        # a bare interpreter: multiprocessing would load the caller's main module again, and a
        # fork would copy its memory and the locks of its threads
        start = _START.format(path=sys.path) + f"serve({theirs.fileno()})"
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-c", start],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        theirs.close()
        self.pipe.send(limits)

    def give(self, numbers: list[int], calls: Sequence[_CALL]) -> None:
        """Send a handful of calls; their answers come one by one, in order."""
        self.pipe.send([calls[i] for i in numbers])
        self.todo.extend(numbers)

    def cause_of_death(self) -> InputRefused:
        """Why the process ended, as the reason to refuse the file it was at."""
        self.pipe.close()
        if self.process.wait() == -signal.SIGALRM:
            return TooLarge(
                f"decoding it took longer than {self.limits.seconds:g} s",
                remedy="raise decode_seconds",
            )
        return Undecodable(
            "the decoder crashed on it, or needed more memory than it may use",
            remedy="check the file, or raise decode_memory_mb",
        )

    def end(self) -> None:
        """Kill the process, wherever it is, and leave nothing of it."""
        self.process.kill()
        self.process.wait()
        self.pipe.close()
