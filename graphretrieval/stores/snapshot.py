"""The graph as arrays at one revision, in memory-mapped files beside the store.

Derived and named by revision: written under a temporary name, synced, renamed. A snapshot that is
missing, stale, damaged or of another file is made again from the database; losing it costs speed,
never truth.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphretrieval.stores.delta import Rows, followed
from graphretrieval.types import Graph

_ARRAYS = ("modality", "src", "dst", "relation", "weight")
# where more rows changed than this share of the graph, all are read anew
MOST_CHANGED = 0.1


class Moment(NamedTuple):
    """What tells a store's state from that of any other: equal moments hold equal rows.

    Two files may have a revision in common, as a backup and what it was made of, after one more
    write each, or a store and the one that was begun in its place: not the ``write`` that made it.
    Within one ``life`` revisions only grow; clearing a store begins another. Both are ``None`` in
    a file of an earlier release that was opened only for reading.
    """

    revision: int
    write: int | None
    life: int | None


class Snapshots:
    """Keeps the newest graph in memory and on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._newest: tuple[Moment, Graph] | None = None
        self._lock = threading.Lock()

    def graph(self, moment: Moment, connection: sqlite3.Connection) -> Graph:
        """The graph at ``moment``, which the open transaction of ``connection`` sees."""
        with self._lock:
            newest = self._newest
            if newest is None or newest[0] != moment:
                found = self._read(moment)
                if found is None:
                    before = newest[1] if newest and newest[0].life == moment.life else None
                    found = _followed(before, moment.revision, connection)
                    found = found or _build(moment.revision, connection)
                    self._write(found, moment)
                newest = self._newest = moment, found
            return newest[1]

    def forget(self) -> None:
        """The store begins anew: its next revisions are not those of before."""
        with self._lock:
            self._newest = None
            shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, moment: Moment) -> Graph | None:
        folder = self.folder / f"rev-{moment.revision:09d}"
        try:
            about = json.loads((folder / "about.json").read_text("utf-8"))
            if moment.write is None or about["write"] != moment.write:
                return None
            arrays: dict[str, Any] = {}
            for name in (*_ARRAYS, "ids"):
                file = folder / f"{name}.npy"
                if zlib.crc32(file.read_bytes()) != about["crc"][name]:
                    return None
                arrays[name] = np.load(file, mmap_mode="r", allow_pickle=False)
            ids = json.loads(arrays["ids"].tobytes())
        except (OSError, ValueError, KeyError):
            return None
        return Graph(
            ids,
            tuple(about["modalities"]),
            arrays["modality"],
            tuple(about["relations"]),
            arrays["src"],
            arrays["dst"],
            arrays["relation"],
            arrays["weight"],
            moment.revision,
        )

    def _write(self, graph: Graph, moment: Moment) -> None:
        draft = self.folder / f".draft-{os.getpid()}-{threading.get_ident()}"
        target = self.folder / f"rev-{graph.revision:09d}"
        try:
            draft.mkdir(parents=True)
            ids = np.frombuffer(json.dumps(list(graph.ids)).encode(), np.uint8)
            arrays: dict[str, npt.NDArray[Any]] = {"ids": ids}
            arrays |= {name: getattr(graph, name) for name in _ARRAYS}
            crc = {name: _save(draft / f"{name}.npy", array) for name, array in arrays.items()}
            about = {
                "write": moment.write,
                "modalities": graph.modalities,
                "relations": graph.relations,
                "crc": crc,
            }
            (draft / "about.json").write_text(json.dumps(about), "utf-8")
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)
        except OSError:
            return  # a full or read-only disk: the graph in memory serves as well
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        for old in self.folder.glob("rev-*"):
            if old != target:
                shutil.rmtree(old, ignore_errors=True)


def _save(file: Path, array: npt.NDArray[Any]) -> int:
    with file.open("wb") as f:
        np.save(f, array, allow_pickle=False)
        f.flush()
        os.fsync(f.fileno())
    return zlib.crc32(file.read_bytes())


def _build(revision: int, c: sqlite3.Connection) -> Graph:
    """Read all rows; nodes in id order, edges in order of their ends."""
    rows = c.execute("SELECT key, id, modality FROM nodes ORDER BY id").fetchall()
    edges = c.execute(
        "SELECT src, type, dst, weight FROM edges WHERE status = 'asserted'"
    ).fetchall()
    keys = np.array([r[0] for r in rows], np.int64)
    order = np.argsort(keys)
    src = _rows_of(keys, order, [e[0] for e in edges])
    dst = _rows_of(keys, order, [e[2] for e in edges])
    return _graph([r[1] for r in rows], [r[2] for r in rows], src, dst, edges, revision)


def _followed(old: Graph | None, revision: int, c: sqlite3.Connection) -> Graph | None:
    """From the graph before; ``None`` if there is none, too much changed, or too long ago."""
    if old is None or old.revision > revision:
        return None
    oldest = c.execute("SELECT value FROM meta WHERE name = 'oldest_tombstone'").fetchone()[0]
    most = int(MOST_CHANGED * (len(old.ids) + len(old.src)))
    nodes, edges, dead = (
        c.execute(f"{rows} WHERE {of}revision > ? LIMIT ?", (old.revision, most + 1)).fetchall()
        for rows, of in (
            ("SELECT id, modality FROM nodes", ""),
            (
                "SELECT s.id, e.type, d.id, e.weight, e.status FROM edges e "
                "JOIN nodes s ON s.key = e.src JOIN nodes d ON d.key = e.dst",
                "e.",
            ),
            ("SELECT kind, name FROM tombstones", ""),
        )
    )
    if old.revision < oldest or len(nodes) + len(edges) + len(dead) > most:
        return None
    lost = {tuple(json.loads(name)) for kind, name in dead if kind == "edge"}
    rows = Rows(
        dict(nodes),
        {name for kind, name in dead if kind == "node"} - dict(nodes).keys(),
        {e[:3]: e[3] for e in edges if e[4] == "asserted"},
        lost | {e[:3] for e in edges if e[4] != "asserted"},
    )
    return followed(old, rows, revision)


def of_rows(
    ids: Sequence[str],
    modalities: Sequence[str],
    edges: Sequence[tuple[str, str, str, float]],
    revision: int,
) -> Graph:
    """The graph of nodes and of edges (src, type, dst, weight) between them."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    at = {ids[i]: row for row, i in enumerate(order)}
    src = np.array([at[e[0]] for e in edges], np.int32)
    dst = np.array([at[e[2]] for e in edges], np.int32)
    return _graph(
        [ids[i] for i in order], [modalities[i] for i in order], src, dst, edges, revision
    )


def _graph(
    ids: list[str],
    kinds: Sequence[str],
    src: npt.NDArray[np.int32],
    dst: npt.NDArray[np.int32],
    edges: Sequence[Any],
    revision: int,
) -> Graph:
    modalities, modality = _coded(kinds)
    relations, relation = _coded([e[1] for e in edges])
    weight = np.array([e[3] for e in edges], np.float32)
    sequence = np.lexsort((dst, relation, src))
    return Graph(
        ids,
        modalities,
        modality,
        relations,
        src[sequence],
        dst[sequence],
        relation[sequence],
        weight[sequence],
        revision,
    )


def _coded(names: Sequence[str]) -> tuple[tuple[str, ...], npt.NDArray[np.int16]]:
    known = sorted(set(names))
    at = {name: i for i, name in enumerate(known)}
    return tuple(known), np.array([at[name] for name in names], np.int16)


def _rows_of(
    keys: npt.NDArray[np.int64], order: npt.NDArray[np.int64], wanted: list[int]
) -> npt.NDArray[np.int32]:
    if not wanted:
        return np.empty(0, np.int32)
    found = np.searchsorted(keys[order], np.array(wanted, np.int64))
    return order[found].astype(np.int32)
