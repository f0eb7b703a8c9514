"""Thread counts follow what the process may use, and shared-out work comes back in order."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from graphretrieval.cpus import each, threads, using


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("900000 100000", 8)],
)
def test_threads_follow_the_quota(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert threads(tmp_path, cpus=8) == expected


@pytest.mark.parametrize(("quota", "expected"), [("300000", 3), ("-1", 8)])
def test_threads_follow_the_older_form_of_quota(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert threads(tmp_path, cpus=8) == expected


def test_threads_without_control_groups_are_the_cpus(tmp_path: Path) -> None:
    assert threads(tmp_path, cpus=5) == 5
    assert threads() >= 1


def test_work_shared_out_comes_back_in_order() -> None:
    found = each(lambda n: np.full(n, n).sum(), range(40))
    assert found == [n * n for n in range(40)]


def test_an_error_in_shared_out_work_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        each(lambda n: 1 / n, [2, 1, 0])


def test_a_thread_count_of_torch_is_put_back() -> None:
    before = torch.get_num_threads()
    with using(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_a_thread_count_of_torch_is_one_threads_own() -> None:
    torch.set_num_threads(2)
    with ThreadPoolExecutor(1) as pool, using(1):
        pool.submit(torch.set_num_threads, 2).result()
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_freed_memory_is_kept_for_the_next_array() -> None:
    """Run apart, since it changes how the process allocates."""
    script = (
        "import resource, numpy as np\n"
        "from graphretrieval.cpus import keep_freed_memory\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(10): np.ones(8_000_000)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "faults(); usual = faults()\n"
        "keep_freed_memory(); faults(); kept = faults()\n"
        "print(usual, kept)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    usual, kept = map(int, found.stdout.split())
    assert kept < usual / 2
