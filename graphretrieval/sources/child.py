"""The decoding process: takes files from a pipe, decodes them under kernel limits, answers.

It is started by :mod:`graphretrieval.sources.media` as a bare interpreter, so that neither the
caller's script nor anything heavy is loaded. What goes wrong with a file costs that file: a
decoder's error is answered, a hang is ended by the kernel's timer, and a crash by the kernel.
"""

from __future__ import annotations

import importlib
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from graphretrieval.errors import GraphRetrievalError, InputRefused, TooLarge, Undecodable
from graphretrieval.sources.limits import Limits


def serve(handle: int) -> None:
    """Answer calls ``[(module:function, arguments), …]`` until the parent closes the pipe."""
    pipe = Connection(handle)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, even inside C code
    limits: Limits = pipe.recv()
    _confine(limits)
    while True:
        try:
            calls = pipe.recv()
        except (EOFError, OSError):
            return
        for name, arguments in calls:
            signal.setitimer(signal.ITIMER_REAL, limits.seconds)
            answer = _attempt(name, arguments, limits)
            signal.setitimer(signal.ITIMER_REAL, 0)
            pipe.send(answer)


def _confine(limits: Limits) -> None:
    """Cap memory above what the interpreter itself has mapped; write no file, dump no core."""
    with open("/proc/self/statm") as f:
        mapped = int(f.read().split()[0]) * resource.getpagesize()
    cap = mapped + (limits.memory_mb << 20)
    resource.setrlimit(resource.RLIMIT_AS, (cap, cap))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _attempt(name: str, arguments: tuple[Any, ...], limits: Limits) -> Any:
    try:
        return _function(name)(*arguments, limits)
    except InputRefused as e:
        return e
    except FileNotFoundError:
        return InputRefused("the file is gone")
    except PermissionError:
        return InputRefused("the file may not be read", remedy="check its permissions")
    except MemoryError:
        return TooLarge(
            f"decoding it needs more than {limits.memory_mb} MB of memory",
            remedy="raise decode_memory_mb",
        )
    except GraphRetrievalError as e:
        return InputRefused(str(e))
    except Exception as e:  # a decoder's bug on hostile bytes must cost this file only
        return Undecodable(f"decoding failed ({type(e).__name__}: {e})")


def _function(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]
