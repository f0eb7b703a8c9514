"""One store's graph and model copied into another, embedded or on a server, and compared after.

Writes are idempotent and equal rows are skipped, so a run that was interrupted is run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

from graphretrieval.protocols import GraphStore, Progress, silent
from graphretrieval.retriever.publish import publish
from graphretrieval.types import JSON, Edge, Node

if TYPE_CHECKING:
    from graphretrieval.retriever.retriever import Retriever

T = TypeVar("T")

NODES, EDGES = 5_000, 20_000
# digests are added up, so that they do not depend on order
_MODULUS = 1 << 128


@dataclass(frozen=True, slots=True)
class Compared:
    """One modality or relation in both stores: how many, and the sum of their digests."""

    kind: str
    name: str
    source: int
    target: int
    equal: bool


@dataclass(frozen=True, slots=True)
class Synced:
    """What a sync found at the end."""

    nodes: int
    edges: int
    removed: int
    rows: tuple[Compared, ...]
    model: str | None
    revision: int

    @property
    def equal(self) -> bool:
        """Whether both stores now hold the same."""
        return all(row.equal for row in self.rows)

    def to_json(self) -> dict[str, JSON]:
        """As ``sync --json`` prints it."""
        return {
            **{"nodes": self.nodes, "edges": self.edges, "removed": self.removed},
            **{"equal": self.equal, "model": self.model, "revision": self.revision},
            "rows": [asdict(row) for row in self.rows],
        }


def sync(
    source: Retriever,
    target: Retriever,
    *,
    prune: bool = False,
    models: bool = True,
    progress: Progress = silent,
) -> Synced:
    """Copy nodes, edges, file stamps and the model in service.

    Args:
        source: where from.
        target: where to; what it has beyond the source stays, unless
        prune: removes it.
        models: also copy the model, and write its vectors back where the target searches them.
        progress: called as it goes on.
    """
    copy_graph(source.store, target.store, progress)
    removed = _prune(source.store, target.store) if prune else 0
    rows = compare(source.store, target.store, progress)
    version = source.bundles.current() if models else None
    if version is not None and all(row.equal for row in rows):
        target.bundles.take(source.bundles.folder, version, revision=target.store.revision)
        if "remote" in target.store.capabilities:
            publish(target, progress=progress)
    counts = source.store.counts()
    return Synced(
        sum(counts["nodes"].values()),
        _edges_in(counts),
        removed,
        rows,
        target.bundles.current() if version is not None else None,
        target.store.revision,
    )


def copy_graph(source: GraphStore, target: GraphStore, progress: Progress = silent) -> None:
    """Upsert every node, then every edge of any status, then the stamps of the files."""
    counts = source.counts()
    for what, items, size in (
        ("nodes", source.nodes(), NODES),
        ("edges", source.edges(status=None), EDGES),
    ):
        total, done = sum(counts["nodes"].values()) if what == "nodes" else _edges_in(counts), 0
        for part in pages(items, size):
            if what == "nodes":
                target.upsert(part)  # type: ignore[arg-type]
            else:
                target.upsert([], part)  # type: ignore[arg-type]
            done += len(part)
            progress(done, total, what)
    stamps = list(source.files().values())
    for start in range(0, len(stamps), NODES):
        target.upsert([], [], stamps[start : start + NODES])


def compare(
    source: GraphStore, target: GraphStore, progress: Progress = silent
) -> tuple[Compared, ...]:
    """Counts and digests of every modality and relation in both."""
    progress(0, 2, "comparing")
    a = fingerprint(source)
    progress(1, 2, "comparing")
    b = fingerprint(target)
    progress(2, 2, "comparing")
    none = (0, 0)
    return tuple(
        Compared(*key, a.get(key, none)[0], b.get(key, none)[0], a.get(key) == b.get(key))
        for key in sorted({*a, *b})
    )


def fingerprint(store: GraphStore) -> dict[tuple[str, str], tuple[int, int]]:
    """(``nodes``, modality) and (``edges``, relation) → how many, and the sum of their digests."""
    out: dict[tuple[str, str], tuple[int, int]] = {}
    for node in store.nodes():
        _add(out, ("nodes", node.modality), _node_key(node))
    for edge in store.edges(status=None):
        _add(out, ("edges", edge.type), _edge_key(edge))
    return out


def _edges_in(counts: Mapping[str, Mapping[str, int]]) -> int:
    """How many edges of any status counts tell of."""
    return sum(sum(counts[status].values()) for status in ("edges", "proposed", "rejected"))


def _add(out: dict[tuple[str, str], tuple[int, int]], key: tuple[str, str], text: str) -> None:
    n, total = out.get(key, (0, 0))
    digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
    out[key] = n + 1, (total + digest) % _MODULUS


def _node_key(node: Node) -> str:
    values = asdict(node) | {"properties": dict(node.properties)}
    del values["revision"]
    return json.dumps(values, ensure_ascii=True, sort_keys=True)


def _edge_key(e: Edge) -> str:
    return json.dumps([e.src, e.type, e.dst, e.weight, e.origin, e.status])


def _prune(source: GraphStore, target: GraphStore) -> int:
    """Remove what only the target has."""
    removed = 0
    for part in pages(target.nodes(), NODES):
        there = source.get([n.id for n in part])
        gone = [n.id for n, x in zip(part, there, strict=True) if x is None]
        if gone:
            target.delete(gone)
            removed += len(gone)
    kept = {(e.src, e.type, e.dst) for e in source.edges(status=None)}
    keys = [(e.src, e.type, e.dst) for e in target.edges(status=None)]
    lost = [key for key in keys if key not in kept]
    if lost:
        target.delete(edges=lost)
    return removed + len(lost)


def pages(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most ``size`` items."""
    page: list[T] = []
    for item in items:
        page.append(item)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page
