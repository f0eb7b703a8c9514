"""From a folder, manifest or table to nodes and edges in a store, one bounded batch at a time."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from graphretrieval import registry
from graphretrieval.config import Config
from graphretrieval.errors import ConfigError, QueryError
from graphretrieval.protocols import GraphStore, Progress, Source, silent
from graphretrieval.retriever.moves import MOVED, Moves
from graphretrieval.retriever.taken import without_taken
from graphretrieval.sources.files import is_gone
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import JSON, PART_OF, Batch, Edge, FileStamp, Node

_TABLES = {".csv", ".tsv"}
#: Folder beside the models that holds certificates of what was forgotten.
CERTIFICATES = "certificates"
#: Sources that make ids of files' paths; in all others, what is listed says its own.
_PATHS = ("folder", "pdf")
# what a file's rows and views are stamped under, after its own name
_PART = re.compile(r":(?:canvas-)?\d+")
FORGOTTEN = "it was forgotten on request and is kept out"


@dataclass(frozen=True, slots=True)
class Report:
    """What an ``add`` brought in and what it refused, with reasons.

    ``ignored`` says how many files of which ending were passed over, as no source reads them.
    """

    nodes: int
    edges: int
    files: int
    unchanged: int
    removed: int
    refused: tuple[tuple[str, str], ...]
    revision: int
    seconds: float
    ignored: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, JSON]:
        """The report as ``add --json`` prints it."""
        return {
            "nodes": self.nodes,
            "edges": self.edges,
            "files": self.files,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "refused": [{"uri": uri, "reason": reason} for uri, reason in self.refused],
            "ignored": dict(self.ignored),
            "revision": self.revision,
            "seconds": round(self.seconds, 2),
        }


def detect(path: Path) -> str:
    """Which source reads a path, by what lies there.

    Raises:
        QueryError: nothing is there, it may not be looked at, or nothing known reads it.
    """
    try:
        return _detected(path)
    except PermissionError as e:
        raise QueryError(f"{path} may not be read", remedy="check its permissions") from e


def _detected(path: Path) -> str:
    if path.is_dir():
        if any((path / name).exists() for name in ("nodes.jsonl", "nodes.csv")):
            return "arrays" if any(path.glob("vectors*")) else "manifest"
        return "folder"
    if not path.exists():
        raise QueryError(f"there is nothing at {path}", remedy="check the path")
    if path.suffix.lower() in _TABLES:
        return "table"
    if path.suffix.lower() == ".pdf":
        return "pdf"
    if path.suffix.lower() == ".json" and _is_iiif(path):
        return "iiif"
    raise QueryError(
        f"{path} is no folder, manifest, table, PDF or IIIF manifest",
        remedy="give the folder that holds it, or say --format "
        + ", ".join(registry.names("source")),
    )


def open_source(
    path: Path, reader: MediaReader, config: Config, *, format: str | None = None, **options: Any
) -> Source:
    """The source that reads ``path``, with ``options`` such as collection, lang and mapping."""
    cls = registry.resolve("source", format or detect(path))
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return cls(path.resolve(), reader=reader, config=config, **given)  # type: ignore[no-any-return]
    except TypeError as e:
        raise ConfigError(
            f"a source of format {format or detect(path)} takes no such option ({e})"
        ) from e


def ingest(
    store: GraphStore,
    path: Path,
    config: Config,
    *,
    format: str | None = None,
    prune: bool = False,
    forgotten: Set[str] = frozenset(),
    progress: Progress = silent,
    **options: Any,
) -> Report:
    """Bring a place's media into a store; run again, only what changed is read.

    Each batch is one transaction that also holds its files' stamps, so a killed run resumes where
    the last acknowledged batch ended.
    """
    start = time.perf_counter()
    tally = _Tally()
    place = path.resolve()
    folder = place if place.is_dir() else place.parent
    format = format or detect(path)
    removed = 0
    with MediaReader(Limits.of(config)) as reader:
        source = open_source(path, reader, config, format=format, **options)
        known = _known(store, place)
        total = source.total()
        moves, former = Moves(store, known, folder), _Former(store, known)
        for batch in source.batches(known):
            if format in _PATHS:
                batch = moves.followed(batch)
            if format in (*_PATHS, "iiif"):
                batch, out = without_taken(store, batch, folder)
                tally.refused += out
            # before the batch and its stamps: a run killed in between reads the file again
            removed += former.drop_outdated(batch) + former.drop_gone(batch)
            _commit(store, _without(batch, forgotten, tally), known, tally)
            progress(tally.done, max(total, tally.done), "reading")
    store.forget_files(sorted(moves.over))
    removed += _prune(store, place) if prune else 0
    return Report(
        tally.nodes,
        tally.edges,
        tally.files,
        tally.unchanged(total),
        removed,
        tuple(tally.refused),
        store.revision,
        time.perf_counter() - start,
        dict(sorted(getattr(source, "ignored", {}).items())),
    )


def digest(id: str) -> str:
    """How certificates name a node."""
    return hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()


def forgotten_in(folder: Path) -> Set[str]:
    """Digests of all ids that certificates in ``folder`` are about."""
    out: set[str] = set()
    for file in folder.glob("*.json"):
        about = json.loads(file.read_text("utf-8"))
        out.update(about.get("ids_sha256") or map(digest, about["ids"]))
    return out


def _without(batch: Batch, forgotten: Set[str], tally: _Tally) -> Batch:
    """The batch less what is not to come back."""
    if not forgotten:
        return batch
    out = [node for node in batch.nodes if digest(node.id) in forgotten]
    tally.refused += [(node.id, FORGOTTEN) for node in out]
    gone = {node.id for node in out}
    edges = [e for e in batch.edges if e.src not in gone and e.dst not in gone]
    nodes = [node for node in batch.nodes if node.id not in gone]
    return replace(batch, nodes=nodes, edges=edges)


class _Tally:
    """Running counts of one ingest."""

    def __init__(self) -> None:
        self.nodes = self.edges = self.files = self.done = 0
        self.refused: list[tuple[str, str]] = []

    def unchanged(self, total: int) -> int:
        """Inputs that were only looked at."""
        return max(0, max(total, self.done) - self.files - len(self.refused))


class _Former:
    """What files held before: fragments and languages that a changed file no longer has."""

    def __init__(self, store: GraphStore, known: Mapping[str, FileStamp]) -> None:
        self.store, self.known, self.since = store, known, store.revision
        self._ids: dict[str, list[str]] | None = None

    def drop_outdated(self, batch: Batch) -> int:
        """Remove nodes that the batch's changed files had and have no more; how many."""
        now = {stamp.uri: stamp for stamp in batch.files}
        changed = [u for u in batch.whole if u in self.known and self.known[u] != now.get(u)]
        if not changed:
            return 0
        if self._ids is None:
            self._ids = {}
            for node in _stored(self.store):
                if node.uri in self.known:
                    self._ids.setdefault(str(node.uri), []).append(node.id)
        here = {node.id for node in batch.nodes}
        outdated = [i for uri in changed for i in self._ids.get(uri, ()) if i not in here]
        if outdated:
            self.store.delete(outdated)
        return len(outdated)

    def drop_gone(self, batch: Batch) -> int:
        """Remove what rows were made into before, unless this run has it too; how many."""
        here = {node.id for node in batch.nodes}
        asked = self.store.get([i for i in batch.gone if i not in here])
        outdated = [n.id for n in asked if n is not None and n.revision <= self.since]
        if outdated:
            self.store.delete(outdated)
        return len(outdated)


def _commit(store: GraphStore, batch: Batch, known: Mapping[str, FileStamp], tally: _Tally) -> None:
    edges, loose = _attached(store, batch.nodes, batch.edges)
    fresh = [stamp for stamp in batch.files if known.get(stamp.uri) != stamp]
    if batch.nodes or edges or fresh:
        store.upsert(batch.nodes, edges, fresh)
    tally.nodes += len(batch.nodes)
    tally.edges += len(edges)
    tally.files += sum(s.refused is None and not s.uri.startswith(MOVED) for s in fresh)
    tally.done += batch.done
    tally.refused += [(s.uri, s.refused) for s in batch.files if s.refused is not None]
    tally.refused += [
        (f"{e.src} -{e.type}→ {e.dst}", "one of its ends was not taken in") for e in loose
    ]


def _attached(
    store: GraphStore, nodes: Sequence[Node], edges: Sequence[Edge]
) -> tuple[list[Edge], list[Edge]]:
    """Edges whose ends exist, and the others (an end may have been refused)."""
    here = {node.id for node in nodes}
    asked = sorted({end for e in edges for end in (e.src, e.dst)} - here)
    here.update(node.id for node in store.get(asked) if node is not None)
    good = [e for e in edges if e.src in here and e.dst in here]
    return good, [e for e in edges if not (e.src in here and e.dst in here)]


def _known(store: GraphStore, place: Path) -> dict[str, FileStamp]:
    """Stamps of a place: of all below a folder, or of a file and its rows or views."""
    if place.is_dir():
        return store.files(f"{str(place).rstrip('/')}/")
    own = str(place)
    found = store.files(own).items()
    return {u: s for u, s in found if u == own or _PART.fullmatch(u, len(own))}


def _prune(store: GraphStore, place: Path) -> int:
    """Remove the nodes whose file has vanished: of a folder, or beside a manifest of pictures."""
    gone = {uri for uri in _known(store, place) if is_gone(uri) and not _is_part(uri)}
    if not gone and place.is_dir():
        return 0
    ids, own = [], []
    for node in _stored(store):
        if node.uri in gone:
            ids.append(node.id)
        elif node.uri == str(place):
            own.append(node.id)
    ids += _lost_parts(store, own)
    if ids:
        store.delete(ids)
    lost = set(ids)
    store.forget_files([s.uri for s in store.files(MOVED).values() if s.sha256 in lost])
    store.forget_files(sorted(gone))
    return len(ids)


def _lost_parts(store: GraphStore, own: Sequence[str]) -> list[str]:
    """Parts of a file's nodes that lie in files of their own, which have vanished."""
    edges = store.neighbours(own, types=[PART_OF], direction="in", limit=1_000_000)
    parts = store.get(sorted({e.src for mine in edges for e in mine}))
    files = [(n.id, str(n.uri)) for n in parts if n is not None]
    return [id for id, uri in files if uri.startswith("/") and is_gone(uri)]


def _is_part(uri: str) -> bool:
    """Rows and views are stamped under their file's name and a number; the file itself is there."""
    file, colon, part = uri.rpartition(":")
    return bool(_PART.fullmatch(colon + part)) and not is_gone(file)


def _stored(store: GraphStore) -> Iterator[Node]:
    yield from store.nodes()


def _is_iiif(path: Path) -> bool:
    try:
        document = json.loads(path.read_bytes()[: 64 << 20])
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "iiif.io" in str(document.get("@context", ""))
