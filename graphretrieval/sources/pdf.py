"""A PDF: one source node for the document, and a text node for each page that has text.

For those who add: ``docs/inputs.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from graphretrieval.config import Config
from graphretrieval.errors import InputRefused
from graphretrieval.sources.files import readable
from graphretrieval.sources.fragments import cut_text
from graphretrieval.sources.media import MediaReader
from graphretrieval.sources.records import category_id, implied_node
from graphretrieval.sources.rows import stat_of
from graphretrieval.types import (
    IN_CATEGORY,
    NEXT,
    PART_OF,
    Batch,
    Edge,
    FileStamp,
    Modality,
    Node,
)

_PAGES = "graphretrieval.sources.pages:pdf_pages"


def read_pdf(
    path: Path,
    *,
    id: str,
    collection: str,
    config: Config,
    reader: MediaReader,
    lang: str | None = None,
) -> tuple[list[Node], list[Edge], FileStamp]:
    """Nodes and edges of a PDF with its stamp; a refused one has no nodes, and a reason."""
    about = stat_of(path)
    answer = next(iter(reader.run(_PAGES, [(path,)])))
    if isinstance(answer, InputRefused):
        return [], [], FileStamp(str(path), *about, "", str(answer))
    sha256, title, pages = answer
    stamp = FileStamp(str(path), *about, sha256)
    longest = config["text_fragment"]
    title = title or readable(path.stem)
    nodes, edges = pdf_nodes(
        pages, stamp, id=id, title=title, collection=collection, lang=lang, longest=longest
    )
    return nodes, edges, stamp


def pdf_nodes(
    pages: list[str],
    stamp: FileStamp,
    *,
    id: str,
    title: str,
    collection: str,
    longest: int,
    lang: str | None = None,
) -> tuple[list[Node], list[Edge]]:
    """The document as a source node, its pages as texts that are ``PART_OF`` it, in order.

    Page 3 is ``id#page=3``; cut where it is longer than ``longest`` characters, its parts are
    ``id#page=3:0-598`` and so on. Pages without text are left out.
    """
    common: dict[str, Any] = {
        "uri": stamp.uri,
        "sha256": stamp.sha256,
        "media_type": "application/pdf",
        "title": title,
        "lang": lang,
        "collection": collection,
    }
    nodes = [Node(id, Modality.SOURCE, **common, properties={"pages": len(pages)})]
    for number, text in enumerate(pages, 1):
        place: dict[str, Any] = {"start": float(number), "end": float(number), "unit": "page"}
        for name, piece in _pieces(f"{id}#page={number}", text, longest):
            nodes.append(Node(name, Modality.TEXT, text=piece, **common, **place))
    names = [node.id for node in nodes[1:]]
    edges = [Edge(name, PART_OF, id, origin="rule") for name in names]
    edges += [Edge(a, NEXT, b, origin="rule") for a, b in pairwise(names)]
    return nodes, edges


def _pieces(name: str, text: str, longest: int) -> list[tuple[str, str]]:
    if len(text) <= longest:
        return [(name, text)] if text else []
    return [(f"{name}:{a}-{b}", text[a:b]) for a, b in cut_text(text, longest)]


class PdfSource:
    """Reads a single PDF.

    Args:
        path: the file.
        reader: decodes it.
        config: length of fragments.
        collection: first part of its id; the name of its folder by default.
        lang: language of its text.
        category: a category its pages are put into.
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
        self.collection = collection
        self.lang = lang
        self.category = category

    def total(self) -> int:
        """One document."""
        return 1

    def batches(self, known: Mapping[str, FileStamp]) -> Iterator[Batch]:
        """The document, unless it is as it was."""
        seen = known.get(str(self.path))
        if seen is not None and stat_of(self.path) == (seen.size, seen.mtime_ns):
            yield Batch(files=[seen] if seen.refused is not None else [], done=1)
            return
        collection = self.collection or self.path.parent.name or "pdf"
        nodes, edges, stamp = read_pdf(
            self.path,
            id=f"{collection}/{self.path.name}",
            collection=collection,
            config=self.config,
            reader=self.reader,
            lang=self.lang,
        )
        if self.category and nodes:
            category = category_id(self.category)
            edges += [Edge(node.id, IN_CATEGORY, category) for node in nodes[1:]]
            nodes.append(implied_node(category, IN_CATEGORY))
        yield Batch(nodes, edges, [stamp], 1, [stamp.uri] if nodes else [])
