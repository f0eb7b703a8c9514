"""A manifest folder: ``nodes.jsonl`` lists items with their files or texts, ``edges.csv`` links.

nodes.jsonl      id, modality, category?, split?, path | text, lang?, title?, license?, …
edges.csv        src, dst, type, weight?, origin?, status?
categories.csv   id, name_en, name_zh, …, complete         (optional)

``nodes.csv`` and ``edges.jsonl`` are read as well. :func:`write_manifest` writes the same form.

For those who add: ``docs/inputs.md``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from graphretrieval.config import Config
from graphretrieval.errors import ConfigError, InputRefused, InvalidNode, Undecodable
from graphretrieval.sources.decode import Inspection
from graphretrieval.sources.files import file_nodes, text_nodes
from graphretrieval.sources.media import MediaReader
from graphretrieval.sources.records import (
    MEANT,
    Defaults,
    Record,
    Seen,
    category_node,
    edges_of,
    implied_node,
    record_of,
)
from graphretrieval.sources.rows import (
    Row,
    header_of,
    ids_in,
    is_file,
    mark_in,
    read_rows,
    remembered,
    stat_of,
)
from graphretrieval.types import IN_CATEGORY, JSON, Batch, Edge, FileStamp, Modality, Node

BATCH = 500
_MEDIA = (Modality.IMAGE, Modality.AUDIO)
_NEEDED = {"nodes": {"id", "modality"}, "edges": {"src", "dst", "type"}, "categories": {"id"}}
#: What the stamp of a file holds that was refused for a row of a list, not by a walk.
_REFUSED = "row"
_EDGE_COLUMNS = ("src", "dst", "type", "weight", "origin", "status")


@dataclass
class _Draft:
    """A batch as it fills."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    files: list[FileStamp] = field(default_factory=list)

    def batch(self, done: int = 0) -> Batch:
        return Batch(self.nodes, self.edges, self.files, done)


class ManifestSource:
    """Reads a manifest folder.

    Run again, nothing is read if no file has changed. If only the lists have, pictures and sounds
    whose row and file are as before are not decoded: a file's stamp holds in ``sha256`` the digest
    of the row it was read for. The stamp of the list of nodes also remembers the fragments, so that
    those of a text or recording that is cut otherwise now can go.

    Args:
        path: the folder.
        reader: decodes files.
        config: lengths of fragments.
        collection: of rows that name neither ``collection`` nor ``source``; the folder's name by
            default.
        lang: language of texts that do not say theirs.
        category: a category that everything is put into as well.
        bare: take pictures and sounds without a file, for collections that bring vectors.
        salt: settings of the caller that make everything be read again when they change.
        uncut: modalities whose items stay whole however long they are.
    """

    def __init__(
        self,
        path: Path,
        *,
        reader: MediaReader,
        config: Config,
        collection: str | None = None,
        lang: str | None = None,
        category: str | None = None,
        bare: bool = False,
        salt: str = "",
        uncut: Set[str] = frozenset(),
    ) -> None:
        self.path = path
        self.reader = reader
        self.config = config
        self.collection = collection
        self.lang = lang
        self.category = category
        self.bare = bare
        self.salt = salt
        self.uncut = uncut
        #: id → line of the row that it was taken from
        self.lines: dict[str, int] = {}

    def total(self) -> int:
        """How many rows of nodes there are, by counting lines.

        Raises:
            InputRefused: the folder holds no list of nodes.
        """
        nodes = self._list("nodes")
        if nodes is None:
            raise InputRefused(
                f"{self.path} holds neither nodes.jsonl nor nodes.csv",
                remedy="give the folder that holds one",
            )
        with nodes.open("rb") as f:
            lines = sum(block.count(b"\n") for block in iter(lambda: f.read(1 << 20), b""))
        return lines - (nodes.suffix == ".csv")

    def batches(self, known: Mapping[str, FileStamp]) -> Iterator[Batch]:
        """Nodes in the list's order, then categories, then edges; the lists' own stamps last.

        So a run that was cut short begins again, and passes over the media it had read.

        Raises:
            InputRefused: the folder holds no list of nodes.
        """
        known = {uri: s for uri, s in known.items() if uri.startswith(f"{self.path}/")}
        total = self.total()
        if self._unchanged(known):
            yield Batch(files=[s for s in known.values() if s.refused is not None], done=total)
            return
        seen, stamped = Seen(), set[str]()
        for batch in self._all(known, seen):
            stamped.update(stamp.uri for stamp in batch.files)
            yield batch
        yield self._closing(known, stamped, seen)

    def _all(self, known: Mapping[str, FileStamp], seen: Seen) -> Iterator[Batch]:
        for rows in self._rows("nodes"):
            yield self._node_batch(rows, known, seen)
        for rows in self._rows("categories"):
            yield self._category_batch(rows, seen)
        for rows in self._rows("edges"):
            yield self._edge_batch(rows, seen)
        yield from _memberships(seen)

    # --- the lists ----------------------------------------------------------------------

    def _list(self, name: str) -> Path | None:
        order = (".csv", ".jsonl") if name != "nodes" else (".jsonl", ".csv")
        paths = (self.path / f"{name}{suffix}" for suffix in order)
        return next((p for p in paths if p.is_file()), None)

    def _lists(self) -> list[Path]:
        found = (self._list(name) for name in _NEEDED)
        return [path for path in found if path is not None]

    def _rows(self, name: str) -> Iterator[list[Row]]:
        path = self._list(name)
        if path is None or self._unusable(path) is not None:
            return
        rows = read_rows(path)
        while chunk := list(islice(rows, BATCH)):
            yield chunk

    def _unusable(self, path: Path) -> str | None:
        """Why a list cannot be read at all."""
        if not path.resolve().is_relative_to(self.path.resolve()):
            return f"{path.name} is a link that leads out of the folder"
        if path.suffix != ".csv":
            return None
        try:
            header = header_of(path)
        except InputRefused as e:
            return str(e)
        missing = sorted(_NEEDED[path.stem] - set(header))
        if not missing:
            return None
        return f"{path.name} has no column {', '.join(missing)}; its columns: {', '.join(header)}"

    def _mark(self) -> str:
        """Digest of the settings that nodes depend on."""
        lengths = (self.config["text_fragment"], self.config["audio_fragment"])
        settings = (self.collection, self.lang, self.category, *lengths, self.salt)
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def _unchanged(self, known: Mapping[str, FileStamp]) -> bool:
        mark = self._mark()
        lists = [known.get(str(path)) for path in self._lists()]
        if any(stamp is None or mark_in(stamp) != mark for stamp in lists):
            return False
        return all(
            stat_of(Path(uri)) == (stamp.size, stamp.mtime_ns)
            for uri, stamp in known.items()
            if not self._is_row(uri)
        )

    def _is_row(self, uri: str) -> bool:
        return uri.startswith(tuple(f"{path}:" for path in self._lists()))

    def _closing(self, known: Mapping[str, FileStamp], stamped: Set[str], seen: Seen) -> Batch:
        """Stamps of the lists, and of what was refused before and no longer is; fragments to go."""
        nodes = str(self._list("nodes"))
        former = [i for i in ids_in(known.get(nodes)) if i not in seen.ids]
        gone = [i for i in former if _cut_from(i) in seen.ids]
        now = [i for pieces in seen.cut.values() for i in pieces]
        # those of rows that are refused now may be asked for when the rows are put right
        now += [i for i in former if _cut_from(i) not in seen.ids]
        files = []
        for path in self._lists():
            mark = remembered(self._mark(), now if str(path) == nodes else ())
            files.append(FileStamp(str(path), *stat_of(path), mark, self._unusable(path)))
        for uri, stamp in known.items():
            ours = self._is_row(uri) or stamp.sha256 == _REFUSED
            if ours and stamp.refused is not None and uri not in stamped:
                files.append(FileStamp(uri, *stat_of(Path(uri))))
        return Batch(files=files, gone=gone)

    # --- nodes --------------------------------------------------------------------------

    def _node_batch(self, rows: list[Row], known: Mapping[str, FileStamp], seen: Seen) -> Batch:
        draft = _Draft()
        records = list(self._records(rows, seen, draft))
        todo = [self._decoded(r) for _, r in records if not _as_before(r, known)]
        paths = list(dict.fromkeys(path for path in todo if path is not None))
        found = dict(zip(paths, self.reader.inspect(paths), strict=True))
        proofs: dict[Path, str] = {}
        for line, record in records:
            path = self._decoded(record)
            if path is not None and path not in found:
                seen.ids.add(record.node.id)
                seen.want([record.node.id], record.categories)
                continue
            try:
                nodes, edges = self._nodes(record, found[path] if path else None, proofs)
            except (InputRefused, InvalidNode) as e:
                draft.files.append(self._refused(line, record, found, e))
                continue
            self.lines[record.node.id] = line
            self._take(record, nodes, edges, found, draft, seen)
        return draft.batch(len(rows))

    def _records(self, rows: list[Row], seen: Seen, draft: _Draft) -> Iterator[tuple[int, Record]]:
        """Rows with a meaning; the others are refused."""
        defaults = Defaults(self.path, self.collection or self.path.name, self.lang, self.category)
        mark = self._mark()
        here: set[str] = set()
        for line, values in rows:
            try:
                if isinstance(values, InputRefused):
                    raise values
                record = record_of(values, defaults, mark)
                name = record.node.id
                if name in seen.ids or name in here:
                    raise InputRefused(f"an earlier row has the id {name!r} already")
            except (InputRefused, InvalidNode) as e:
                draft.files.append(self._row_stamp("nodes", line, e))
                continue
            here.add(name)
            if record.problems:
                draft.files.append(self._row_stamp("nodes", line, "; ".join(record.problems)))
            yield line, record

    def _decoded(self, record: Record) -> Path | None:
        """The file to decode for a row: of pictures, sounds, and texts that lie in files."""
        node = record.node
        read = node.modality in _MEDIA or (node.modality == Modality.TEXT and node.text is None)
        return record.file if read else None

    def _nodes(
        self,
        record: Record,
        found: Inspection | InputRefused | None,
        proofs: dict[Path, str],
    ) -> tuple[list[Node], list[Edge]]:
        """A row's node, or its source and fragments."""
        if isinstance(found, InputRefused):
            raise found
        if found is not None:
            return self._file_nodes(record, found)
        node = record.node
        if node.modality in _MEDIA and not self.bare:
            raise InputRefused(f"the {node.modality} has no path")
        if record.file is not None:
            node = _claimed(record, record.file, proofs)
        if node.modality != Modality.TEXT:
            return [node], []
        if node.text is None and node.title is None:
            raise InputRefused("the text row has neither text nor path")
        longest = self._lengths(node.modality)["text_fragment"]
        if record.placed or len(node.text or "") <= longest:
            return [node], []
        return text_nodes(node.text or "", id=node.id, longest=longest, **_common(node))

    def _file_nodes(self, record: Record, found: Inspection) -> tuple[list[Node], list[Edge]]:
        node = record.node
        if found.modality != node.modality:
            raise Undecodable(f"the row says {node.modality}, but the file holds {found.modality}")
        _same_content(record, found.sha256)
        if record.placed:
            uri, sha256, media_type = str(found.path), found.sha256, found.media_type
            return [replace(node, uri=uri, sha256=sha256, media_type=media_type)], []
        given = {key: getattr(node, key) for key in ("title", "lang", "license", "properties")}
        if node.modality != Modality.TEXT:
            given["text"] = node.text
        config = self._lengths(node.modality)
        return file_nodes(
            found, id=node.id, collection=node.collection or "", config=config, **given
        )

    def _lengths(self, modality: str) -> Config:
        """The settings, with no limit to the length of what stays whole."""
        whole = {"text_fragment": sys.maxsize, "audio_fragment": math.inf}
        return self.config.replace(**whole) if modality in self.uncut else self.config

    def _take(
        self,
        record: Record,
        nodes: list[Node],
        edges: list[Edge],
        found: Mapping[Path, Inspection | InputRefused],
        draft: _Draft,
        seen: Seen,
    ) -> None:
        draft.nodes += [
            replace(n, collection=record.node.collection) if record.file else n for n in nodes
        ]
        draft.edges += edges
        seen.ids.update(node.id for node in nodes)
        items = [node.id for node in nodes if node.modality == record.node.modality]
        if len(nodes) > 1:
            seen.cut[record.node.id] = items
        seen.want(items, record.categories)
        path = self._decoded(record)
        inspection = found[path] if path else None
        if isinstance(inspection, Inspection):
            # what was cut is read again when the lists change: its edges need the fragments' ids
            mark = "" if len(nodes) > 1 else record.digest
            draft.files.append(
                FileStamp(str(inspection.path), inspection.size, inspection.mtime_ns, mark)
            )

    def _refused(
        self,
        line: int,
        record: Record,
        found: Mapping[Path, Inspection | InputRefused],
        reason: InputRefused | InvalidNode,
    ) -> FileStamp:
        """A file that cannot be decoded is refused by its own name, all else by its row."""
        if record.path is not None and isinstance(found.get(record.path), InputRefused):
            return FileStamp(str(record.path), *stat_of(record.path), _REFUSED, str(reason))
        return self._row_stamp("nodes", line, reason)

    def _row_stamp(self, name: str, line: int, reason: Exception | str) -> FileStamp:
        return FileStamp(f"{self._list(name)}:{line}", 0, 0, "", str(reason))

    # --- categories and edges -----------------------------------------------------------

    def _category_batch(self, rows: list[Row], seen: Seen) -> Batch:
        draft = _Draft()
        for line, values in rows:
            try:
                if isinstance(values, InputRefused):
                    raise values
                node = category_node(values)
            except (InputRefused, InvalidNode) as e:
                draft.files.append(self._row_stamp("categories", line, e))
                continue
            if node.id not in seen.ids:
                seen.ids.add(node.id)
                draft.nodes.append(node)
        return draft.batch()

    def _edge_batch(self, rows: list[Row], seen: Seen) -> Batch:
        draft = _Draft()
        for line, values in rows:
            try:
                if isinstance(values, InputRefused):
                    raise values
                edges, nodes = edges_of(values, seen)
            except (InputRefused, InvalidNode) as e:
                draft.files.append(self._row_stamp("edges", line, e))
                continue
            draft.edges += edges
            draft.nodes += nodes
        return draft.batch()


def _memberships(seen: Seen) -> Iterator[Batch]:
    """The categories that rows named and no edge has stated."""
    pairs = ((name, c) for name, categories in seen.wanted.items() for c in categories)
    while chunk := list(islice(pairs, BATCH)):
        new = [c for c in dict.fromkeys(c for _, c in chunk) if c not in seen.ids]
        seen.ids.update(new)
        nodes = [implied_node(c, IN_CATEGORY) for c in new]
        yield Batch(nodes, [Edge(name, IN_CATEGORY, c) for name, c in chunk])


def _cut_from(fragment: str) -> str:
    """The id of what a fragment was cut from."""
    return fragment.rpartition("#")[0]


def _as_before(record: Record, known: Mapping[str, FileStamp]) -> bool:
    """Whether this row was read before, with the file as it is now."""
    stamp = known.get(str(record.file))
    if stamp is None or stamp.refused is not None or stamp.sha256 != record.digest:
        return False
    return record.file is not None and stat_of(record.file) == (stamp.size, stamp.mtime_ns)


def _common(node: Node) -> dict[str, Any]:
    kept = ("uri", "sha256", "media_type", "title", "lang", "license", "collection", "properties")
    return {key: getattr(node, key) for key in kept}


def _claimed(record: Record, path: Path, proofs: dict[Path, str]) -> Node:
    """The node with its file's address, or with the address as a property if that is not proved."""
    if path not in proofs:
        proofs[path] = _sha256(path)
    if record.node.sha256 is not None and proofs[path] == record.node.sha256:
        return replace(record.node, uri=str(path))
    if record.path is not None and proofs[path]:
        _same_content(record, proofs[path])
        return replace(record.node, uri=str(path), sha256=proofs[path])
    return replace(record.node, properties={**record.node.properties, "uri": str(path)})


def _same_content(record: Record, sha256: str) -> None:
    said = record.node.sha256
    if said is not None and said != sha256:
        raise InputRefused(
            f"the file has changed: its sha256 begins {sha256[:12]}, the row says {said[:12]}",
            remedy="correct the row, or bring the former file back",
        )
    if said is None and record.claimed is not None:
        raise InputRefused(
            f"{record.claimed} lies outside the folder",
            remedy="copy it into the folder, or give its sha256",
        )


def _sha256(path: Path) -> str:
    """Content hash of a regular file, empty if there is none."""
    if not is_file(path):
        return ""
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError:
        return ""


# --- writing --------------------------------------------------------------------------------


def write_manifest(folder: Path, nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
    """Write nodes and edges, with their provenance, so that :class:`ManifestSource` reads them.

    Files inside the folder are named by ``path``, others by ``uri`` and ``sha256``. Both lists
    are streamed, and appear under their names only when they are complete.

    Raises:
        ConfigError: the folder holds a manifest already.
    """
    folder = folder.absolute()
    if any((folder / name).exists() for name in ("nodes.jsonl", "nodes.csv", "edges.csv")):
        raise ConfigError(f"{folder} holds a manifest already", remedy="name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    drafts = {name: folder / f".{name}.draft" for name in ("edges.csv", "nodes.jsonl")}
    with drafts["nodes.jsonl"].open("w", encoding="utf-8", newline="\n") as f:
        for node in nodes:
            f.write(json.dumps(_row(node, folder), ensure_ascii=False) + "\n")
        _settle(f)
    with drafts["edges.csv"].open("w", encoding="utf-8", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(_EDGE_COLUMNS)
        writer.writerows(tuple(getattr(edge, name) for name in _EDGE_COLUMNS) for edge in edges)
        _settle(f)
    for name, draft in drafts.items():
        draft.replace(folder / name)


def _settle(f: Any) -> None:
    f.flush()
    os.fsync(f.fileno())


def _row(node: Node, folder: Path) -> dict[str, JSON]:
    names = [f.name for f in fields(Node) if f.name not in ("revision", "properties", "uri")]
    row = {name: value for name in names if (value := getattr(node, name)) is not None}
    row["collection"] = node.collection
    if node.uri is not None and Path(node.uri).is_relative_to(folder):
        row["path"] = Path(node.uri).relative_to(folder).as_posix()
    elif node.uri is not None:
        row["uri"] = node.uri
    taken = MEANT - {"source"}  # beside collection, source is a property like any other
    row |= {key: value for key, value in node.properties.items() if key not in taken}
    nested = {key: value for key, value in node.properties.items() if key in taken}
    return {**row, "properties": nested} if nested else row
