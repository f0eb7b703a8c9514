"""A folder tree: subfolders are categories, and files of one name belong together.

cats/lion.png           a picture in the category cats
cats/lion.txt           describes lion.png; lines zh_CN.utf8=… in it are other languages
cats/lion.ogg           a sound related to the picture
cats/lion_desc.ogg      a spoken description of it; lion_desc_fr.ogg is the French one

For those who add: ``docs/inputs.md``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from graphretrieval.config import Config
from graphretrieval.errors import InputRefused, InvalidNode
from graphretrieval.sources.decode import Inspection
from graphretrieval.sources.files import (
    UnsafeFile,
    file_nodes,
    kind_of,
    readable,
    safe_walk,
    stamp,
)
from graphretrieval.sources.media import MediaReader
from graphretrieval.sources.pdf import read_pdf
from graphretrieval.types import (
    DESCRIBES,
    IN_CATEGORY,
    RELATED_TO,
    SEARCHED,
    SUBCATEGORY_OF,
    Batch,
    Edge,
    FileStamp,
    Modality,
    Node,
)

#: Files read before they are handed on: what one transaction holds and one crash can cost.
BATCH = 64
# a language with its script, region and variants, as in zh_CN, zh-Hans-CN, es_419, ca@valencia
_CODE = r"[a-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,4}(?:@[a-z]+)?"
_TRANSLATED = re.compile(rf"\s*({_CODE})\.(?i:utf-?8)\s*=(.*)$")
# in a file's name any word could follow: one code of letters, and a region
_LANG = r"[a-z]{2,3}(?:[-_][A-Za-z]{2,4})?(?:[-_](?:[A-Za-z]{2}|\d{3}))?(?:@[a-z]+)?"
_SPOKEN = re.compile(rf"(.+)_desc(?:_({_LANG}))?$", re.I)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of the listing: what its name says before it is opened."""

    path: Path
    relative: str
    kind: str
    group: tuple[str, str]  # folder, and folded stem of the thing it belongs to
    spoken: bool = False
    lang: str | None = None


@dataclass(slots=True)
class _Found:
    """What a batch has come to so far."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    files: list[FileStamp] = field(default_factory=list)


class FolderSource:
    """Reads a folder tree.

    Files that share a folder and a stem are read together, so that each batch holds all edges
    between them, and a run that was stopped goes on with the next ones. An unchanged file is not
    opened, except a text that describes a new or changed one: its languages must be known.

    Args:
        root: the folder.
        reader: decodes the files.
        config: lengths of fragments.
        collection: first part of all ids; the folder's name by default.
        lang: language of texts and spoken descriptions that do not say theirs.
        category: a category that all items are put into as well.
    """

    def __init__(
        self,
        root: Path,
        *,
        reader: MediaReader,
        config: Config,
        collection: str | None = None,
        lang: str | None = None,
        category: str | None = None,
    ) -> None:
        self.root = root.resolve()
        self.reader = reader
        self.config = config
        self.collection = collection or self.root.name
        self.lang = lang
        self.category = category
        #: files that are no media, seen and passed over by the listing: how many by ending
        self.ignored: Counter[str] = Counter()
        self._entries: list[_Entry] | None = None
        self._unsafe: list[FileStamp] = []

    def total(self) -> int:
        """How many media files there are, those that must not be opened included."""
        return len(self._listing()) + len(self._unsafe)

    def batches(self, known: Mapping[str, FileStamp]) -> Iterator[Batch]:
        """Read what is new or changed, files of one name together, some 64 files at a time.

        A category comes with the first item in it.
        """
        entries = self._listing()
        if self._unsafe:
            yield Batch(files=self._unsafe, done=len(self._unsafe))
        seen: set[str] = set()
        for groups in _chunks(entries, BATCH):
            yield self._read(groups, known, seen)

    def _listing(self) -> list[_Entry]:
        if self._entries is None:
            self._entries = []
            for path in safe_walk(self.root):
                if isinstance(path, UnsafeFile):
                    self._unsafe.append(stamp(path.path, refused=path))
                elif isinstance(path, Path):
                    self._list(path, self._entries)
            self._entries.sort(key=lambda e: (e.group, e.relative))
        return self._entries

    def _list(self, path: Path, entries: list[_Entry]) -> None:
        kind = kind_of(path)
        if kind is None:
            self.ignored[(path.suffix or path.name).lower()] += 1
            return
        relative = path.relative_to(self.root).as_posix()
        folder, _, name = relative.rpartition("/")
        stem = name.removesuffix(path.suffix)
        spoken = _SPOKEN.match(stem) if kind == Modality.AUDIO else None
        thing = _folded(spoken[1] if spoken else stem)
        lang = (spoken[2].replace("-", "_") if spoken[2] else self.lang) if spoken else None
        entries.append(_Entry(path, relative, kind, (folder, thing), bool(spoken), lang))

    def _read(
        self, groups: list[list[_Entry]], known: Mapping[str, FileStamp], seen: set[str]
    ) -> Batch:
        out = _Found()
        kept = {e.path: s for g in groups for e in g if (s := _unchanged(e.path, known))}
        # still unreadable: not opened, but reported again
        out.files += [s for s in kept.values() if s.refused is not None]
        opened = [e for group in groups for e in _to_open(group, kept)]
        made = self._made(opened, known, out)
        for group in groups:
            fresh = [e for e in group if e.path not in kept]
            if fresh:
                out.edges += self._links(group, fresh, made, kept)
        self._categorise([n for nodes in made.values() for n in nodes], opened, out, seen)
        whole = [str(path) for path, nodes in made.items() if nodes]
        return Batch(out.nodes, out.edges, out.files, sum(map(len, groups)), whole)

    def _made(
        self, entries: Sequence[_Entry], known: Mapping[str, FileStamp], out: _Found
    ) -> dict[Path, list[Node]]:
        """Read files into ``out``; the nodes of each that could be read.

        A file that is refused keeps the nodes that it had, and its stamp says of what content they
        are: it may have been moved while the folder was read.
        """
        made: dict[Path, list[Node]] = {}
        media = [e for e in entries if e.kind != "pdf"]
        inspected = dict(zip(media, self.reader.inspect([e.path for e in media]), strict=True))
        for entry in entries:
            try:
                nodes, edges, mark = self._nodes(entry, inspected.get(entry))
            except InputRefused as reason:
                before = known.get(str(entry.path))
                sha256 = before.sha256 if before else ""
                out.files.append(stamp(entry.path, sha256=sha256, refused=reason))
                continue
            except InvalidNode as e:  # its name, of which the id is made, is no line of text
                unnamed = InputRefused(e.problem, remedy="rename the file")
                out.files.append(stamp(entry.path, refused=unnamed))
                continue
            made[entry.path] = nodes
            out.nodes += nodes
            out.edges += edges
            out.files.append(mark)
        return made

    def _nodes(
        self, entry: _Entry, found: Inspection | InputRefused | None
    ) -> tuple[list[Node], list[Edge], FileStamp]:
        id = f"{self.collection}/{entry.relative}"
        given: dict[str, Any] = {"id": id, "collection": self.collection, "config": self.config}
        if isinstance(found, InputRefused):
            raise found
        if found is None:
            return read_pdf(entry.path, reader=self.reader, lang=self.lang, **given)
        if found.modality == Modality.TEXT:
            return *self._text(found, given), stamp(found)
        if entry.spoken:
            given["properties"] = {"spoken": True}
        return *file_nodes(found, lang=entry.lang, **given), stamp(found)

    def _text(self, found: Inspection, given: dict[str, Any]) -> tuple[list[Node], list[Edge]]:
        languages = _languages(found.text or "", self.lang or "en")
        if not languages:
            return file_nodes(found, lang=self.lang, **given)
        nodes = []
        for lang, words in languages.items():
            own = {**given, "id": f"{given['id']}#{lang}"}
            nodes += file_nodes(found, lang=lang, text=words, **own)[0]
        return nodes, []

    def _links(
        self,
        group: Sequence[_Entry],
        fresh: Sequence[_Entry],
        made: Mapping[Path, list[Node]],
        kept: Mapping[Path, FileStamp],
    ) -> list[Edge]:
        """Edges between files of one name, where one of the two is new or changed."""
        good = [e for e in group if e.path in made or _is_good(kept.get(e.path))]
        # a text that was opened again and could not be read this time says nothing
        good = [e for e in good if e.path in made or e.kind != Modality.TEXT]
        edges = []
        for entry in good:
            for other in good:
                relation = _relation(entry, other)
                if relation and (entry in fresh or other in fresh):
                    target = f"{self.collection}/{other.relative}"
                    edges += [
                        Edge(s, relation, target, origin="rule") for s in self._ends(entry, made)
                    ]
        return edges

    def _ends(self, entry: _Entry, made: Mapping[Path, list[Node]]) -> list[str]:
        """The ids that speak for a file: all languages of a text, or the whole of a recording."""
        if entry.kind == Modality.TEXT:
            return [node.id for node in made[entry.path] if node.modality == Modality.TEXT]
        return [f"{self.collection}/{entry.relative}"]

    def _categorise(
        self, nodes: Iterable[Node], opened: Sequence[_Entry], out: _Found, seen: set[str]
    ) -> None:
        """Put items into the categories that their folders are, with all those above."""
        folders = {str(e.path): e.group[0] for e in opened}
        for node in nodes:
            if node.modality not in SEARCHED:
                continue
            for category in filter(None, (folders[str(node.uri)], self.category)):
                out.edges.append(Edge(node.id, IN_CATEGORY, f"cat:{category}"))
                _define(category, out, seen)


def _define(category: str, out: _Found, seen: set[str]) -> None:
    """The node of a category and of those above it, once a run."""
    while category not in seen:
        seen.add(category)
        above, _, name = category.rpartition("/")
        title = readable(name)
        out.nodes.append(Node(f"cat:{category}", Modality.CATEGORY, title=title, text=title))
        if not above:
            return
        out.edges.append(Edge(f"cat:{category}", SUBCATEGORY_OF, f"cat:{above}"))
        category = above


def _chunks(entries: Sequence[_Entry], size: int) -> Iterator[list[list[_Entry]]]:
    """Files of one name together, about ``size`` files at a time."""
    chunk: list[list[_Entry]] = []
    for _, group in groupby(entries, key=lambda e: e.group):
        chunk.append(list(group))
        if sum(map(len, chunk)) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _to_open(group: Sequence[_Entry], kept: Mapping[Path, FileStamp]) -> list[_Entry]:
    """Files that are new or changed, and good texts beside them."""
    if all(e.path in kept for e in group):
        return []
    texts = [e for e in group if e.kind == Modality.TEXT and _is_good(kept.get(e.path))]
    return [e for e in group if e.path not in kept or e in texts]


def _unchanged(path: Path, known: Mapping[str, FileStamp]) -> FileStamp | None:
    """The stamp of a file that has the size and time it had before."""
    seen = known.get(str(path))
    if seen is None:
        return None
    try:
        about = path.stat()
    except OSError:
        return None
    same = (about.st_size, about.st_mtime_ns) == (seen.size, seen.mtime_ns)
    return seen if same else None


def _is_good(mark: FileStamp | None) -> bool:
    return mark is not None and mark.refused is None


def _relation(entry: _Entry, other: _Entry) -> str | None:
    """How a file belongs to a picture or sound of the same stem, if it does."""
    thing = other.kind == Modality.IMAGE or (other.kind == Modality.AUDIO and not other.spoken)
    if entry.kind == Modality.TEXT:
        return DESCRIBES if thing else None
    if entry.kind == Modality.AUDIO and other.kind == Modality.IMAGE:
        return DESCRIBES if entry.spoken else RELATED_TO
    return None


def _folded(stem: str) -> str:
    """A stem as names are compared: without case, and é in one sign or two alike."""
    plain = unicodedata.normalize("NFD", stem).casefold()
    return unicodedata.normalize("NFC", plain)


def _languages(text: str, first: str) -> dict[str, str]:
    """Texts by language of a description whose lines are ``xx.utf8=…``, the first one or not.

    Empty if the text is not of that form. A first line without a code is in language ``first``;
    ``zh-CN`` is written ``zh_CN``, and lines of one language are one text.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found: dict[str, dict[str, None]] = {}
    if lines and not _TRANSLATED.match(lines[0]):
        found[first] = {lines.pop(0): None}
    matches = [_TRANSLATED.match(line) for line in lines]
    if not lines or not all(matches):
        return {}
    for match in filter(None, matches):
        if words := match[2].strip():
            found.setdefault(match[1].replace("-", "_"), {})[words] = None
    return {lang: "\n".join(said) for lang, said in found.items()}
