"""Fixtures for all tests: one thread, and the real collections where GRAPHRETRIEVAL_DATA says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real collections; tests that need it are skipped visibly without it."""
    folder = os.environ.get("GRAPHRETRIEVAL_DATA")
    if not folder or not Path(folder).is_dir():
        if os.environ.get("CI"):
            pytest.fail("GRAPHRETRIEVAL_DATA must point at the real collections in CI")
        pytest.skip("GRAPHRETRIEVAL_DATA is not set: no real collections to test on")
    return Path(folder)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's feature cache."""
    monkeypatch.setenv("GRAPHRETRIEVAL_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
