"""An IIIF Presentation manifest (2 or 3) from a file, with pictures that lie beside it.

Nothing is fetched: of each canvas's picture the file of the same name is taken, from the
manifest's folder or below. ``…/folio-1/full/max/0/default.jpg`` is looked for as ``folio-1.jpg``
(or another suffix), ``…/folio-1.jpg`` as itself. See https://iiif.io/api/presentation/3.0/.

For those who add: ``docs/inputs.md``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from graphretrieval.config import Config
from graphretrieval.errors import InputRefused, TooLarge, Undecodable
from graphretrieval.sources.decode import Inspection, hash_of, kind_of
from graphretrieval.sources.files import file_nodes, readable, safe_walk, stamp, text_nodes
from graphretrieval.sources.media import MediaReader
from graphretrieval.sources.records import category_id, implied_node
from graphretrieval.sources.rows import json_object, stat_of
from graphretrieval.types import (
    DESCRIBES,
    IN_CATEGORY,
    JSON,
    NEXT,
    PART_OF,
    SEARCHED,
    Batch,
    Edge,
    FileStamp,
    Modality,
    Node,
)

_TAG = re.compile(r"<[^>]{0,500}>")
# the image API's ends: /{region}/{size}/{rotation}/{quality}.{format}
_SERVICE = re.compile(r"(.+)/[^/]+/[^/]+/!?[\d.]+/(?:default|native|color|gray|bitonal)\.\w+$")
_NO_LANGUAGE = ("none", "@none", "und")


@dataclass(frozen=True, slots=True)
class _Canvas:
    """One view of the object: what it is called, and where its picture is said to be."""

    label: str | None
    address: str


class IiifSource:
    """Reads one manifest: the object as a source node, its pictures as parts of it in order.

    Its label and summary become a text for each language that describes the object, and the
    picture where there is just one; metadata become properties. A view's stamp, under
    ``book.json:canvas-2``, remembers its picture: others may know the same file by its own name.

    Args:
        path: the manifest, a JSON file.
        reader: decodes the pictures.
        config: lengths of fragments.
        collection: first part of all ids; the name of the folder by default.
        lang: language of texts that do not say theirs.
        category: a category that everything is put into.
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
    ) -> None:
        self.path = path
        self.reader = reader
        self.config = config
        self.collection = collection or path.parent.name or "iiif"
        self.lang = lang
        self.category = category

    def total(self) -> int:
        """One object."""
        return 1

    def batches(self, known: Mapping[str, FileStamp]) -> Iterator[Batch]:
        """The object with all that belongs to it, unless manifest and pictures are as they were.

        Raises:
            InputRefused: the file is no manifest.
        """
        document = _read(self.path, self.reader.limits.max_text_bytes)
        canvases = list(_canvases(document))
        files = self._files()
        places = [_find(canvas.address, files) for canvas in canvases]
        marks = self._marks(places, known)
        if all(mark is not None for mark in marks):
            yield Batch(files=[s for s in marks if s and s.refused is not None], done=1)
            return
        yield self._batch(document, canvases, places)

    def _files(self) -> dict[str, Path]:
        """Pictures in the manifest's folder and below, by name in lower case."""
        found = (p for p in safe_walk(self.path.parent) if isinstance(p, Path))
        return {p.name.casefold(): p for p in found if kind_of(p) == Modality.IMAGE}

    def _marks(
        self, places: list[Path | None], known: Mapping[str, FileStamp]
    ) -> list[FileStamp | None]:
        """Stamps of the manifest and its views, ``None`` for what is new or changed."""
        uris = [str(self.path), *(self._view(i) for i in range(1, len(places) + 1))]
        out = []
        for uri, path in zip(uris, (self.path, *places), strict=True):
            mark = known.get(uri)
            same = mark is not None and (mark.size, mark.mtime_ns) == _size_and_time(path)
            out.append(mark if same else None)
        return out

    def _view(self, number: int) -> str:
        return f"{self.path}:canvas-{number}"

    def _batch(
        self, document: dict[str, Any], canvases: list[_Canvas], places: list[Path | None]
    ) -> Batch:
        base = f"{self.collection}/{self.path.name}"
        common = self._common(document)
        mark = stamp(self.path, sha256=hash_of(self.path))
        about: dict[str, Any] = {
            "uri": mark.uri,
            "sha256": mark.sha256,
            "media_type": "application/ld+json",
        }
        nodes = [Node(base, Modality.SOURCE, **{**common, **about})]
        edges: list[Edge] = []
        files = [mark]
        found = iter(self.reader.inspect([p for p in places if p is not None]))
        pictures: list[str] = []
        for number, (canvas, place) in enumerate(zip(canvases, places, strict=True), 1):
            item = _missing(canvas) if place is None else next(found)
            if isinstance(item, InputRefused):
                reason = str(item) if place is None else f"{place.name}: {item}"
                files.append(FileStamp(self._view(number), *_size_and_time(place), "", reason))
                continue
            picture = self._picture(item, f"{base}#canvas={number}", canvas, common)
            nodes.append(picture)
            pictures.append(picture.id)
            files.append(replace(stamp(item), uri=self._view(number)))
        edges += [Edge(picture, PART_OF, base, origin="rule") for picture in pictures]
        edges += [Edge(a, NEXT, b, origin="rule") for a, b in pairwise(pictures)]
        described = [base, *pictures] if len(pictures) == 1 else [base]
        more, links = self._texts(document, base, described, common)
        nodes += more
        edges += links
        if self.category:
            edges += [
                Edge(n.id, IN_CATEGORY, category_id(self.category))
                for n in nodes
                if n.modality in SEARCHED
            ]
            nodes.append(implied_node(category_id(self.category), IN_CATEGORY))
        return Batch(nodes, edges, files, 1)

    def _common(self, document: dict[str, Any]) -> dict[str, Any]:
        label = _first(_by_language(document.get("label"), self.lang))
        rights = document.get("rights") or document.get("license")
        return {
            "title": label or readable(self.path.stem),
            "license": rights if isinstance(rights, str) else None,
            "collection": self.collection,
            "properties": _metadata(document, self.lang),
        }

    def _picture(self, item: Inspection, id: str, canvas: _Canvas, common: dict[str, Any]) -> Node:
        title = " · ".join(filter(None, (common["title"], canvas.label)))
        given = {**common, "title": title}
        nodes, _ = file_nodes(item, id=id, config=self.config, **given)
        return nodes[0]

    def _texts(
        self, document: dict[str, Any], base: str, described: list[str], common: dict[str, Any]
    ) -> tuple[list[Node], list[Edge]]:
        labels = _by_language(document.get("label"), self.lang)
        summaries = _by_language(document.get("summary", document.get("description")), self.lang)
        nodes: list[Node] = []
        edges: list[Edge] = []
        for lang in dict.fromkeys([*labels, *summaries]):
            words = [texts[lang] for texts in (labels, summaries) if lang in texts]
            made, links = text_nodes(
                "\n".join(words),
                id=f"{base}#{lang or 'text'}",
                longest=self.config["text_fragment"],
                lang=lang,
                **{**common, "properties": {}},
            )
            nodes += made
            edges += links
            edges += [
                Edge(n.id, DESCRIBES, thing)
                for n in made
                if n.modality == Modality.TEXT
                for thing in described
            ]
        return nodes, edges


def _read(path: Path, limit: int) -> dict[str, Any]:
    size = path.stat().st_size
    if size > limit:
        raise TooLarge(f"the manifest has {size:,} bytes", remedy="raise max_text_mb")
    document = json_object(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    if isinstance(document, InputRefused):
        raise Undecodable(f"{path.name} cannot be read: {document}")
    kind = document.get("type", document.get("@type"))
    if kind not in ("Manifest", "sc:Manifest"):
        raise InputRefused(
            f"{path.name} is no IIIF manifest (its type is {kind!r})",
            remedy="give a Presentation 2 or 3 manifest, not a collection",
        )
    return document


def _canvases(document: dict[str, Any]) -> Iterator[_Canvas]:
    """The views in order, of version 3 or 2, those without a picture left out."""
    for canvas in _objects(document.get("items")):
        for page in _objects(canvas.get("items")):
            for note in _objects(page.get("items")):
                for body in _objects(note.get("body")):
                    if isinstance(body.get("id"), str):
                        yield _Canvas(_label(canvas), body["id"])
    for sequence in _objects(document.get("sequences"))[:1]:
        for canvas in _objects(sequence.get("canvases")):
            for image in _objects(canvas.get("images"))[:1]:
                for body in _objects(image.get("resource")):
                    if isinstance(body.get("@id"), str):
                        yield _Canvas(_label(canvas), body["@id"])


def _objects(value: Any) -> list[dict[str, Any]]:
    return [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, dict)]


def _label(canvas: dict[str, Any]) -> str | None:
    return _first(_by_language(canvas.get("label"), None))


def _size_and_time(place: Path | None) -> tuple[int, int]:
    return (0, 0) if place is None else stat_of(place)


def _find(address: str, files: Mapping[str, Path]) -> Path | None:
    try:
        place = unquote(urlsplit(address).path)
    except ValueError:  # http://[h/f1.png is no address
        return None
    service = _SERVICE.match(place)
    name = (service[1] if service else place).rstrip("/").rpartition("/")[2].casefold()
    if service is None and name in files:
        return files[name]
    stem = name if service else name.rpartition(".")[0] or name
    alike = sorted(n for n in files if n == name or n.rpartition(".")[0] == stem)
    return files[alike[0]] if alike else None


def _missing(canvas: _Canvas) -> InputRefused:
    return InputRefused(
        f"no file beside the manifest belongs to {canvas.address[:200]}",
        remedy="save the picture in the manifest's folder; nothing is fetched",
    )


def _by_language(value: Any, default: str | None) -> dict[str | None, str]:
    """A label of version 3 (language → lines) or 2 (words, or words with a language)."""
    out: dict[str | None, list[str]] = {}
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, str):
            out.setdefault(default, []).append(part)
        elif isinstance(part, dict) and isinstance(part.get("@value"), str):
            lang = part.get("@language")
            out.setdefault(lang if isinstance(lang, str) else default, []).append(part["@value"])
        elif isinstance(part, dict):
            for lang, lines in part.items():
                words = [line for line in _lines(lines) if isinstance(line, str)]
                out.setdefault(default if lang in _NO_LANGUAGE else lang, []).extend(words)
    plain = {lang: _plain(" ".join(lines)) for lang, lines in out.items()}
    return {lang: text for lang, text in plain.items() if text}


def _lines(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _plain(text: str) -> str:
    """Text without the few tags that the standard allows in it."""
    return re.sub(r"\s+", " ", html.unescape(_TAG.sub(" ", text))).strip()


def _first(texts: Mapping[str | None, str]) -> str | None:
    return texts.get("en") or next(iter(texts.values()), None)


def _metadata(document: dict[str, Any], lang: str | None) -> dict[str, JSON]:
    """Label → value, in the first language given, and the manifest's own address."""
    out: dict[str, JSON] = {}
    for row in _objects(document.get("metadata")):
        name = _first(_by_language(row.get("label"), lang))
        value = _first(_by_language(row.get("value"), lang))
        if name and value:
            out[name] = value
    credit = document.get("attribution")
    if not credit and isinstance(document.get("requiredStatement"), dict):
        credit = document["requiredStatement"].get("value")
    if said := _first(_by_language(credit, lang)):
        out["attribution"] = said
    address = document.get("id", document.get("@id"))
    if isinstance(address, str):
        out["manifest"] = address
    return out
