"""Features kept by content and encoder version, so that nothing is encoded twice.

One SQLite file per encoder version; a row is a key (sha256 of the content), the feature as float32
bytes, and their checksum. A row whose checksum fails is dropped and made afresh, a file that is no
database is set aside, and of a folder that cannot be written it is said once that nothing is kept:
a cache may cost speed, never correctness.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval.errors import ConfigError
from graphretrieval.types import Array

TIMEOUT = 20.0  # seconds to wait for another process that is writing
CHUNK = 500  # keys a statement: SQLite allows 999 parameters in its oldest builds
SCHEMA = """
CREATE TABLE IF NOT EXISTS feature (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, checksum BLOB NOT NULL
) WITHOUT ROWID
"""


_REFUSED = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
)
_told: set[Path] = set()


class FeatureCache:
    """A folder of cached features, shared by processes.

    Args:
        folder: made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lookup(self, version: str, keys: Sequence[str]) -> list[Array | None]:
        """For each key its feature ``(dim,)``, or ``None`` where there is none to be believed."""
        path = self._path(version)
        found: dict[str, Array] = {}
        broken: list[str] = []
        if not keys or not _is_there(path):
            return [None] * len(keys)
        with _told_if_refused(self.folder), _dropped_if_broken(path), _open(path) as db:
            for key, value, checksum in _select(db, list(dict.fromkeys(keys))):
                if _checksum(key, value) == checksum:
                    found[key] = np.frombuffer(value, np.float32).copy()
                else:
                    broken.append(key)
            if broken:
                db.execute("BEGIN IMMEDIATE")
                db.executemany("DELETE FROM feature WHERE key = ?", [(key,) for key in broken])
                db.execute("COMMIT")
        return [found.get(key) for key in keys]

    def store(self, version: str, keys: Sequence[str], rows: Array) -> None:
        """Keep ``rows[i]`` under ``keys[i]``, all in one transaction; a known key is replaced.

        Where the folder cannot be made or written, a warning says so once and nothing is kept.

        Raises:
            ConfigError: there are more or fewer keys than rows.
        """
        if len(keys) != len(rows):
            raise ConfigError(
                f"{len(keys)} keys were given for {len(rows)} rows of features",
                remedy="give one key per row",
            )
        if not keys:
            return
        path = self._path(version)
        values = [np.ascontiguousarray(row, np.float32).tobytes() for row in rows]
        with contextlib.ExitStack() as stack:
            stack.enter_context(_told_if_refused(self.folder))
            self.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_dropped_if_broken(path))
            db = stack.enter_context(_open(path))
            db.execute("BEGIN IMMEDIATE")
            db.execute(SCHEMA)
            db.executemany(
                "INSERT OR REPLACE INTO feature VALUES (?, ?, ?)",
                [(k, v, _checksum(k, v)) for k, v in zip(keys, values, strict=True)],
            )
            db.execute("COMMIT")

    def remove(self, keys: Sequence[str]) -> int:
        """Delete these keys from all versions, so that the files hold nothing of them."""
        removed = 0
        for path in self.folder.glob("*.features"):
            with _dropped_if_broken(path), _open(path) as db:
                db.execute("PRAGMA secure_delete = ON")
                db.execute("BEGIN IMMEDIATE")
                for key in dict.fromkeys(keys):
                    removed += db.execute("DELETE FROM feature WHERE key = ?", (key,)).rowcount
                db.execute("COMMIT")
        return removed

    def prune(self, max_bytes: int) -> int:
        """Delete the versions longest unused until the folder fits; return the bytes freed."""
        files = sorted(self.folder.glob("*.features"), key=lambda path: path.stat().st_mtime_ns)
        size = {path: _size(path) for path in files}
        total, freed = sum(size.values()), 0
        for path in files:
            if total - freed <= max_bytes:
                break
            _remove(path)
            freed += size[path]
        return freed

    def _path(self, version: str) -> Path:
        readable = re.sub(r"[^A-Za-z0-9-]", "_", version)[:60]
        digest = hashlib.sha256(version.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        return self.folder / f"{readable}.{digest}.features"


def version_of(method: str, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """The method's name and a digest of what was learned: other numbers, another version."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype}|{array.shape}".encode())
        digest.update(array.tobytes())
    return f"{method}-{digest.hexdigest()[:16]}"


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path, timeout=TIMEOUT, isolation_level=None)
    try:
        # the rollback journal survives a kill; a power cut may cost rows, which checksums notice
        db.execute("PRAGMA synchronous = NORMAL")
        yield db
        path.touch()  # the newest use, by which prune decides
    finally:
        db.close()


@contextlib.contextmanager
def _dropped_if_broken(path: Path) -> Iterator[None]:
    """A busy or still empty file is left alone; one that is no sound database is removed."""
    try:
        yield
    except sqlite3.OperationalError as e:
        if getattr(e, "sqlite_errorcode", 0) & 0xFF in _REFUSED:  # the rest says more precisely
            _tell(path.parent, str(e))
    except sqlite3.DatabaseError:
        _remove(path)


@contextlib.contextmanager
def _told_if_refused(folder: Path) -> Iterator[None]:
    """What the file system refuses costs no more than what would have been kept."""
    try:
        yield
    except OSError as e:
        _tell(folder, e.strerror or str(e))


def _tell(folder: Path, why: str) -> None:
    if folder not in _told:
        _told.add(folder)
        warnings.warn(
            f"features cannot be kept in {folder} ({why}) and will be made again each time. "
            "Set cache_dir to a folder that can be written",
            RuntimeWarning,
            stacklevel=2,
        )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # it may not be looked at: storing will say so
        return False


def _select(db: sqlite3.Connection, keys: list[str]) -> Iterator[tuple[str, bytes, bytes]]:
    for start in range(0, len(keys), CHUNK):
        part = keys[start : start + CHUNK]
        marks = ",".join("?" * len(part))
        yield from db.execute(
            f"SELECT key, value, checksum FROM feature WHERE key IN ({marks})", part
        ).fetchall()


def _checksum(key: str, value: bytes) -> bytes:
    return hashlib.sha256(key.encode() + value).digest()[:16]


def _files(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("", "-journal")]


def _size(path: Path) -> int:
    return sum(part.stat().st_size for part in _files(path) if part.exists())


def _remove(path: Path) -> None:
    for part in _files(path):
        part.unlink(missing_ok=True)
