"""Thread counts follow what the process may use, and shared-out work comes back in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphretrieval.cpus import each, threads


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
