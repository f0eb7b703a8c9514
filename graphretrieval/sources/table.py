"""A table (CSV, TSV) with one object a row: its pictures, its recordings, and texts about them.

Columns go by plain names (``title``, ``image``, …) or Dublin Core (``dc:title``, …); others are
named by a mapping. Empty cells are left out; several values stand between ``;`` or ``|``.

For those who add: ``docs/inputs.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from graphretrieval.config import Config
from graphretrieval.errors import ConfigError, InputRefused, InvalidNode, Undecodable
from graphretrieval.sources.decode import Inspection
from graphretrieval.sources.files import file_nodes, text_nodes
from graphretrieval.sources.media import MediaReader
from graphretrieval.sources.records import as_properties, categories_of, digest, implied_node
from graphretrieval.sources.rows import (
    Row,
    header_of,
    ids_in,
    is_file,
    mark_in,
    read_rows,
    remembered,
    stat_of,
    within,
    word,
)
from graphretrieval.types import (
    DESCRIBES,
    IN_CATEGORY,
    JSON,
    RELATED_TO,
    Batch,
    Edge,
    FileStamp,
    Modality,
    Node,
)

BATCH = 200
#: Field → the columns it is found under, first match wins; names are compared without case.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "identifier", "dc:identifier"),
    "title": ("title", "dc:title", "name"),
    "text": ("text",),
    "description": ("description", "dc:description", "caption"),
    "image": ("image", "image_path", "dc:relation.image"),
    "audio": ("audio", "sound", "audio_path"),
    "path": ("path", "file", "filename"),
    "category": ("category", "subject", "dc:subject"),
    "lang": ("lang", "language", "dc:language"),
    "license": ("license", "rights", "dc:rights"),
    "collection": ("collection", "dc:source", "source"),
}
_CONTENT = ("title", "text", "description", "image", "audio", "path")
_SEVERAL = re.compile(r"\s*[;|]\s*")


@dataclass
class _Object:
    """One row: its own id, the files it names, and what it says of them.

    ``whole`` tells whether all that it names could be read.
    """

    name: str
    values: Mapping[str, str]
    extra: Mapping[str, JSON]
    mark: str
    files: list[tuple[str, Path]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    whole: bool = True

    def lacks(self, problem: str) -> None:
        """Note what could not be read."""
        self.problems.append(problem)
        self.whole = False


@dataclass
class _Run:
    """One reading: ids of rows taken and of empty ones, and the nodes that there were by row."""

    former: Mapping[str, list[str]]
    taken: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)


class TableSource:
    """Reads a table of objects.

    A row's stamp, under ``table.csv:17``, remembers the row and its files together: an unchanged
    one is passed over. It also remembers the nodes: those that a changed row is no longer made
    into go. A file that is refused does not take the rest of its row with it.

    Args:
        path: the table; the files it names lie in its folder or below.
        reader: decodes them.
        config: lengths of fragments.
        collection: first part of all ids; the table's name by default.
        lang: language of texts where no column says it.
        category: a category that everything is put into as well.
        mapping: field → column, for columns of other names; the fields are ``id``, ``title``,
            ``text``, ``description``, ``image``, ``audio``, ``path``, ``category``, ``lang``,
            ``license`` and ``collection``.
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
        mapping: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.reader = reader
        self.config = config
        self.collection = collection
        self.lang = lang
        self.category = category
        self.mapping = mapping or {}

    def total(self) -> int:
        """0: a quoted cell may hold line ends, so rows are not counted cheaply."""
        return 0

    def batches(self, known: Mapping[str, FileStamp]) -> Iterator[Batch]:
        """New and changed rows with all that belongs to them.

        Raises:
            ConfigError: the mapping names a field or column that there is not.
            InputRefused: no column holds pictures, recordings or texts.
        """
        columns = self._columns()
        run = _Run(self._former(known))
        rows = read_rows(self.path)
        while chunk := list(islice(rows, BATCH)):
            yield self._batch(chunk, columns, known, run)
        if emptied := sorted(run.empty - run.taken):
            yield Batch(gone=[i for name in emptied for i in run.former.get(self._base(name), ())])

    def _former(self, known: Mapping[str, FileStamp]) -> dict[str, list[str]]:
        """The nodes that rows of this table were made into, by what their ids begin with."""
        out: dict[str, list[str]] = {}
        for uri, stamp in known.items():
            if uri.startswith(f"{self.path}:"):
                for name in ids_in(stamp):
                    out.setdefault(name.rpartition(":")[0], []).append(name)
        return out

    def _columns(self) -> dict[str, str]:
        """Field → the column of this table that holds it."""
        header = header_of(self.path)
        shown = ", ".join(header)
        if unknown := [f for f in self.mapping if f.removeprefix("dc:") not in COLUMNS]:
            raise ConfigError(
                f"a table has no field {unknown[0]!r}", remedy=f"Fields: {', '.join(COLUMNS)}"
            )
        if missing := [c for c in self.mapping.values() if c not in header]:
            raise ConfigError(
                f"{self.path.name} has no column {missing[0]!r}", remedy=f"Its columns: {shown}"
            )
        folded = {name.casefold(): name for name in reversed(header)}
        found = {
            name: next(folded[choice] for choice in choices if choice in folded)
            for name, choices in COLUMNS.items()
            if any(choice in folded for choice in choices)
        }
        found |= {name.removeprefix("dc:"): column for name, column in self.mapping.items()}
        if not any(name in found for name in _CONTENT):
            raise InputRefused(
                f"no column of {self.path.name} holds pictures, recordings or texts ({shown})",
                remedy="say which does, e.g. --map image=COLUMN",
            )
        return found

    # --- rows ---------------------------------------------------------------------------

    def _batch(
        self,
        rows: list[Row],
        columns: Mapping[str, str],
        known: Mapping[str, FileStamp],
        run: _Run,
    ) -> Batch:
        nodes: list[Node] = []
        edges: list[Edge] = []
        files: list[FileStamp] = []
        gone: list[str] = []
        objects: list[tuple[FileStamp, _Object]] = []
        for line, values in rows:
            uri = f"{self.path}:{line}"
            try:
                item = self._object(line, values, columns, run)
            except InputRefused as e:
                kept = remembered("", ids_in(known.get(uri)))
                files.append(FileStamp(uri, 0, 0, kept, str(e)))
                continue
            stamp = FileStamp(uri, *_size_and_time(item), item.mark)
            seen = known.get(uri)
            if seen is None or _key(seen) != _key(stamp):
                objects.append((stamp, item))
            elif seen.refused is not None:
                files.append(seen)
        found = self._inspected([item for _, item in objects])
        for stamp, item in objects:
            made, links = self._made(item, found)
            nodes += made
            edges += links
            base = self._base(item.name)
            ids = [node.id for node in made if node.id.startswith(f"{base}:")]
            before = [i for i in run.former.get(base, ()) if i not in ids]
            if item.whole:
                gone += before
            else:  # what could not be read may be there again
                ids += before
            reason = "; ".join(item.problems) or None
            files.append(replace(stamp, sha256=remembered(item.mark, ids), refused=reason))
        nodes = list({node.id: node for node in nodes}.values())
        return Batch(nodes, edges, files, len(rows), gone=gone)

    def _object(
        self,
        line: int,
        values: dict[str, JSON] | InputRefused,
        columns: Mapping[str, str],
        run: _Run,
    ) -> _Object:
        if isinstance(values, InputRefused):
            raise values
        given = {name: v for name, c in columns.items() if (v := word(values, c)) is not None}
        name = given.get("id", str(line)).strip()
        if not any(field in given for field in _CONTENT):
            run.empty.add(name)
            raise InputRefused("the row has no picture, no recording and no text")
        if name in run.taken:
            raise InputRefused(f"an earlier row has the id {name!r} already")
        run.taken.add(name)
        settings = (self.collection, self.lang, self.category, sorted(columns.items()))
        lengths = (self.config["text_fragment"], self.config["audio_fragment"])
        extra = {key: v for key, v in values.items() if key not in columns.values()}
        item = _Object(name, given, as_properties(extra), digest(repr((settings, lengths)), values))
        for kind in ("image", "audio", "path"):
            for part in self._several(given.get(kind, "")):
                try:
                    item.files.append((kind, within(self.path.parent, part)))
                except InputRefused as e:
                    item.lacks(str(e))
        return item

    def _several(self, value: str) -> list[str]:
        """The files of one cell; a single name may hold the dividing signs itself."""
        parts = [part for part in _SEVERAL.split(value.strip()) if part]
        if len(parts) > 1 and "/.." not in value and is_file(self.path.parent / value):
            return [value]
        return parts

    def _inspected(self, items: list[_Object]) -> dict[Path, Inspection | InputRefused]:
        paths = list(dict.fromkeys(path for item in items for _, path in item.files))
        return dict(zip(paths, self.reader.inspect(paths), strict=True))

    # --- one object ---------------------------------------------------------------------

    def _made(
        self, item: _Object, found: Mapping[Path, Inspection | InputRefused]
    ) -> tuple[list[Node], list[Edge]]:
        """The nodes of a row and the edges between them; problems are noted in the row."""
        try:
            media, inner = self._media(item, found)
            texts, more = self._texts(item, alone=not media)
        except InvalidNode as e:
            item.lacks(str(e))
            return [], []
        whole = [node.id for node in media if node.start is None]
        edges = inner + more
        words = [n.id for n in texts if n.modality == Modality.TEXT]
        edges += [Edge(text, DESCRIBES, thing) for text in words for thing in whole]
        edges += _related(media)
        nodes = media + texts
        named = _SEVERAL.split(item.values.get("category", "").strip())
        categories, problems = categories_of([*named, self.category or ""])
        item.problems += problems
        for category in categories:
            edges += [
                Edge(n.id, IN_CATEGORY, category)
                for n in media + texts
                if n.modality != Modality.SOURCE
            ]
            nodes = [*nodes, implied_node(category, IN_CATEGORY)]
        return nodes, edges

    def _media(
        self, item: _Object, found: Mapping[Path, Inspection | InputRefused]
    ) -> tuple[list[Node], list[Edge]]:
        nodes: list[Node] = []
        edges: list[Edge] = []
        count = 0
        for column, path in dict.fromkeys(item.files):
            inspection = found[path]
            if isinstance(inspection, InputRefused):
                item.lacks(f"{path.name}: {inspection}")
                continue
            if column not in ("path", inspection.modality):
                reason = Undecodable(f"the column says {column}, the file is {inspection.modality}")
                item.lacks(f"{path.name}: {reason}")
                continue
            count += 1
            name = f"{self._base(item.name)}:{inspection.modality}{count if count > 1 else ''}"
            given = self._attributes(item)
            made, links = file_nodes(inspection, id=name, config=self.config, **given)
            nodes += made
            edges += links
        return nodes, edges

    def _texts(self, item: _Object, *, alone: bool) -> tuple[list[Node], list[Edge]]:
        """The row's text and description; its title too, if there is nothing else."""
        nodes: list[Node] = []
        edges: list[Edge] = []
        given = {name: item.values[name] for name in ("text", "description") if name in item.values}
        if not given and alone and "title" in item.values:
            given = {"title": item.values["title"]}
        for name, text in given.items():
            made, links = text_nodes(
                text,
                id=f"{self._base(item.name)}:{name}",
                longest=self.config["text_fragment"],
                **self._attributes(item),
            )
            nodes += made
            edges += links
        return nodes, edges

    def _base(self, name: str) -> str:
        """What the ids of a row's nodes begin with."""
        return f"{self.collection or self.path.stem}/{name}"

    def _attributes(self, item: _Object) -> dict[str, Any]:
        values = item.values
        return {
            "title": values.get("title"),
            "lang": values.get("lang", self.lang),
            "license": values.get("license"),
            "collection": values.get("collection") or self.collection or self.path.stem,
            "properties": dict(item.extra),
        }


def _related(media: list[Node]) -> list[Edge]:
    """A row's recordings belong to its pictures."""
    pictures = [n.id for n in media if n.modality == Modality.IMAGE]
    sounds = [n.id for n in media if n.modality == Modality.AUDIO]
    return [Edge(sound, RELATED_TO, picture) for sound in sounds for picture in pictures]


def _size_and_time(item: _Object) -> tuple[int, int]:
    """Sizes added up and the newest time of a row's files."""
    stats = [stat_of(path) for _, path in item.files]
    return sum(size for size, _ in stats), max((mtime for _, mtime in stats), default=0)


def _key(stamp: FileStamp) -> tuple[int, int, str]:
    return stamp.size, stamp.mtime_ns, mark_in(stamp)
