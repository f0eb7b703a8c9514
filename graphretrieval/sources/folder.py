"""A folder tree: subfolders are categories, files of one name belong together.

cats/lion.png                a picture in the category cats
cats/lion.txt                describes lion.png; its lines zh_CN.utf8=… are other languages
cats/lion.ogg                a sound related to the picture
cats/lion_desc.ogg           a spoken description of it; lion_desc_fr.ogg is the French one
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from graphretrieval.config import Config
from graphretrieval.errors import InputRefused
from graphretrieval.sources.decode import Inspection
from graphretrieval.sources.files import file_nodes, kind_of, readable, refusal, safe_walk, stamp
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import (
    DESCRIBES,
    IN_CATEGORY,
    RELATED_TO,
    SUBCATEGORY_OF,
    Batch,
    Edge,
    FileStamp,
    Modality,
    Node,
)

BATCH = 128
_TRANSLATED = re.compile(r"^([a-z]{2,3}(?:_[A-Z]{2})?(?:@[a-z]+)?)(?:\.[\w-]+)?=(.*)$")
_SPOKEN = re.compile(r"^(.+?)_desc(?:_([a-z]{2,3}(?:_[A-Za-z]{2})?(?:@[a-z]+)?))?$")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of the listing: what its name says before it is opened."""

    path: Path
    relative: str
    kind: str
    stem: str  # of the thing it belongs to, folded: cats/lion for cats/lion_desc_fr.ogg
    spoken: bool = False
    lang: str | None = None


class FolderSource:
    """Reads a folder tree.

    Args:
        root: the folder.
        reader: decodes files.
        config: lengths of fragments.
        collection: first part of all ids; the folder's name by default.
        lang: language of texts and spoken descriptions that do not say theirs.
        category: a category that everything is put into as well.
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
        self.root = root
        self.reader = reader
        self.config = config
        self.collection = collection or root.name
        self.lang = lang
        self.category = category
        self._entries: list[_Entry] | None = None
        self._refused: list[tuple[Path, InputRefused]] = []

    def total(self) -> int:
        """How many media files there are."""
        return len(self._listing())

    def batches(self, known: Mapping[str, FileStamp]) -> Iterator[Batch]:
        """Categories first, then files that are new or changed, then the edges between files.

        Edges are given again where either end was read, so that a resumed run completes them.
        """
        entries = self._listing()
        yield self._categories(entries)
        refused = [refusal(path, reason) for path, reason in self._refused]
        if refused:
            yield Batch(files=refused)
        things = _things(entries)
        for start in range(0, len(entries), BATCH):
            yield self._read(entries[start : start + BATCH], known)
        for start in range(0, len(entries), 4 * BATCH):
            edges = self._links(entries[start : start + 4 * BATCH], things, known)
            if edges:
                yield Batch(edges=edges)

    # --- listing ------------------------------------------------------------------------

    def _listing(self) -> list[_Entry]:
        if self._entries is None:
            self._entries = []
            for path, danger in safe_walk(self.root):
                kind = kind_of(path)
                if danger is not None:
                    self._refused.append((path, danger))
                elif kind is not None:
                    self._entries.append(self._entry(path, kind))
        return self._entries

    def _entry(self, path: Path, kind: str) -> _Entry:
        relative = path.relative_to(self.root).as_posix()
        folder, _, name = relative.rpartition("/")
        stem = name.removesuffix(path.suffix)
        spoken = _SPOKEN.match(stem) if kind == Modality.AUDIO else None
        stem = spoken[1] if spoken else stem
        lang = (spoken[2] or self.lang) if spoken else None
        return _Entry(path, relative, kind, f"{folder}/{stem}".casefold(), bool(spoken), lang)

    def _categories(self, entries: list[_Entry]) -> Batch:
        folders: set[str] = set()
        for entry in entries:
            parts = entry.relative.split("/")[:-1]
            folders.update("/".join(parts[:i]) for i in range(1, len(parts) + 1))
        nodes = [_category(f, readable(f.rpartition("/")[2])) for f in sorted(folders)]
        edges = [
            Edge(f"cat:{f}", SUBCATEGORY_OF, f"cat:{f.rpartition('/')[0]}")
            for f in sorted(folders)
            if "/" in f
        ]
        if self.category:
            nodes.append(_category(self.category, self.category))
        return Batch(nodes, edges)

    # --- reading ------------------------------------------------------------------------

    def _read(self, entries: list[_Entry], known: Mapping[str, FileStamp]) -> Batch:
        nodes: list[Node] = []
        edges: list[Edge] = []
        files: list[FileStamp] = []
        fresh = []
        for entry in entries:
            seen = _unchanged(entry.path, known)
            if seen is None:
                fresh.append(entry)
            elif seen.refused is not None:
                files.append(seen)
        media = [e for e in fresh if e.kind != "pdf"]
        found = self.reader.inspect([e.path for e in media])
        for entry, inspection in zip(media, found, strict=True):
            if isinstance(inspection, InputRefused):
                files.append(refusal(entry.path, inspection))
                continue
            made, links = self._nodes(entry, inspection)
            files.append(stamp(inspection))
            nodes += made
            edges += links
        for entry in fresh:
            if entry.kind == "pdf":
                made, links, mark = self._pdf(entry)
                files.append(mark)
                nodes += made
                edges += links
        edges += [edge for node in nodes for edge in self._memberships(node)]
        return Batch(nodes, edges, files, len(entries))

    def _nodes(self, entry: _Entry, found: Inspection) -> tuple[list[Node], list[Edge]]:
        name = f"{self.collection}/{entry.relative}"
        if found.modality == Modality.TEXT:
            languages = _languages(found.text or "")
            if len(languages) > 1:
                return self._translated(name, found, languages), []
            return file_nodes(
                found, id=name, collection=self.collection, config=self.config, lang=self.lang
            )
        properties = {"spoken": True} if entry.spoken else {}
        return file_nodes(
            found,
            id=name,
            collection=self.collection,
            config=self.config,
            lang=entry.lang,
            title=readable(entry.relative.rpartition("/")[2].rpartition(".")[0]),
            properties=properties,
        )

    def _translated(self, name: str, found: Inspection, languages: Mapping[str, str]) -> list[Node]:
        return [
            Node(
                f"{name}#{lang}",
                Modality.TEXT,
                uri=str(found.path),
                sha256=found.sha256,
                media_type=found.media_type,
                title=readable(found.path.stem),
                text=text,
                lang=lang,
                collection=self.collection,
            )
            for lang, text in languages.items()
        ]

    def _pdf(self, entry: _Entry) -> tuple[list[Node], list[Edge], FileStamp]:
        from graphretrieval.sources.pdf import read_pdf

        name = f"{self.collection}/{entry.relative}"
        return read_pdf(
            entry.path,
            id=name,
            collection=self.collection,
            config=self.config,
            reader=self.reader,
            lang=self.lang,
        )

    def _memberships(self, node: Node) -> list[Edge]:
        if node.uri is None:
            return []
        folder = Path(node.uri).parent.relative_to(self.root.resolve()).as_posix()
        names = [folder] if folder != "." else []
        names += [self.category] if self.category else []
        return [Edge(node.id, IN_CATEGORY, f"cat:{name}") for name in names]

    # --- links between files ------------------------------------------------------------

    def _links(
        self,
        entries: list[_Entry],
        things: Mapping[str, list[_Entry]],
        known: Mapping[str, FileStamp],
    ) -> list[Edge]:
        edges = []
        for entry in entries:
            for other in things.get(entry.stem, ()):
                relation = _relation(entry, other)
                both_known = all(_unchanged(e.path, known) is not None for e in (entry, other))
                if relation is not None and not both_known:
                    edges += self._edges(entry, relation, other)
        return edges

    def _edges(self, entry: _Entry, relation: str, other: _Entry) -> list[Edge]:
        target = f"{self.collection}/{other.relative}"
        source = f"{self.collection}/{entry.relative}"
        if entry.kind != Modality.TEXT:
            return [Edge(source, relation, target, origin="rule")]
        try:
            text = entry.path.read_text("utf-8")[: 1 << 20]
        except (OSError, UnicodeDecodeError):
            return [Edge(source, relation, target, origin="rule")]
        languages = _languages(text)
        if len(languages) <= 1:
            return [Edge(source, relation, target, origin="rule")]
        return [Edge(f"{source}#{lang}", relation, target, origin="rule") for lang in languages]


def _category(path: str, title: str) -> Node:
    return Node(f"cat:{path}", Modality.CATEGORY, title=title, text=title)


def _things(entries: list[_Entry]) -> dict[str, list[_Entry]]:
    """Pictures and plain sounds by folded stem: what texts and speech can describe."""
    out: dict[str, list[_Entry]] = {}
    for entry in entries:
        if entry.kind in (Modality.IMAGE, Modality.AUDIO) and not entry.spoken:
            out.setdefault(entry.stem, []).append(entry)
    return out


def _relation(entry: _Entry, other: _Entry) -> str | None:
    """How a file belongs to a picture or sound of the same stem."""
    if entry.path == other.path:
        return None
    if entry.kind == Modality.TEXT:
        return DESCRIBES
    if entry.kind == Modality.AUDIO and other.kind == Modality.IMAGE:
        return DESCRIBES if entry.spoken else RELATED_TO
    return None


def _unchanged(path: Path, known: Mapping[str, FileStamp]) -> FileStamp | None:
    """The stamp of a file that has the size and time it had before."""
    seen = known.get(str(path))
    if seen is None:
        return None
    about = path.lstat() if seen.refused else path.stat()
    same = (about.st_size, about.st_mtime_ns) == (seen.size, seen.mtime_ns)
    return seen if same else None


def _languages(text: str) -> dict[str, str]:
    """A description in several languages: the first line is English, then ``xx.utf8=…`` lines.

    A text without such lines comes back as one entry.
    """
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    found = {m[1]: m[2].strip() for line in lines[1:] if (m := _TRANSLATED.match(line))}
    if not lines or not found or len(found) < len(lines) - 1:
        return {"": text}
    return {lang: words for lang, words in {"en": lines[0], **found}.items() if words}
