"""The feature cache: found again, never believed when damaged, bounded, shared by processes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from graphretrieval.encoders.cache import FeatureCache, version_of
from graphretrieval.errors import ConfigError

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    cache = FeatureCache(tmp_path / "features")
    cache.store("one-1", ["a", "b", "c"], ROWS)
    return cache


def file_of(cache: FeatureCache) -> Path:
    return next(cache.folder.glob("*.features"))


def test_what_was_stored_is_found_in_the_order_asked(cache: FeatureCache) -> None:
    found = FeatureCache(cache.folder).lookup("one-1", ["c", "?", "a", "c"])
    assert found[1] is None
    np.testing.assert_array_equal([r for r in found if r is not None], ROWS[[2, 0, 2]])


def test_versions_do_not_mix_even_where_their_names_look_alike(cache: FeatureCache) -> None:
    cache.store("one/1", ["a"], ROWS[1:2])
    assert cache.lookup("two-1", ["a"]) == [None]
    np.testing.assert_array_equal(cache.lookup("one-1", ["a"])[0], ROWS[0])
    np.testing.assert_array_equal(cache.lookup("one/1", ["a"])[0], ROWS[1])


def test_the_newer_row_replaces_the_older(cache: FeatureCache) -> None:
    cache.store("one-1", ["a"], ROWS[2:])
    np.testing.assert_array_equal(cache.lookup("one-1", ["a"])[0], ROWS[2])


def test_thousands_of_keys_in_one_call(cache: FeatureCache) -> None:
    keys = [f"k{i}" for i in range(2500)]
    rows = np.random.default_rng(0).normal(size=(2500, 3)).astype(np.float32)
    cache.store("many", keys, rows)
    np.testing.assert_array_equal(np.stack(cache.lookup("many", keys[::-1])), rows[::-1])


def test_nothing_asked_or_stored_is_nothing(cache: FeatureCache) -> None:
    cache.store("none", [], np.empty((0, 4), np.float32))
    assert cache.lookup("none", []) == []
    assert cache.lookup("none", ["a"]) == [None]


def test_an_altered_row_is_dropped_and_can_be_made_afresh(cache: FeatureCache) -> None:
    with sqlite3.connect(file_of(cache)) as db:
        db.execute("UPDATE feature SET value = ? WHERE key = 'b'", (ROWS[0].tobytes(),))
    db.close()
    found = cache.lookup("one-1", ["a", "b"])
    assert found[0] is not None
    assert found[1] is None
    cache.store("one-1", ["b"], ROWS[1:2])
    np.testing.assert_array_equal(cache.lookup("one-1", ["b"])[0], ROWS[1])


@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty"])
def test_a_broken_file_is_begun_afresh(cache: FeatureCache, damage: str) -> None:
    path = file_of(cache)
    whole = path.read_bytes()
    path.write_bytes(
        {"garbage": b"not a database" * 500, "truncated": whole[:5000], "empty": b""}[damage]
    )
    assert cache.lookup("one-1", ["a"]) == [None]
    cache.store("one-1", ["a"], ROWS[:1])
    cache.store("one-1", ["a"], ROWS[:1])  # a damaged file may only be noticed by the first write
    np.testing.assert_array_equal(cache.lookup("one-1", ["a"])[0], ROWS[0])


def test_any_flipped_byte_gives_the_right_row_or_none(cache: FeatureCache) -> None:
    path = file_of(cache)
    whole = path.read_bytes()
    for at in np.random.default_rng(0).permutation(len(whole))[:150]:
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        path.write_bytes(bytes(damaged))
        for found, row in zip(cache.lookup("one-1", ["a", "b", "c"]), ROWS, strict=True):
            if found is not None:
                np.testing.assert_array_equal(found, row)


def test_prune_drops_the_version_longest_unused(cache: FeatureCache) -> None:
    cache.store("two-1", ["a"], ROWS[:1])
    old = cache._path("one-1")
    os.utime(old, (1, 1))
    size = old.stat().st_size
    assert cache.prune(10**9) == 0
    assert cache.prune(size) == size
    assert cache.lookup("one-1", ["a"]) == [None]
    assert cache.lookup("two-1", ["a"])[0] is not None
    assert cache.prune(0) > 0
    assert list(cache.folder.iterdir()) == []


def test_pruning_where_nothing_was_stored_is_no_error(tmp_path: Path) -> None:
    assert FeatureCache(tmp_path / "nowhere").prune(0) == 0


@pytest.mark.parametrize("blocked", ["the folder", "the database", "entering"])
def test_a_folder_that_cannot_be_written_is_told_once_and_costs_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocked: str
) -> None:
    cache = FeatureCache(tmp_path / "file" / "features")
    if blocked == "the folder":
        (tmp_path / "file").write_bytes(b"")
    elif blocked == "the database":  # sqlite cannot open a folder
        cache._path("one-1").mkdir(parents=True)
    else:
        monkeypatch.setattr(Path, "mkdir", forbidden)
        monkeypatch.setattr(Path, "exists", forbidden)
    with pytest.warns(RuntimeWarning, match=r"cannot be kept in .*features .*cache_dir") as told:
        assert [kept(cache), kept(cache)] == [None, None]
    assert len(told) == 1


def test_what_a_cache_that_is_only_read_holds_is_found(
    cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "touch", forbidden)
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        np.testing.assert_array_equal(cache.lookup("one-1", ["b"])[0], ROWS[1])


def kept(cache: FeatureCache) -> object:
    cache.store("one-1", ["a"], ROWS[:1])
    return cache.lookup("one-1", ["a"])[0]


def forbidden(path: Path, *_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied", str(path))


def test_refuses_more_keys_than_rows(cache: FeatureCache) -> None:
    with pytest.raises(ConfigError, match="2 keys were given for 3 rows"):
        cache.store("one-1", ["a", "b"], ROWS)


def test_a_version_changes_with_a_number_a_shape_or_a_name() -> None:
    x = np.zeros((2, 3), np.float32)
    versions = {
        version_of("m", {"x": x}),
        version_of("m", {"x": x.reshape(3, 2)}),
        version_of("m", {"y": x}),
        version_of("n", {"x": x}),
        version_of("m", {"x": x + 1}),
    }
    assert len(versions) == 5
    assert version_of("m", {"a": x, "b": x}) == version_of("m", {"b": x, "a": x})


WRITER = """
import sys, numpy as np
from pathlib import Path
from graphretrieval.encoders.cache import FeatureCache
cache, name = FeatureCache(Path(sys.argv[1])), sys.argv[2]
for i in range(int(sys.argv[3])):
    cache.store("v", [f"{name}{i}"], np.full((1, 50), i, np.float32))
    print(i, flush=True)
"""


def writer(folder: Path, name: str, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), name, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    both = [writer(tmp_path, name, 30) for name in "ab"]
    assert [p.communicate(timeout=60)[1] is None and p.returncode for p in both] == [0, 0]
    for name in "ab":
        found = FeatureCache(tmp_path).lookup("v", [f"{name}{i}" for i in range(30)])
        assert [None if row is None else int(row[0]) for row in found] == list(range(30))


@pytest.mark.slow
def test_what_was_acknowledged_before_a_kill_is_there(tmp_path: Path) -> None:
    for trial in range(10):
        child = writer(tmp_path / str(trial), "k", 10_000)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.01 * trial)
        child.send_signal(signal.SIGKILL)
        done = 1 + len(child.stdout.read().splitlines())
        child.stdout.close()
        child.wait()
        found = FeatureCache(tmp_path / str(trial)).lookup("v", [f"k{i}" for i in range(done)])
        assert [None if row is None else int(row[0]) for row in found] == list(range(done))
