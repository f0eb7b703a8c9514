"""Neo4j behind the store's interface: where people look at the graph, share and edit it.

One revision under one lock: a ``__Meta`` node, written first in every writing transaction, so
that commit order is revision order. Isolation is read committed; where whole writes must be seen
(``get``, ``changes_since``) the same lock is taken for the reading and rolled back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import neo4j
import numpy as np

from graphretrieval.errors import SnapshotTooOld, StoreError, UnknownNode
from graphretrieval.stores import chain, cypher, foreign, properties, search, snapshot
from graphretrieval.stores.bolt import Bolt, Rows, gathered
from graphretrieval.stores.spaces import Spaces
from graphretrieval.types import RELATION, Array, Changes, Edge, FileStamp, Graph, Node, Path, Step

# rows of one round trip: more gain nothing and cost memory on both sides
PAGE = 5_000
# of equally long and strong paths one is chosen; more than this many are not looked at
EQUAL_PATHS = 64
# an export during which somebody always writes gives up after so many corrections
CORRECTIONS = 50

# changes are read under the write lock: who needs longer had better read everything afresh
CHANGES = 10.0

T = TypeVar("T")


class Neo4jStore:
    """A property graph on a Neo4j server (Community or Enterprise, 5.26 LTS or newer).

    Args:
        bolt: the connections.
        media_url: where thumbnails are served, for the links in Browser; ``""`` for none.
    """

    capabilities = frozenset({"vector_search", "remote"})

    def __init__(self, bolt: Bolt, *, media_url: str = "") -> None:
        self.bolt, self.media_url = bolt, media_url
        self.migrate()
        meta = bolt.write(lambda tx: tx.run(cypher.BEGIN).single(strict=True).data())
        #: Identity of the store behind the address, wherever it moves.
        self.identity = str(meta["store"])
        self.spaces = Spaces(bolt)
        self._indexed: set[str] = set()

    # --- lifecycle ----------------------------------------------------------------------

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring the schema up to date; return the migrations (to be) applied."""
        return chain.migrate(self.bolt, dry_run=dry_run)

    @property
    def degraded(self) -> bool:
        """Whether the server is away."""
        return self.bolt.away

    @property
    def revision(self) -> int:
        """The newest committed revision."""
        return int(self._meta()["revision"])

    @property
    def oldest(self) -> int:
        """The revision up to which deletions are forgotten."""
        return int(self._meta()["oldest"])

    def is_itself(self) -> bool:
        """Whether the store that was opened is still the one behind the address."""
        return str(self._meta()["store"]) == self.identity

    def _meta(self) -> dict[str, Any]:
        return self.bolt.read(_meta, seconds=self.bolt.quick)

    def scrub(self) -> None:
        """Nothing: what was deleted is gone from the graph, and the server's logs are its own."""

    def backup(self, path: FilePath) -> None:
        """A consistent copy as an embedded store, which opens without a server.

        Raises:
            StoreError: something is there already, or there is no folder to put it in.
        """
        from graphretrieval.stores.replica import copy_into
        from graphretrieval.stores.sqlite import SqliteStore, must_be_free

        path = FilePath(path)
        must_be_free(path)
        with TemporaryDirectory(prefix=".backup-", dir=path.absolute().parent) as folder:
            local = SqliteStore(FilePath(folder) / "draft.db")
            try:
                copy_into(self, local)
                local.backup(path)  # without a journal beside it
            finally:
                local.close()

    def close(self) -> None:
        """Give the connections back."""
        self.bolt.close()

    # --- writes -------------------------------------------------------------------------

    def upsert(
        self, nodes: Sequence[Node], edges: Sequence[Edge] = (), files: Sequence[FileStamp] = ()
    ) -> int:
        """Write all in one transaction; equal rows are left, and then the revision stays."""
        self._index_relations({e.type for e in edges})
        last = {n.id: n for n in nodes}
        links = {(e.src, e.type, e.dst): e for e in edges}

        def work(tx: neo4j.ManagedTransaction) -> int:
            revision = int(tx.run(cypher.LOCK).single(strict=True)["revision"]) + 1
            changed = self._put_nodes(tx, last, revision)
            changed |= _put_edges(tx, links.values(), revision)
            if files:
                tx.run(cypher.PUT_FILES, rows=[_stamp_row(f) for f in files]).consume()
            if not changed:
                if files:
                    return revision - 1
                raise _Unchanged(revision - 1)
            tx.run(cypher.SET_REVISION, revision=revision).consume()
            return revision

        return self._write(work)

    def _write(self, work: Callable[[neo4j.ManagedTransaction], int]) -> int:
        try:
            return self.bolt.write(work)
        except _Unchanged as unchanged:
            return unchanged.revision

    def _put_nodes(
        self, tx: neo4j.ManagedTransaction, nodes: Mapping[str, Node], revision: int
    ) -> bool:
        stored: dict[str, tuple[Node, dict[str, Any]]] = {}
        for part in _parts(list(nodes)):
            for pairs in _pairs(tx, cypher.GET, ids=part):
                values = dict(pairs)
                stored[values["id"]] = (properties.read(pairs), values)
        fresh = [n for n in nodes.values() if n.id not in stored or not _is_same(n, *stored[n.id])]
        by_modality: dict[str, list[dict[str, Any]]] = {}
        moved: dict[str, list[str]] = {}
        for node in fresh:
            old = stored.get(node.id)
            if old is not None and old[0].modality != node.modality:
                moved.setdefault(old[0].modality, []).append(node.id)
            values = properties.write(node, revision, old and old[1], self.media_url)
            by_modality.setdefault(node.modality, []).append({"id": node.id, "values": values})
        for modality, ids in moved.items():
            tx.run(cypher.relabel(modality), ids=ids).consume()
        for modality, rows in by_modality.items():
            for some in _parts(rows):
                tx.run(cypher.put_nodes(modality), rows=some)
        return bool(fresh)

    def delete(self, ids: Sequence[str] = (), edges: Sequence[tuple[str, str, str]] = ()) -> int:
        """Remove nodes with their edges, and edges; leave tombstones without content."""
        types = self._relations()

        def work(tx: neo4j.ManagedTransaction) -> int:
            revision = int(tx.run(cypher.LOCK).single(strict=True)["revision"]) + 1
            gone = [r["id"] for r in tx.run(cypher.THERE, ids=list(dict.fromkeys(ids)))]
            doomed = {(r["src"], r["type"], r["dst"]) for r in _incident(tx, gone, types)}
            doomed |= {key for key in edges if RELATION.match(key[1])}
            dead = [
                {"kind": "edge", "name": json.dumps(key, ensure_ascii=False)}
                for key in _delete_edges(tx, doomed)
            ]
            tx.run(cypher.DELETE_NODES, ids=gone).consume()
            dead += [{"kind": "node", "name": name} for name in gone]
            if not dead:
                raise _Unchanged(revision - 1)
            tx.run(cypher.PUT_TOMBSTONES, rows=dead, revision=revision).consume()
            tx.run(cypher.SET_REVISION, revision=revision).consume()
            return revision

        return self._write(work)

    def prune_tombstones(self, before: int) -> None:
        """Forget deletions up to this revision; readers that far back export afresh."""
        self.bolt.write(lambda tx: tx.run(cypher.PRUNE_TOMBSTONES, before=before).consume())

    def tombstones(self) -> list[tuple[int, str, str]]:
        """All that is remembered of deletions: (revision, kind, name)."""
        rows = self.bolt.read(lambda tx: [list(r) for r in tx.run(cypher.TOMBSTONES, since=-1)])
        return [(revision, kind, name) for kind, name, revision in rows]

    def is_adrift(self) -> bool:
        """Whether there are nodes or edges that nobody stamped, or edges edited by others."""
        types = list(self._relations())

        def work(tx: neo4j.ManagedTransaction) -> bool:
            if tx.run(cypher.ADRIFT_NODES).peek() is not None:
                return True
            return tx.run(cypher.ADRIFT_EDGES, types=types).peek() is not None

        return self.bolt.read(work)

    def keys_of(self, relation: str) -> Iterator[tuple[tuple[str, str], int]]:
        """The ends of all edges of one relation, and the revision of each; 0 where it has none."""
        after: str | None = ""
        query = cypher.edge_keys(relation)
        while after is not None:
            page = {"after": after, "limit": 10 * PAGE}
            rows = self.bolt.read(lambda tx: gathered(tx, query, **page))  # noqa: B023
            yield from (((src, dst), revision) for src, many in rows for dst, revision in many)
            after = rows[-1][0] if len(rows) == 10 * PAGE else None

    def adopt(
        self,
        edited: Mapping[str, int],
        gone: Sequence[str],
        gone_edges: Sequence[tuple[str, str, str]],
        *,
        moved: Sequence[str] = (),
        copied: Sequence[tuple[str, str, str]] = (),
    ) -> int:
        """Give what others did in the database a revision, in one transaction.

        Nodes and edges that nobody stamped get id and revision.

        Args:
            edited: nodes whose content is no longer what it was at their revision.
            gone: nodes, and
            gone_edges: edges that vanished without a tombstone.
            moved: edited nodes that came by their ids by being copied or renamed: their edges
                look as if they had always been there, as do
            copied: edges made by copying others with all their properties.
        """
        types = list(self._relations())
        self._index_relations(types)

        def work(tx: neo4j.ManagedTransaction) -> int:
            revision = int(tx.run(cypher.LOCK).single(strict=True)["revision"]) + 1
            changed = foreign.adopt_nodes(tx, revision, edited, self.media_url)
            found = [*tx.run(cypher.ADRIFT_EDGES, types=types), *_incident(tx, moved, types)]
            edges = {(r["src"], r["type"], r["dst"]) for r in found} | set(copied)
            rows: dict[str, list[dict[str, str]]] = {}
            for src, name, dst in sorted(edges):
                rows.setdefault(name, []).append({"src": src, "dst": dst})
            for name, ends in rows.items():
                tx.run(cypher.adopt_edges(name), rows=ends, revision=revision).consume()
            changed |= bool(rows)
            there = {r["id"] for r in tx.run(cypher.THERE, ids=list(gone))}
            dead = [{"kind": "node", "name": i} for i in gone if i not in there]
            dead += [
                {"kind": "edge", "name": json.dumps(key, ensure_ascii=False)} for key in gone_edges
            ]
            if not dead and not changed:
                raise _Unchanged(revision - 1)
            tx.run(cypher.PUT_TOMBSTONES, rows=dead, revision=revision).consume()
            tx.run(cypher.SET_REVISION, revision=revision).consume()
            return revision

        return self._write(work)

    def forget_files(self, uris: Sequence[str]) -> None:
        """Drop stamps, so that these files are read again."""
        self.bolt.write(lambda tx: tx.run(cypher.FORGET_FILES, uris=list(uris)).consume())

    def _index_relations(self, names: Iterable[str]) -> None:
        """An index of revisions for each relation; a schema change cannot share a transaction."""
        fresh = [name for name in sorted(names) if name not in self._indexed]
        if fresh:
            there = {str(r["name"]) for r in self.bolt.run(cypher.INDEXES)}
            for name in fresh:
                if f"revision_{name}" not in there:
                    self.bolt.run(cypher.edge_index(name))
                self._indexed.add(name)

    # --- reads --------------------------------------------------------------------------

    def get(self, ids: Sequence[str]) -> list[Node | None]:
        """The nodes of these ids, ``None`` where there is none; several are of one moment."""
        asked = list(dict.fromkeys(ids))
        found: dict[str, Node] = {}
        for part in _parts(asked):
            rows = self._steady(lambda tx: _pairs(tx, cypher.GET, ids=part), len(part) > 1)  # noqa: B023
            found |= {n.id: n for n in map(properties.read, rows)}
        return [found.get(i) for i in ids]

    def _steady(self, work: Callable[[Any], T], locked: bool) -> T:
        return self.bolt.steady(work, cypher.LOCK) if locked else self.bolt.read(work)

    def nodes(self, modality: str | None = None) -> Iterator[Node]:
        """All nodes (of one modality) in id order, a page at a time."""
        query = cypher.NODES if modality is None else cypher.NODES_OF
        more = {"since": -1} if modality is None else {"modality": modality}
        yield from self._paged(query, more)

    def _paged(self, query: str, more: Mapping[str, Any]) -> Iterator[Node]:
        after = ""
        while True:
            page = {"after": after, "limit": PAGE, **more}
            rows = self.bolt.read(lambda tx: _pairs(tx, query, **page))  # noqa: B023
            for pairs in rows:
                yield properties.read(pairs)
            if len(rows) < PAGE:
                return
            after = dict(rows[-1])["id"]

    def edges(self, type: str | None = None, status: str | None = "asserted") -> Iterator[Edge]:
        """All edges (of one type, of one status or of any), a page of sources at a time."""
        types = self._relations() if type is None else (type,)
        after: str | None = ""
        while after is not None:
            page = {"after": after, "limit": PAGE, "types": list(types), "status": status}
            rows = self.bolt.read(lambda tx: gathered(tx, cypher.EDGES, **page))  # noqa: B023
            yield from (properties.read_edge((r[0], *r[2:])) for r in rows if r[1])
            sources = dict.fromkeys(r[0] for r in rows)
            after = rows[-1][0] if len(sources) == PAGE else None

    def neighbours(
        self,
        ids: Sequence[str],
        *,
        types: Sequence[str] | None = None,
        direction: str = "both",
        limit: int = 1000,
    ) -> list[list[Edge]]:
        """For each id its asserted edges, strongest first."""
        query = cypher.neighbours(direction)
        wanted = list(self._relations() if types is None else types)
        out: dict[str, list[Edge]] = {i: [] for i in ids}
        for part in _parts(list(out)):
            asked = {"ids": part, "types": wanted, "limit": limit}
            for row in self.bolt.read(lambda tx: [list(r) for r in tx.run(query, asked)]):  # noqa: B023
                out[row[0]].append(properties.read_edge(row[1:]))
        return [out[i] for i in ids]

    def two_hop(self, id: str) -> list[str]:
        """All that is two asserted edges away, along the arrows."""
        return self.bolt.read(lambda tx: [r["id"] for r in tx.run(cypher.TWO_HOP, id=id)])

    def paths(
        self, sources: Sequence[str], targets: Sequence[str], *, max_hops: int = 3
    ) -> list[Path | None]:
        """For each pair a shortest path, the strongest of several, edges walked either way."""
        out: list[Path | None] = [None] * len(sources)
        pairs = []
        for at, (s, t) in enumerate(zip(sources, targets, strict=True)):
            if s == t:
                continue  # the database refuses to look for paths from a node to itself
            pairs.append({"at": at, "source": s, "target": t})
        same = [at for at, (s, t) in enumerate(zip(sources, targets, strict=True)) if s == t]
        there = self.get([sources[at] for at in same])
        for at, node in zip(same, there, strict=True):
            out[at] = Path((sources[at],), ()) if node is not None else None
        if max_hops < 1:
            return out
        query = cypher.paths(max_hops)
        best: dict[int, tuple[Any, Path]] = {}
        types = list(self._relations())
        for part in _parts(pairs, 200):
            asked = {"pairs": part, "types": types, "limit": EQUAL_PATHS}
            for row in self.bolt.read(lambda tx: list(tx.run(query, asked))):  # noqa: B023
                order, path = _path(row["ids"], row["steps"])
                if row["at"] not in best or order < best[row["at"]][0]:
                    best[row["at"]] = order, path
        for at, (_, path) in best.items():
            out[at] = path
        return out

    def text_search(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        modality: str | None = None,
        lang: str | None = None,
    ) -> list[list[tuple[str, float]]]:
        """For each query the best (id, score) over title and text; scores lie in (0, 1]."""
        total = sum(self._node_counts().values())
        asked = {"modality": modality, "lang": lang}
        return [self._matches(q, k, total, asked) if k > 0 else [] for q in queries]

    def _matches(
        self, query: str, k: int, total: int, asked: Mapping[str, Any]
    ) -> list[tuple[str, float]]:
        grams = search.grams(query)
        if not grams:
            return []
        each = [{"at": i, "query": search.lucene(g)} for i, g in enumerate(grams)]
        counts = self.bolt.read(
            lambda tx: {r["at"]: r["n"] for r in tx.run(cypher.MATCHING, asked=each, **asked)}
        )
        if not counts:
            return []
        weights = search.weigh([counts.get(i, 0) for i in range(len(grams))], total)
        any_of = " OR ".join(
            f"{search.lucene(g)}^{w:.4f}" for g, w in zip(grams, weights, strict=True) if w > 0
        )
        limit = max(search.CANDIDATES, 4 * k)
        rows = self.bolt.read(
            lambda tx: [
                (r["id"], r["folded"])
                for r in tx.run(cypher.BEST_MATCHING, any_of=any_of, limit=limit, **asked)
            ]
        )
        return search.ranked(rows, dict(zip(grams, weights, strict=True)), k)

    def vector_search(
        self, space: str, queries: Array, k: int = 10, *, modality: str | None = None
    ) -> list[list[tuple[str, float]]]:
        """For each query the nearest stored vectors (id, inner product), best first.

        Raises:
            SpaceMismatch: the space is not stored, or the queries are not of its dimension.
        """
        return self.spaces.search(space, queries, k, modality)

    def files(self, prefix: str = "") -> dict[str, FileStamp]:
        """Stamps of the files read so far whose uri begins with ``prefix``."""
        rows = self.bolt.read(lambda tx: [list(r) for r in tx.run(cypher.FILES, prefix=prefix)])
        return {row[0]: FileStamp(*row) for row in rows}

    def counts(self) -> dict[str, dict[str, int]]:
        """How many nodes of each modality and edges of each type, by status, there are."""
        all_ = self.edge_counts()
        rows = self.bolt.read(
            lambda tx: [r for t in all_ for r in tx.run(cypher.undecided_count(t)).data()]
        )
        others: dict[str, dict[str, int]] = {"proposed": {}, "rejected": {}}
        for row in rows:
            others[row["status"]][row["type"]] = row["n"]
            all_[row["type"]] -= row["n"]
        return {
            "nodes": self._node_counts(),
            "edges": {t: n for t, n in all_.items() if n},
            **others,
        }

    def _node_counts(self) -> dict[str, int]:
        rows = self.bolt.read(lambda tx: [list(r) for r in tx.run(cypher.NODE_COUNTS)])
        return {str(name): n for name, n in rows if name is not None}

    def edge_counts(self) -> dict[str, int]:
        """How many edges of each relation, of any status, there are, from the database's counts."""
        types = self._relations()
        found = self.bolt.read(
            lambda tx: {t: tx.run(cypher.edge_count(t)).single(strict=True)["n"] for t in types}
        )
        return {t: n for t, n in sorted(found.items()) if n}

    def edge_count(self, relation: str) -> int:
        """How many edges of one relation there are between nodes of ours, one by one."""
        query = cypher.edge_count(relation, inside=True)
        return int(self.bolt.read(lambda tx: tx.run(query).single(strict=True)["n"]))

    def _relations(self) -> tuple[str, ...]:
        """Relations there are whose names are ours to read."""
        rows = self.bolt.read(lambda tx: [r["type"] for r in tx.run(cypher.TYPES)])
        return tuple(name for name in rows if RELATION.match(name))

    # --- the whole and what changed -----------------------------------------------------

    def export(self) -> Graph:
        """The whole graph as arrays at the newest revision."""
        for _ in range(CORRECTIONS):
            before = self.revision
            ids, modalities = self._ids()
            there = set(ids)
            edges = [
                (e.src, e.type, e.dst, e.weight)
                for e in self.edges()
                if e.src in there and e.dst in there
            ]
            if self.revision == before:
                return snapshot.of_rows(ids, modalities, edges, before)
        raise StoreError(
            "somebody writes without a pause, so that no whole graph could be read",
            remedy="open the store by its URL, which keeps a snapshot and reads changes only",
        )

    def _ids(self) -> tuple[list[str], list[str]]:
        ids: list[str] = []
        modalities: list[str] = []
        after = ""
        while True:
            page = {"after": after, "limit": 10 * PAGE}
            rows = self.bolt.read(lambda tx: gathered(tx, cypher.IDS, **page))  # noqa: B023
            ids += [properties.name_of(r[0]) for r in rows]
            modalities += [properties.modality_of({"modality": r[1], "text": r[2]}) for r in rows]
            if len(rows) < 10 * PAGE:
                return ids, modalities
            after = rows[-1][0]

    def changes_since(self, revision: int) -> Changes:
        """Everything committed after ``revision``, read while nobody of ours writes.

        Raises:
            SnapshotTooOld: deletions that far back are forgotten.
        """
        types = self._relations()
        return self.bolt.steady(
            lambda tx: _changes(tx, revision, types), cypher.LOCK, seconds=CHANGES
        )


class _Unchanged(Exception):
    """Ends a transaction in which nothing was to be written."""

    def __init__(self, revision: int) -> None:
        super().__init__(revision)
        self.revision = revision


def _meta(tx: Any) -> dict[str, Any]:
    row = tx.run(cypher.META).single()
    if row is None:
        raise StoreError(
            "the database was emptied while it was open", remedy="open the store again"
        )
    return dict(row.data())


def _pairs(tx: Any, query: str, **parameters: Any) -> list[Any]:
    return [row[0] for row in gathered(tx, query, **parameters)]


def _changes(tx: Any, revision: int, types: Sequence[str]) -> Changes:
    meta = _meta(tx)
    if revision < meta["oldest"]:
        raise SnapshotTooOld(
            f"changes since revision {revision} are not kept, only since {meta['oldest']}",
            remedy="export afresh",
        )
    if revision >= meta["revision"]:
        return Changes(meta["revision"])
    nodes = tuple(map(properties.read, _pairs(tx, cypher.CHANGED_NODES, since=revision)))
    edges = [
        properties.read_edge(row)
        for name in types
        for row in gathered(tx, cypher.changed_edges(name), since=revision)
    ]
    edges.sort(key=lambda e: (e.src, e.type, e.dst))
    dead = [list(r) for r in tx.run(cypher.TOMBSTONES, since=revision)]
    names = {name for kind, name, _ in dead if kind == "node"}
    there = {r["id"] for r in tx.run(cypher.THERE, ids=sorted(names))}
    links = {tuple(json.loads(name)) for kind, name, _ in dead if kind == "edge"}
    links -= {(e.src, e.type, e.dst) for e in edges}
    return Changes(
        meta["revision"],
        nodes,
        tuple(edges),
        tuple(sorted(names - there)),
        tuple(sorted(links)),
    )


def _is_same(node: Node, stored: Node, values: Mapping[str, Any]) -> bool:
    """Whether a node is stored as it is: what is read of an edited one has been put right."""
    return stored == node and values.get("modality") == node.modality


def _incident(tx: Any, ids: Sequence[str], types: Sequence[str]) -> list[Any]:
    return [r for p in _parts(ids) for r in tx.run(cypher.INCIDENT, ids=p, types=list(types))]


def _put_edges(tx: Any, edges: Iterable[Edge], revision: int) -> bool:
    by_type: dict[str, list[dict[str, Any]]] = {}
    for e in edges:
        row = {"src": e.src, "dst": e.dst, "weight": float(e.weight)}
        by_type.setdefault(e.type, []).append({**row, "origin": e.origin, "status": e.status})
    changed = 0
    for name, rows in by_type.items():
        query = cypher.put_edges(name)
        # all are sent before the first answer is read: the server need not wait for the next
        sent = [(part, tx.run(query, rows=part, revision=revision)) for part in _parts(rows)]
        for part, answer in sent:
            found = answer.single(strict=True)
            if found["there"] < len(part):
                ends = {end for row in part for end in (row["src"], row["dst"])}
                ends -= {r["id"] for r in tx.run(cypher.THERE, ids=sorted(ends))}
                raise UnknownNode.at_ends(sorted(ends))
            changed += found["changed"]
    return changed > 0


def _delete_edges(tx: Any, keys: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    by_type: dict[str, list[dict[str, str]]] = {}
    for src, name, dst in keys:
        by_type.setdefault(name, []).append({"src": src, "dst": dst})
    return [
        (row["src"], name, row["dst"])
        for name, rows in by_type.items()
        for part in _parts(rows)
        for row in tx.run(cypher.delete_edges(name), rows=part)
    ]


def _path(ids: Sequence[str], steps: Sequence[Sequence[Any]]) -> tuple[Any, Path]:
    """The path, and what it is compared by: strength, nodes, relations as the snapshot does."""
    strength = 1.0
    walked = []
    for at, (name, start, weight) in enumerate(steps):
        single = float(np.float32(weight))  # as the arrays of a snapshot hold it
        strength *= single
        walked.append(Step(name, "out" if start == ids[at] else "in", single))
    keys = [(s[1], s[0]) for s in steps]
    return (-strength, list(ids), keys), Path(tuple(ids), tuple(walked), strength)


def _stamp_row(stamp: FileStamp) -> dict[str, Any]:
    return {
        "uri": stamp.uri,
        "size": stamp.size,
        "mtime_ns": stamp.mtime_ns,
        "sha256": stamp.sha256,
        "refused": stamp.refused,
    }


def _parts(items: Sequence[T], size: int = PAGE) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield Rows(items[start : start + size])
