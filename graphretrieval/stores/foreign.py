"""What others did in Neo4j, seen without a change feed by comparing it with a snapshot.

Made in Browser, a node or edge has no revision; edited, it has its old one and another content;
copied or renamed, it has an old one where there was nothing of that name; deleted, it leaves no
tombstone. All of it is given a revision, so that every reader follows.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphretrieval.stores import cypher, properties
from graphretrieval.stores.bolt import gathered

if TYPE_CHECKING:
    from graphretrieval.stores.neo4j import Neo4jStore
    from graphretrieval.stores.sqlite import SqliteStore

PAGE = 20_000
_SEP = "\x1f"
_NO_NUMBERS: list[float | None] = [None] * 5


@dataclass
class Foreign:
    """Nodes edited (with the revision they were edited at) and vanished, and vanished edges.

    ``moved`` are those edited ones whose id was another's, or nobody's, at that revision.
    """

    edited: dict[str, int] = field(default_factory=dict)
    moved: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    gone_edges: list[tuple[str, str, str]] = field(default_factory=list)


def notice(remote: Neo4jStore, local: SqliteStore) -> bool:
    """Adopt what differs from the snapshot; whether anything did.

    The snapshot must hold the newest revision, and is to be brought up to date again afterwards.
    """
    before = local.revision
    with ThreadPoolExecutor(1) as pool:  # the server compares edges while nodes are compared here
        adrift = pool.submit(remote.is_adrift)
        found = _nodes(remote, local)
        found.gone_edges.extend(_edges_of(local, found.gone))
        if not (found.edited or found.gone or adrift.result()):
            return False
    return remote.adopt(found.edited, found.gone, found.gone_edges, moved=found.moved) != before


def notice_edges(remote: Neo4jStore, local: SqliteStore) -> bool:
    """Adopt edges that vanished or were copied, where the database does not count as many as the
    snapshot holds."""
    before = local.revision
    theirs, counts = remote.edge_counts(), local.counts()
    ours = Counter(counts["edges"]) + Counter(counts["proposed"]) + Counter(counts["rejected"])
    gone: list[tuple[str, str, str]] = []
    copied: list[tuple[str, str, str]] = []
    for name in {**ours, **theirs}:
        n = ours.get(name, 0)
        if theirs.get(name, 0) != n and remote.edge_count(name) != n:
            there = dict(remote.keys_of(name))
            mine = {(e.src, e.dst) for e in local.edges(name, status=None)}
            gone += [(src, name, dst) for src, dst in mine - there.keys()]
            copied += [
                (src, name, dst)
                for (src, dst), revision in there.items()
                if (src, dst) not in mine and revision <= before
            ]
    return bool(gone or copied) and remote.adopt({}, [], gone, copied=copied) > before


def adopt_nodes(tx: Any, revision: int, edited: Mapping[str, int], media_url: str) -> bool:
    """Stamp unstamped nodes, and edited ones that are still at the revision they were edited at."""
    rows = [_adrift(row, revision, media_url) for row in tx.run(cypher.ADRIFT_NODES)]
    if rows:
        taken = {r["id"] for r in tx.run(cypher.THERE, ids=[r["values"]["id"] for r in rows])}
        for row in rows:
            if row["values"]["id"] in taken and not row["keeps"]:
                row["values"]["id"] = f"neo4j:{uuid.uuid4()}"
            taken.add(row["values"]["id"])
        tx.run(cypher.ADOPT_NODES, rows=rows).consume()
    return _adopt_edited(tx, revision, edited, media_url) or bool(rows)


def _adopt_edited(tx: Any, revision: int, edited: Mapping[str, int], media_url: str) -> bool:
    labels = {r["id"]: r["labels"] for r in tx.run(cypher.LABELS, ids=list(edited))}
    by_modality: dict[str, list[dict[str, Any]]] = {}
    former: dict[str, list[str]] = {}
    for (pairs,) in gathered(tx, cypher.GET, ids=list(edited)):
        values = dict(pairs)
        name = values["id"]
        modality = properties.modality_of(values, labels[name])
        node = properties.read([*pairs, ["modality", modality]])
        if node.revision != edited[name]:
            continue
        written = properties.write(node, revision, values, media_url)
        by_modality.setdefault(modality, []).append({"id": name, "values": written})
        for label in labels[name]:
            if cypher.KNOWN.get(label, modality) != modality:
                former.setdefault(cypher.KNOWN[label], []).append(name)
    for modality, ids in former.items():
        tx.run(cypher.relabel(modality), ids=ids).consume()
    for modality, changed in by_modality.items():
        tx.run(cypher.put_nodes(modality), rows=changed).consume()
    return bool(by_modality)


def _adrift(row: Any, revision: int, media_url: str) -> dict[str, Any]:
    values = dict(row["pairs"])
    said = values.get("id")
    valid = isinstance(said, str) and properties.name_of(said) == said
    name = said if valid else " ".join(str(said or "").split())[:1024]
    name = name or f"neo4j:{uuid.uuid4()}"
    keeps = "Node" in row["labels"] and valid
    modality = properties.modality_of(values, row["labels"])
    pairs = {**values, "id": name, "modality": modality}
    node = properties.read([[k, v] for k, v in pairs.items()])
    written = properties.write(node, revision, values, media_url)
    return {"element": row["element"], "values": {**written, "id": name}, "keeps": keeps}


def _nodes(remote: Neo4jStore, local: SqliteStore) -> Foreign:
    found = Foreign()
    seen: set[str] = set()
    before, known = local.revision, 0
    for after, page in _scan(remote):
        mine = local.contents(after, page[-1][0], cypher.COMPARED, _SEP)
        for name, revision, *content in page:
            seen.add(name)
            own = mine.get(name)
            known += own is not None
            if own is None or own[0] != revision:
                # else written since the snapshot, or stamped by nobody
                if isinstance(revision, int) and revision <= before:
                    found.edited[name] = revision
                    found.moved.append(name)
            elif not _is_same(own[1:], content):
                found.edited[name] = revision
    if known != sum(local.counts()["nodes"].values()):
        lost = [n.id for n in local.nodes() if n.id not in seen]
        there = remote.get(lost)  # one may have been written while pages were read
        found.gone = [name for name, n in zip(lost, there, strict=True) if n is None]
    return found


def _scan(remote: Neo4jStore) -> Iterator[tuple[str, list[Any]]]:
    """Pages of :data:`cypher.SCAN`, each with the id that it begins after."""
    after = ""
    while True:
        page = {
            **{"after": after, "limit": PAGE, "sep": _SEP},
            "reserved": sorted(properties.RESERVED),
        }
        rows = remote.bolt.read(lambda tx: gathered(tx, cypher.SCAN, **page))  # noqa: B023
        if rows:
            yield after, rows
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _is_same(mine: tuple[str, list[float | None], str], theirs: Sequence[Any]) -> bool:
    words, numbers, own = mine
    if words != theirs[0] or numbers != (theirs[1] or _NO_NUMBERS):
        return False
    if own == "{}":
        return theirs[2] is None and theirs[3] is None
    there = {k: properties.plain(v) for k, v in theirs[2] or ()}
    try:
        return bool(there | json.loads(theirs[3] or "{}") == json.loads(own))
    except (TypeError, ValueError):  # somebody typed what is no JSON object
        return False


def _edges_of(local: SqliteStore, ids: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    found = local.neighbours(ids, limit=sys.maxsize)
    yield from dict.fromkeys((e.src, e.type, e.dst) for edges in found for e in edges)
