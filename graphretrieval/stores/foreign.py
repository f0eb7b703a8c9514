"""What others did in Neo4j, seen without a change feed by comparing it with a snapshot.

Made in Browser, a node or edge has no revision; edited, it has its old one and another content;
deleted, it leaves no tombstone. All of it is given a revision, so that every reader follows.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphretrieval.stores import cypher, properties
from graphretrieval.types import MODALITY, Node

if TYPE_CHECKING:
    from graphretrieval.stores.neo4j import Neo4jStore
    from graphretrieval.stores.sqlite import SqliteStore

PAGE = 20_000
_SEP = "\x1f"
_WORDS = (
    *("modality", "uri", "sha256", "media_type", "title", "text", "lang", "unit", "license"),
    "collection",
)


@dataclass
class Foreign:
    """Nodes edited (with the revision they were edited at) and vanished, and vanished edges."""

    edited: dict[str, int] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    gone_edges: list[tuple[str, str, str]] = field(default_factory=list)


def notice(remote: Neo4jStore, local: SqliteStore) -> bool:
    """Adopt what differs from the snapshot; whether anything did.

    The snapshot must hold the newest revision, and is to be brought up to date again afterwards.
    """
    before = local.revision
    found = _nodes(remote, local)
    for key in _edges_of(local, found.gone):
        found.gone_edges.append(key)
    if not (found.edited or found.gone or remote.is_adrift()):
        return False
    return remote.adopt(found.edited, found.gone, found.gone_edges) != before


def notice_edges(remote: Neo4jStore, local: SqliteStore) -> bool:
    """Adopt edges that vanished, where the database counts fewer than the snapshot holds."""
    theirs, ours = remote.edge_counts(), local.counts()["edges"]
    gone: list[tuple[str, str, str]] = []
    for name, n in ours.items():
        if theirs.get(name, 0) != n:
            there = set(remote.keys_of(name))
            mine = ((e.src, name, e.dst) for e in local.edges(name, status=None))
            gone += [key for key in mine if (key[0], key[2]) not in there]
    return bool(gone) and remote.adopt({}, [], gone) > local.revision


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
    by_modality: dict[str, list[dict[str, Any]]] = {}
    for row in tx.run(cypher.GET, ids=list(edited)):
        node = properties.read(row["pairs"])
        if node.revision == edited[node.id]:
            values = properties.write(node, revision, dict(row["pairs"]), media_url)
            by_modality.setdefault(node.modality, []).append({"id": node.id, "values": values})
    for modality, changed in by_modality.items():
        tx.run(cypher.put_nodes(modality), rows=changed).consume()
    return bool(rows or by_modality)


def _adrift(row: Any, revision: int, media_url: str) -> dict[str, Any]:
    values = dict(row["pairs"])
    keeps = "Node" in row["labels"] and isinstance(values.get("id"), str) and values["id"] != ""
    name = str(values.get("id") or f"neo4j:{uuid.uuid4()}")
    name = " ".join(name.split())[:1024] or f"neo4j:{uuid.uuid4()}"
    by_label = [cypher.KNOWN[x] for x in sorted(row["labels"]) if x in cypher.KNOWN]
    modality = str(values.get("modality") or "").lower()
    if not MODALITY.match(modality):
        modality = by_label[0] if by_label else "text" if values.get("text") else "object"
    pairs = {**values, "id": name, "modality": modality}
    node = properties.read([[k, v] for k, v in pairs.items()])
    written = properties.write(node, revision, values, media_url)
    return {"element": row["element"], "values": {**written, "id": name}, "keeps": keeps}


def _nodes(remote: Neo4jStore, local: SqliteStore) -> Foreign:
    found = Foreign()
    seen: set[str] = set()
    known = 0
    for page in _scan(remote):
        mine = local.get([row["id"] for row in page])
        for row, node in zip(page, mine, strict=True):
            if node is None:
                continue  # written since the snapshot
            known += 1
            if node.revision == row["revision"] and not _is_same(node, row):
                found.edited[node.id] = node.revision
        seen.update(row["id"] for row in page)
    if known != sum(local.counts()["nodes"].values()):
        lost = [n.id for n in local.nodes() if n.id not in seen]
        there = remote.get(lost)  # one may have been written while pages were read
        found.gone = [name for name, n in zip(lost, there, strict=True) if n is None]
    return found


def _scan(remote: Neo4jStore) -> Iterator[list[Any]]:
    after = ""
    while True:
        page = {
            **{"after": after, "limit": PAGE, "sep": _SEP},
            "reserved": sorted(properties.RESERVED),
        }
        rows = remote.bolt.read(lambda tx: list(tx.run(cypher.SCAN, page)))  # noqa: B023
        yield rows
        if len(rows) < PAGE:
            return
        after = rows[-1]["id"]


def _is_same(node: Node, row: Any) -> bool:
    if row["words"] != _SEP.join(getattr(node, name) or "" for name in _WORDS):
        return False
    if row["numbers"] != [node.start, node.end, node.width, node.height, node.duration]:
        return False
    if not node.properties and not row["own"] and row["rest"] is None:
        return True
    own = {k: properties.plain(v) for k, v in row["own"]}
    own |= json.loads(row["rest"] or "{}")
    return own == dict(node.properties)


def _edges_of(local: SqliteStore, ids: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    found = local.neighbours(ids, limit=sys.maxsize)
    yield from dict.fromkeys((e.src, e.type, e.dst) for edges in found for e in edges)
