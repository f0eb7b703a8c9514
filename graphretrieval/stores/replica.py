"""A remote store with an embedded copy beside it: writes go there, reads are answered here.

The copy is a SQLite store of the remote's rows at the remote's revision. It is brought up to date
by a worker that looks at the remote's bookmark, which changes exactly when somebody commits. When
the remote is away, or late, reads go on from the copy and are marked degraded. Several processes
may share one copy. It remembers whose copy it is: where another database answers at the address, it
begins anew.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path as FilePath
from typing import TypeVar

from graphretrieval.errors import SnapshotTooOld, StoreAway, StoreBusy
from graphretrieval.stores import foreign
from graphretrieval.stores.neo4j import PAGE, Neo4jStore
from graphretrieval.stores.snapshot import Moment
from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import Array, Changes, Edge, FileStamp, Graph, Node, Path

T = TypeVar("T")

# how often the remote is asked whether anything happened, at most
POLL_SECONDS = 0.5
# a read waits so long for the copy to be brought up to date, then takes it as it is
PATIENCE = 1.5
# one that must see this client's own write waits longer
OWN_WRITE = 10.0
# between two comparisons with what others may have edited: a share of the time one takes
REST_SHARE, LEAST_REST, LONGEST_REST = 1.5, 0.3, 1.5
# bytes of the arrays that paths are searched on, for each node (its id above all) and edge
NODE_BYTES, EDGE_BYTES = 200, 60
# the remote does not answer, or another process is copying it: reads go on from what is here
_LATER = (StoreAway, StoreBusy)


class Replica:
    """A Neo4j store whose reads need no server.

    Args:
        connect: opens the remote store; may raise StoreAway, and is then tried again later.
        path: the copy's file.
        max_bytes: graphs that would need more memory than this have their paths searched by the
            remote.
    """

    capabilities = frozenset({"vector_search", "remote", "scrub", "snapshot"})

    def __init__(
        self, connect: Callable[[], Neo4jStore], path: FilePath, *, max_bytes: int
    ) -> None:
        self._connect, self.max_bytes = connect, max_bytes
        self._remote: Neo4jStore | None = None
        self.local = SqliteStore(path)
        self._wake = threading.Condition()
        self._asked = self._begun = self._done = 0
        self._closed = self._late = self._away = self._unseen = False
        self._have, self._own = self.local.revision, 0
        self._life: int | None = None
        self._synced = self._have > 0
        self._error: BaseException | None = None
        self._bookmark: frozenset[str] | None = None
        self._next_poll = self._next_look = 0.0
        self._worker = threading.Thread(target=self._work, daemon=True, name="replica")
        self._worker.start()

    # --- keeping up ---------------------------------------------------------------------

    @property
    def remote(self) -> Neo4jStore:
        """The store that is copied.

        Raises:
            StoreAway: it does not answer.
        """
        if self._remote is None:
            self._remote = self._connect()
        return self._remote

    @property
    def degraded(self) -> bool:
        """Whether reads may be older than the remote: it is away, or late."""
        return self._away or self._late

    def refresh(self) -> None:
        """Bring the copy up to date now, as far as patience goes."""
        with self._wake:
            behind = self._own > self._have
            if not behind and time.monotonic() < self._next_poll and self._synced:
                return
            if self._asked == self._begun:  # nobody waits for the next round yet
                self._asked += 1
            ticket = self._asked
            self._wake.notify_all()
            patience = OWN_WRITE if behind else PATIENCE
            arrived = self._wake.wait_for(
                lambda: self._done >= ticket or self._closed, patience if self._synced else None
            )
            self._late = not arrived
            self._next_poll = time.monotonic() + POLL_SECONDS
            error, self._error = self._error, None
        if error is not None and not (isinstance(error, _LATER) and self._synced):
            raise error

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._asked > self._done or self._closed)
                if self._closed:
                    return
                ticket = self._begun = self._asked
            error: BaseException | None = None
            try:
                self._catch_up()
            except Exception as any_error:
                error = any_error
            with self._wake:
                self._away = isinstance(error, _LATER)
                self._have = self.local.revision if error is None else self._have
                self._synced |= error is None
                self._late = False
                self._error = error
                self._done = ticket
                self._wake.notify_all()

    def _catch_up(self) -> None:
        remote = self.remote
        bookmark = remote.bolt.bookmark()
        if bookmark != self._bookmark:
            if not remote.is_itself():  # another database has taken its place
                self._remote = None
                remote = self.remote
            self._pull(remote)
            self._bookmark, self._unseen = bookmark, True
        if self._unseen and time.monotonic() >= self._next_look:
            self._look(remote)

    def _pull(self, remote: Neo4jStore) -> None:
        # where another process has brought the copy on meanwhile, what was asked for is too old
        while not self._closed and not self._pulled(remote):
            pass

    def _pulled(self, remote: Neo4jStore) -> bool:
        since = self.local.moment
        if since.life != self._life:  # begun anew, by this process or by another one
            self._life, self._own = since.life, 0
        if since.revision == 0 or self.local.copied != remote.identity:
            return copy_into(remote, self.local, since)
        try:
            changes = remote.changes_since(since.revision)
        except SnapshotTooOld:
            return copy_into(remote, self.local, since)
        if changes.revision < since.revision:  # a restored backup: not our past
            return copy_into(remote, self.local, since)
        return changes.revision == since.revision or self.local.mirror([changes], since=since)

    def _look(self, remote: Neo4jStore) -> None:
        """Compare with what others may have done outside of this package."""
        started = time.monotonic()
        try:
            if foreign.notice(remote, self.local):
                self._pull(remote)
            if foreign.notice_edges(remote, self.local):
                self._pull(remote)
            self._unseen = False  # only now: what was not looked at to the end is looked at again
        finally:
            took = time.monotonic() - started
            rest = min(max(LEAST_REST, REST_SHARE * took), LONGEST_REST)
            self._next_look = time.monotonic() + rest

    # --- lifecycle ----------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """The newest revision that the copy has."""
        self.refresh()
        return self.local.revision

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring the remote's schema up to date."""
        return self.remote.migrate(dry_run=dry_run)

    def backup(self, path: FilePath) -> None:
        """A consistent copy as an embedded store."""
        self.refresh()
        self.local.backup(path)

    def scrub(self) -> None:
        """Leave nothing of what was deleted in the local copy; the server's logs are its own."""
        self.refresh()
        self.local.scrub()

    def close(self) -> None:
        """Give the connections back and end the worker."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._remote is not None:
            self._remote.close()
        self._worker.join(timeout=2 * PATIENCE)
        self.local.close()

    # --- writes: there --------------------------------------------------------------------

    def upsert(
        self, nodes: Sequence[Node], edges: Sequence[Edge] = (), files: Sequence[FileStamp] = ()
    ) -> int:
        """Write all in one transaction of the remote."""
        return self._written(self.remote.upsert(nodes, edges, files))

    def delete(self, ids: Sequence[str] = (), edges: Sequence[tuple[str, str, str]] = ()) -> int:
        """Remove nodes with their edges, and edges, from the remote."""
        return self._written(self.remote.delete(ids, edges))

    def forget_files(self, uris: Sequence[str]) -> None:
        """Drop stamps, so that these files are read again."""
        self.remote.forget_files(uris)

    def _written(self, revision: int) -> int:
        with self._wake:
            self._own = max(self._own, revision)
        return revision

    # --- reads: here --------------------------------------------------------------------

    def get(self, ids: Sequence[str]) -> list[Node | None]:
        """The nodes of these ids, ``None`` where there is none."""
        self.refresh()
        return self.local.get(ids)

    def nodes(self, modality: str | None = None) -> Iterator[Node]:
        """All nodes (of one modality) in id order, streamed."""
        self.refresh()
        return self.local.nodes(modality)

    def edges(self, type: str | None = None, status: str | None = "asserted") -> Iterator[Edge]:
        """All edges (of one type, of one status or of any), streamed."""
        self.refresh()
        return self.local.edges(type, status)

    def neighbours(
        self,
        ids: Sequence[str],
        *,
        types: Sequence[str] | None = None,
        direction: str = "both",
        limit: int = 1000,
    ) -> list[list[Edge]]:
        """For each id its asserted edges, strongest first."""
        self.refresh()
        return self.local.neighbours(ids, types=types, direction=direction, limit=limit)

    def paths(
        self, sources: Sequence[str], targets: Sequence[str], *, max_hops: int = 3
    ) -> list[Path | None]:
        """For each pair a shortest path: on the snapshot, or by Cypher where that is too large."""
        self.refresh()
        if self.is_large():
            with contextlib.suppress(StoreAway):
                return self.remote.paths(sources, targets, max_hops=max_hops)
        return self.local.paths(sources, targets, max_hops=max_hops)

    def is_large(self) -> bool:
        """Whether the graph as arrays would take more memory than it may."""
        counts = self.local.counts()
        nodes, edges = sum(counts["nodes"].values()), sum(counts["edges"].values())
        return nodes * NODE_BYTES + edges * EDGE_BYTES > self.max_bytes

    def text_search(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        modality: str | None = None,
        lang: str | None = None,
    ) -> list[list[tuple[str, float]]]:
        """For each query the best (id, score) by full text over title and text."""
        self.refresh()
        return self.local.text_search(queries, k, modality=modality, lang=lang)

    def vector_search(
        self, space: str, queries: Array, k: int = 10, *, modality: str | None = None
    ) -> list[list[tuple[str, float]]]:
        """For each query the nearest vectors stored in the remote."""
        return self.remote.vector_search(space, queries, k, modality=modality)

    def files(self, prefix: str = "") -> dict[str, FileStamp]:
        """Stamps of the files read so far whose uri begins with ``prefix``."""
        return self.remote.files(prefix)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many nodes of each modality and edges of each type, by status, there are."""
        self.refresh()
        return self.local.counts()

    def export(self) -> Graph:
        """The whole graph as arrays, from the copy's memory-mapped snapshot."""
        self.refresh()
        return self.local.export()

    def changes_since(self, revision: int) -> Changes:
        """Everything committed after ``revision``; may raise ``SnapshotTooOld``."""
        self.refresh()
        return self.local.changes_since(revision)


def copy_into(remote: Neo4jStore, local: SqliteStore, since: Moment | None = None) -> bool:
    """Put all rows with their revisions in the place of what is here, and what changed meanwhile.

    All in one transaction: if the remote goes away in between, what was here stays.

    Returns:
        Whether it was done: nothing is where the copy is no longer what it was at ``since``.
    """
    before, oldest = remote.revision, remote.oldest

    def batches() -> Iterator[Changes]:
        yield from (Changes(before, nodes=tuple(p)) for p in _pages(remote.nodes()))
        yield from (Changes(before, edges=tuple(p)) for p in _pages(remote.edges(status=None)))
        yield remote.changes_since(before)

    return local.mirror(
        batches(), remote.tombstones(), since=since, anew=remote.identity, oldest=oldest
    )


def _pages(items: Iterator[T]) -> Iterator[list[T]]:
    page: list[T] = []
    for item in items:
        page.append(item)
        if len(page) == PAGE:
            yield page
            page = []
    yield page
