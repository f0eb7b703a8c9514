"""The embedded store: one SQLite file that is the only truth, with full text and a revision.

WAL with synchronous=FULL, so that an acknowledged write survives kill -9; one writer at a time,
many readers. Graph reads run on a memory-mapped snapshot of the newest revision.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path as FilePath

from graphretrieval.errors import (
    InvalidNode,
    QueryError,
    SnapshotTooOld,
    StoreBusy,
    StoreError,
    UnknownNode,
)
from graphretrieval.stores import migrate, paths, search
from graphretrieval.stores.snapshot import Moment, Snapshots
from graphretrieval.types import Array, Changes, Edge, FileStamp, Graph, Node, Path

# a writer that waits longer than this is told so
BUSY_SECONDS = 30.0
# SQLite's limit on variables in one statement is far above this
CHUNK = 500
# what a value is refused by that is no text, number or null as SQLite has them
_UNFIT = (sqlite3.InterfaceError, sqlite3.ProgrammingError, OverflowError, UnicodeEncodeError)

_COLUMNS = (
    'id, modality, uri, sha256, media_type, title, text, lang, start, "end", unit, '
    "width, height, duration, license, collection, properties, revision"
)


class SqliteStore:
    """A property graph in one file.

    Args:
        path: the file; made and migrated when it is not there.
        read_only: refuse writes, for looking at a store somebody else writes.
    """

    capabilities = frozenset({"backup", "scrub", "snapshot"})
    #: A file is there or it is not: answers never come from anything older.
    degraded = False

    def __init__(self, path: FilePath | str, *, read_only: bool = False) -> None:
        self.path = FilePath(path)
        self.read_only = read_only
        self._local = threading.local()
        self._open: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._lock = threading.Lock()
        self._paths = paths.Paths()
        self._snapshots = Snapshots(self.path.with_name(self.path.name + ".snapshot"))
        if not read_only:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.migrate()

    # --- lifecycle ----------------------------------------------------------------------

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring the schema up to date; return the migrations (to be) applied."""
        with self._guarded():
            return migrate.migrate(self._connection, dry_run=dry_run)

    @property
    def revision(self) -> int:
        """The newest committed revision."""
        with self._guarded():
            return _revision(self._connection)

    @property
    def moment(self) -> Moment:
        """The newest revision, and what tells it from the same one of any other store."""
        with self._guarded():
            return _moment(self._connection)

    @property
    def copied(self) -> str | None:
        """The identity of the store that this one is a copy of."""
        with self._guarded():
            row = self._connection.execute("SELECT identity FROM copied").fetchone()
        return None if row is None else str(row[0])

    def backup(self, path: FilePath) -> None:
        """A consistent copy, written under a temporary name and renamed.

        Raises:
            StoreError: something is there already, or there is no folder to put it in.
        """
        path = FilePath(path)
        must_be_free(path)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with self._guarded(), closing(sqlite3.connect(draft)) as target:
                self._connection.backup(target)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for _, connection in self._open:
                connection.close()
            self._open.clear()
            self._local = threading.local()

    @property
    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            mode = "ro" if self.read_only else "rwc"
            found = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            if not self.read_only:
                found.execute("PRAGMA journal_mode = WAL")
            found.execute("PRAGMA synchronous = FULL")
            found.execute("PRAGMA cache_size = -65536")  # 64 MB
            self._local.connection = found
            with self._lock:
                self._close_idle()
                self._open.append((threading.current_thread(), found))
        return found

    def _close_idle(self) -> None:
        """Close the connections of threads that have ended: servers start many."""
        going = []
        for thread, connection in self._open:
            if thread.is_alive():
                going.append((thread, connection))
            else:
                connection.close()
        self._open = going

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.OperationalError as e:
            if "locked" in str(e) or "busy" in str(e):
                raise StoreBusy(
                    f"{self.path} is being written by another process",
                    remedy="wait for it to finish, or stop it",
                ) from e
            raise StoreError(
                f"{self.path} could not be used ({e})",
                remedy="it and its folder must be yours to write, and the disk must have room",
            ) from e
        except _UNFIT as e:
            raise QueryError(
                f"what was asked for is nothing that {self.path} can hold ({e})",
                remedy="give whole text and numbers of 64 bits",
            ) from e
        except sqlite3.DatabaseError as e:
            raise StoreError(
                f"{self.path} is not a readable store ({e})", remedy="restore a backup"
            ) from e

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; the revision lock is SQLite's write lock."""
        with self._guarded():
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    # --- writes -------------------------------------------------------------------------

    def upsert(
        self, nodes: Sequence[Node], edges: Sequence[Edge] = (), files: Sequence[FileStamp] = ()
    ) -> int:
        """Write all in one transaction; equal rows are left, and then the revision stays.

        Raises:
            InvalidNode: a value is none that a store can hold.
            UnknownNode: an edge has an end that is nowhere.
        """
        with self._writing() as c, _storable():
            revision = _revision(c) + 1
            changed = self._put_nodes(c, nodes, revision)
            changed |= self._put_edges(c, edges, revision)
            c.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                [(f.uri, f.size, f.mtime_ns, f.sha256, f.refused) for f in files],
            )
            if not changed:
                return revision - 1
            _move_to(c, revision)
        return revision

    def _put_nodes(self, c: sqlite3.Connection, nodes: Sequence[Node], revision: int) -> bool:
        last = {n.id: n for n in nodes}
        stored = self._get(c, list(last))
        fresh = [n for n, old in zip(last.values(), stored, strict=True) if old != n]
        self._write_nodes(c, [(n, revision) for n in fresh])
        return bool(fresh)

    def _write_nodes(self, c: sqlite3.Connection, rows: Sequence[tuple[Node, int]]) -> None:
        names = _COLUMNS.split(", ")
        update = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
        marks = ", ".join("?" * len(names))
        c.executemany(
            f"INSERT INTO nodes ({_COLUMNS}) VALUES ({marks}) "
            f"ON CONFLICT (id) DO UPDATE SET {update}",
            [_row(n, revision) for n, revision in rows],
        )
        search.put(c, [(n.id, n.title, n.text) for n, _ in rows])

    def _put_edges(self, c: sqlite3.Connection, edges: Sequence[Edge], revision: int) -> bool:
        keys = _keys(c, {end for e in edges for end in (e.src, e.dst)})
        lost = [end for e in edges for end in (e.src, e.dst) if end not in keys]
        if lost:
            raise UnknownNode.at_ends(lost)
        rows = {(keys[e.src], e.type, keys[e.dst]): (e.weight, e.origin, e.status) for e in edges}
        before = c.total_changes
        c.executemany(
            "INSERT INTO edges VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (src, type, dst) "
            "DO UPDATE SET weight = excluded.weight, origin = excluded.origin, "
            "status = excluded.status, revision = excluded.revision "
            "WHERE weight != excluded.weight OR origin != excluded.origin "
            "OR status != excluded.status",
            [(*key, *values, revision) for key, values in rows.items()],
        )
        return c.total_changes > before

    def delete(self, ids: Sequence[str] = (), edges: Sequence[tuple[str, str, str]] = ()) -> int:
        """Remove nodes with their edges, and edges; leave tombstones without content."""
        with self._writing() as c:
            revision = _revision(c) + 1
            if not self._remove(c, ids, edges, revision):
                return revision - 1
            _move_to(c, revision)
        return revision

    def _remove(
        self,
        c: sqlite3.Connection,
        ids: Sequence[str],
        edges: Sequence[tuple[str, str, str]],
        revision: int,
    ) -> bool:
        keys = _keys(c, {*ids, *(end for s, _, d in edges for end in (s, d))})
        gone = [keys[i] for i in dict.fromkeys(ids) if i in keys]
        doomed = [(keys[s], t, keys[d]) for s, t, d in edges if s in keys and d in keys]
        for key in gone:
            doomed += c.execute(
                "SELECT src, type, dst FROM edges WHERE src = ? OR dst = ?", (key, key)
            )
        removed = self._delete_edges(c, doomed, revision)
        for key in gone:
            search.remove(c, key)
        names = [(revision, "node", i) for i in dict.fromkeys(ids) if i in keys]
        c.executemany("DELETE FROM nodes WHERE key = ?", [(key,) for key in gone])
        c.executemany("INSERT INTO tombstones VALUES (?, ?, ?)", names)
        return bool(removed or gone)

    def mirror(
        self,
        batches: Iterable[Changes],
        tombstones: Iterable[tuple[int, str, str]] = (),
        *,
        since: Moment | None = None,
        anew: str | None = None,
        oldest: int = 0,
    ) -> bool:
        """Take over another store's rows with their revisions, all in one transaction.

        Args:
            batches: what changed there; the last one's revision becomes this store's.
            tombstones: of the other store (revision, kind, name), when all of it is copied.
            since: what this store was when it was decided what to take over. Where another process
                has written meanwhile, nothing is done.
            anew: the other store's identity, to forget all that is here first and be a copy of it
                alone. If the batches break off, what was here stays.
            oldest: up to where the other store has forgotten its deletions, when all is copied.

        Returns:
            Whether it was done.
        """
        with self._writing() as c:
            if since is not None and since != _moment(c):
                return False
            if anew is not None:
                _clear(c)
                c.execute("INSERT INTO copied VALUES (?)", (anew,))
                _set_oldest(c, oldest)
            revision = _revision(c)
            for batch in batches:
                revision = batch.revision
                self._remove(c, batch.deleted_nodes, batch.deleted_edges, revision)
                self._write_nodes(c, [(n, n.revision) for n in batch.nodes])
                keys = _keys(c, {end for e in batch.edges for end in (e.src, e.dst)})
                c.executemany(
                    "INSERT OR REPLACE INTO edges VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (keys[e.src], e.type, keys[e.dst], e.weight, e.origin, e.status, e.revision)
                        for e in batch.edges
                        if e.src in keys and e.dst in keys
                    ],
                )
            c.executemany("INSERT INTO tombstones VALUES (?, ?, ?)", tombstones)
            _move_to(c, revision)
        if anew is not None:
            self._snapshots.forget()
        return True

    def _delete_edges(
        self, c: sqlite3.Connection, doomed: Iterable[tuple[int, str, int]], revision: int
    ) -> int:
        removed = 0
        for key in dict.fromkeys(tuple(row) for row in doomed):
            found = c.execute("DELETE FROM edges WHERE (src, type, dst) = (?, ?, ?)", key).rowcount
            if found:
                removed += 1
                ends = [
                    c.execute("SELECT id FROM nodes WHERE key = ?", (k,)).fetchone()[0]
                    for k in (key[0], key[2])
                ]
                name = json.dumps([ends[0], key[1], ends[1]], ensure_ascii=False)
                c.execute("INSERT INTO tombstones VALUES (?, 'edge', ?)", (revision, name))
        return removed

    def scrub(self) -> None:
        """Merge the full text's segments and rewrite the file and its log without deleted rows.

        Raises:
            StoreBusy: somebody else is using the store.
        """
        with self._guarded():
            c = self._connection
            for index in search.INDEXES:
                c.execute(f"INSERT INTO {index} ({index}) VALUES ('optimize')")
            c.execute("VACUUM")
            busy, *_ = c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreBusy(
                f"{self.path} is being read, so that its log could not be emptied",
                remedy="close other readers and do it again",
            )

    def clear(self) -> None:
        """Forget everything, to begin again as a copy of another store."""
        with self._writing() as c:
            _clear(c)
        self._snapshots.forget()

    def prune_tombstones(self, before: int) -> None:
        """Forget deletions up to this revision; readers that far back export afresh."""
        with self._writing() as c:
            # what is forgotten stays so, and what is yet to come is not forgotten in advance
            oldest = max(_oldest(c), min(before, _revision(c)))
            c.execute("DELETE FROM tombstones WHERE revision <= ?", (oldest,))
            _set_oldest(c, oldest)

    # --- reads --------------------------------------------------------------------------

    def get(self, ids: Sequence[str]) -> list[Node | None]:
        """The nodes of these ids, ``None`` where there is none."""
        with self._guarded():
            return self._get(self._connection, ids)

    def _get(self, c: sqlite3.Connection, ids: Sequence[str]) -> list[Node | None]:
        found: dict[str, Node] = {}
        for part in _chunks(list(dict.fromkeys(ids))):
            marks = ", ".join("?" * len(part))
            for row in c.execute(f"SELECT {_COLUMNS} FROM nodes WHERE id IN ({marks})", part):
                found[row[0]] = _node(row)
        return [found.get(i) for i in ids]

    def contents(
        self, after: str, last: str, words: Sequence[str], separator: str
    ) -> dict[str, tuple[int, str, list[float | None], str]]:
        """Nodes with ids in ``(after, last]`` as they are compared: no node is made of them.

        Returns:
            For each id its revision, the columns of ``words`` joined, start, end, width, height and
            duration, and its own properties as JSON.
        """
        joined = " || ? || ".join(f"coalesce({name}, '')" for name in words)
        with self._guarded():
            rows = self._connection.execute(
                f'SELECT id, revision, {joined}, start, "end", width, height, duration, properties '
                "FROM nodes WHERE id > ? AND id <= ?",
                (*[separator] * (len(words) - 1), after, last),
            )
            return {row[0]: (row[1], row[2], list(row[3:8]), row[8]) for row in rows}

    def nodes(self, modality: str | None = None) -> Iterator[Node]:
        """All nodes (of one modality) in id order, streamed."""
        where = "" if modality is None else "AND modality = ?"
        last = ""
        while True:
            arguments = (last,) if modality is None else (last, modality)
            with self._guarded():
                rows = self._connection.execute(
                    f"SELECT {_COLUMNS} FROM nodes WHERE id > ? {where} ORDER BY id LIMIT 2000",
                    arguments,
                ).fetchall()
            if not rows:
                return
            yield from map(_node, rows)
            last = rows[-1][0]

    def edges(self, type: str | None = None, status: str | None = "asserted") -> Iterator[Edge]:
        """All edges (of one type, of one status or, with ``None``, of any), streamed."""
        with self._guarded():
            yield from _edges(self._connection, "e.type = :type", type, status)

    def neighbours(
        self,
        ids: Sequence[str],
        *,
        types: Sequence[str] | None = None,
        direction: str = "both",
        limit: int = 1000,
    ) -> list[list[Edge]]:
        """For each id its asserted edges, strongest first."""
        out: dict[str, list[Edge]] = {i: [] for i in ids}
        with self._guarded():
            for part in _chunks(list(out)):
                for end in ("src", "dst"):
                    if direction in ("both", "out" if end == "src" else "in"):
                        for edge in _incident(self._connection, part, end, types):
                            mine = out[edge.src if end == "src" else edge.dst]
                            if not (end == "dst" and direction == "both" and edge.src == edge.dst):
                                mine.append(edge)
        order = {
            i: sorted(es, key=lambda e: (-e.weight, e.type, e.src, e.dst))[:limit]
            for i, es in out.items()
        }
        return [order[i] for i in ids]

    def paths(
        self, sources: Sequence[str], targets: Sequence[str], *, max_hops: int = 3
    ) -> list[Path | None]:
        """For each pair a shortest path, the strongest of several, edges walked either way."""
        return self._paths.shortest(self.export(), sources, targets, max_hops)

    def text_search(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        modality: str | None = None,
        lang: str | None = None,
    ) -> list[list[tuple[str, float]]]:
        """For each query the best (id, score) over title and text; scores lie in (0, 1]."""
        with self._guarded():
            return search.find(self._connection, queries, k, modality, lang)

    def vector_search(
        self, space: str, queries: Array, k: int = 10, *, modality: str | None = None
    ) -> list[list[tuple[str, float]]]:
        """Not among this store's capabilities: vectors live in indexes.

        Raises:
            StoreError: always.
        """
        raise StoreError("the embedded store holds no vectors", remedy="search by an index")

    def files(self, prefix: str = "") -> dict[str, FileStamp]:
        """Stamps of the files read so far whose uri begins with ``prefix``."""
        with self._guarded():
            rows = self._connection.execute(
                "SELECT * FROM files WHERE uri >= ? AND substr(uri, 1, ?) = ?",
                (prefix, len(prefix), prefix),
            )
            return {row[0]: FileStamp(*row) for row in rows}

    def forget_files(self, uris: Sequence[str]) -> None:
        """Drop stamps, so that these files are read again."""
        with self._writing() as c:
            c.executemany("DELETE FROM files WHERE uri = ?", [(u,) for u in uris])

    def counts(self) -> dict[str, dict[str, int]]:
        """How many nodes of each modality and edges of each type, by status, there are."""
        out: dict[str, dict[str, int]] = {"nodes": {}, "edges": {}, "proposed": {}, "rejected": {}}
        with self._guarded():
            nodes = self._connection.execute("SELECT modality, count(*) FROM nodes GROUP BY 1")
            out["nodes"] = dict(nodes.fetchall())
            rows = self._connection.execute(
                "SELECT status, type, count(*) FROM edges GROUP BY 1, 2"
            ).fetchall()
        for status, type, n in rows:
            out.setdefault("edges" if status == "asserted" else status, {})[type] = n
        return out

    def export(self) -> Graph:
        """The whole graph as arrays, from the snapshot of the newest revision."""
        with self._guarded():
            c = self._connection
            c.execute("BEGIN")  # one consistent view for the revision and the rows
            try:
                return self._snapshots.graph(_moment(c), c)
            finally:
                c.execute("ROLLBACK")

    def changes_since(self, revision: int) -> Changes:
        """Everything committed after ``revision``.

        Raises:
            SnapshotTooOld: deletions that far back are forgotten.
        """
        with self._guarded():
            c = self._connection
            c.execute("BEGIN")
            try:
                return _changes(c, revision)
            finally:
                c.execute("ROLLBACK")


@contextmanager
def _storable() -> Iterator[None]:
    """What SQLite says of values that it cannot hold, as ours: nothing is wrong with the file."""
    try:
        yield
    except _UNFIT as e:
        raise InvalidNode(
            f"one of the nodes, edges or files has a value that cannot be stored ({e})",
            remedy="give whole text (no half of a surrogate pair) and numbers of 64 bits",
        ) from e


def must_be_free(path: FilePath) -> None:
    """Refuse to put a backup where something is.

    What another store's log still holds would be written over a file of that name when it is
    opened, and whoever has that store open would lose what he writes.

    Raises:
        StoreError: something is there already, or there is no folder to put it in.
    """
    if not path.absolute().parent.is_dir():
        raise StoreError(
            f"{path} cannot be written, as there is no folder {path.parent}",
            remedy="make it, or name another",
        )
    for suffix in ("", "-wal", "-journal"):
        there = path.with_name(path.name + suffix)
        if there.exists():
            raise StoreError(
                f"{there} exists already", remedy="name a new file for the backup, or move it away"
            )


def _changes(c: sqlite3.Connection, revision: int) -> Changes:
    oldest = _oldest(c)
    if revision < oldest:
        raise SnapshotTooOld(
            f"changes since revision {revision} are not kept, only since {oldest}",
            remedy="export afresh",
        )
    # +id: by the index on ids, which spares the sorting, every node there is would be looked at
    rows = c.execute(f"SELECT {_COLUMNS} FROM nodes WHERE revision > ? ORDER BY +id", (revision,))
    nodes = tuple(map(_node, rows))
    edges = tuple(_edges(c, "e.revision > :type", revision, None))
    dead = c.execute("SELECT kind, name FROM tombstones WHERE revision > ?", (revision,)).fetchall()
    names = {name for kind, name in dead if kind == "node"}
    there = set(_keys(c, names))
    links = {tuple(json.loads(name)) for kind, name in dead if kind == "edge"}
    links -= {(e.src, e.type, e.dst) for e in edges}
    return Changes(_revision(c), nodes, edges, tuple(sorted(names - there)), tuple(sorted(links)))


def _revision(c: sqlite3.Connection) -> int:
    return int(c.execute("SELECT value FROM meta WHERE name = 'revision'").fetchone()[0])


def _moment(c: sqlite3.Connection) -> Moment:
    meta = dict(c.execute("SELECT name, value FROM meta").fetchall())
    return Moment(meta["revision"], meta.get("write"), meta.get("life"))


def _oldest(c: sqlite3.Connection) -> int:
    return int(c.execute("SELECT value FROM meta WHERE name = 'oldest_tombstone'").fetchone()[0])


def _set_oldest(c: sqlite3.Connection, revision: int) -> None:
    c.execute("UPDATE meta SET value = ? WHERE name = 'oldest_tombstone'", (revision,))


def _clear(c: sqlite3.Connection) -> None:
    for table in ("edges", "nodes", *search.INDEXES, "files", "tombstones", "copied"):
        c.execute(f"DELETE FROM {table}")
    c.execute("UPDATE meta SET value = 0")
    c.execute("UPDATE meta SET value = ? WHERE name = 'life'", (secrets.randbits(63),))
    _move_to(c, 0)


def _move_to(c: sqlite3.Connection, revision: int) -> None:
    rows = [(revision, "revision"), (secrets.randbits(63), "write")]
    c.executemany("UPDATE meta SET value = ? WHERE name = ?", rows)


def _keys(c: sqlite3.Connection, ids: Iterable[str]) -> dict[str, int]:
    out: dict[str, int] = {}
    for part in _chunks(sorted(set(ids))):
        marks = ", ".join("?" * len(part))
        out.update(c.execute(f"SELECT id, key FROM nodes WHERE id IN ({marks})", part).fetchall())
    return out


def _edges(
    c: sqlite3.Connection, condition: str, value: object, status: str | None
) -> Iterator[Edge]:
    wanted = [condition] if value is not None else []
    wanted += ["e.status = :status"] if status is not None else []
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    rows = c.execute(
        "SELECT s.id, e.type, d.id, e.weight, e.origin, e.status, e.revision FROM edges e "
        f"JOIN nodes s ON s.key = e.src JOIN nodes d ON d.key = e.dst {where} "
        "ORDER BY s.id, e.type, d.id",
        {"type": value, "status": status},
    )
    for row in rows:
        yield Edge(*row)


def _incident(
    c: sqlite3.Connection, ids: Sequence[str], end: str, types: Sequence[str] | None
) -> Iterator[Edge]:
    marks = ", ".join("?" * len(ids))
    only = "" if types is None else f"AND e.type IN ({', '.join('?' * len(types))})"
    rows = c.execute(
        "SELECT s.id, e.type, d.id, e.weight, e.origin, e.status, e.revision FROM nodes n "
        f"JOIN edges e ON e.{end} = n.key JOIN nodes s ON s.key = e.src "
        f"JOIN nodes d ON d.key = e.dst "
        f"WHERE n.id IN ({marks}) AND e.status = 'asserted' {only}",
        (*ids, *(types or ())),
    )
    for row in rows:
        yield Edge(*row)


def _row(n: Node, revision: int) -> tuple[object, ...]:
    try:
        own = json.dumps(dict(n.properties), ensure_ascii=False, sort_keys=True)
    except (TypeError, ValueError) as e:
        raise InvalidNode(
            f"node {n.id!r} has properties that are no JSON ({e})",
            remedy="give text, numbers, lists and dicts of them with text as keys",
        ) from e
    return (
        n.id,
        n.modality,
        n.uri,
        n.sha256,
        n.media_type,
        n.title,
        n.text,
        n.lang,
        n.start,
        n.end,
        n.unit,
        n.width,
        n.height,
        n.duration,
        n.license,
        n.collection,
        own,
        revision,
    )


def _node(row: Sequence[object]) -> Node:
    values = list(row)
    values[16] = json.loads(str(values[16]))
    return Node(*values)  # type: ignore[arg-type]


def _chunks(items: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), CHUNK):
        yield list(items[start : start + CHUNK])
