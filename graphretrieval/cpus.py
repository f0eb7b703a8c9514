"""How many processors there are to use, and how to keep each of them at work.

Threads beyond the quota spin against each other (measured: five times slower), and the threads of
one small matrix product mostly wait: many small ones are better shared out whole.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

# of malloc.h: arrays above the first are given back at once, free memory above the second soon
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1

T = TypeVar("T")
R = TypeVar("R")


def threads(root: Path = Path("/sys/fs/cgroup"), cpus: int | None = None) -> int:
    """How many threads pay: the CPUs this process may use, capped by the cgroup's quota.

    Args:
        root: where the control groups are mounted (version 2 or 1).
        cpus: CPUs at hand; those of the process's affinity by default.
    """
    if cpus is None:
        has_affinity = hasattr(os, "sched_getaffinity")
        cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = _quota(root)
    return max(1, cpus if quota is None else min(cpus, math.ceil(quota)))


def settle(count: int = 0) -> None:
    """Give matrix products so many threads from now on.

    0 takes :func:`threads`, or fewer where ``OMP_NUM_THREADS`` says so.
    """
    import torch
    from threadpoolctl import threadpool_limits

    wished = os.environ.get("OMP_NUM_THREADS", "")
    count = count or min(threads(), int(wished) if wished.isdigit() and int(wished) else threads())
    threadpool_limits(limits=count)
    torch.set_num_threads(count)


def keep_freed_memory() -> None:
    """Let a process that learns keep freed memory for its next array, where libc is GNU's.

    Arrays of a hundred megabytes come and go; given back to the system each time, every page of
    theirs is cleared anew (measured: a fifth of the time an evaluation takes).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 30)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Matrix products on one thread inside the block: for many small ones in a row."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


@contextmanager
def using(count: int) -> Iterator[None]:
    """What torch computes in the block on so many threads; other threads' blocks have their own."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def each(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """``[function(item) for item in items]``, an item a thread, for work that releases the GIL."""
    with one_thread(), ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(function, items))


def _quota(root: Path) -> float | None:
    """CPUs' worth of time per period, or None where nothing limits it."""
    try:
        words = (root / "cpu.max").read_text("ascii").split()
    except OSError:
        try:
            v1 = root / "cpu"
            words = [
                (v1 / f"cpu.cfs_{x}_us").read_text("ascii").strip() for x in ("quota", "period")
            ]
        except OSError:
            return None
    if len(words) != 2 or not words[0].isdigit() or not int(words[1]):
        return None  # "max" or −1: no limit
    return int(words[0]) / int(words[1])
