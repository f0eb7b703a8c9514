"""One media file → its nodes: an item, or a source with fragments that know their place."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphretrieval.config import Config
from graphretrieval.errors import InputRefused, UnsafePath
from graphretrieval.sources.decode import SUFFIXES, Inspection, kind_of
from graphretrieval.sources.fragments import cut_audio, cut_text
from graphretrieval.types import NEXT, PART_OF, Edge, FileStamp, Modality, Node

__all__ = ["SUFFIXES", "file_nodes", "kind_of", "readable", "refusal", "safe_walk", "stamp"]


def readable(stem: str) -> str:
    """A file's stem as a title: ``fire-truck_2`` → ``fire truck 2``."""
    return re.sub(r"[\s_\-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem)).strip() or stem


def stamp(found: Inspection) -> FileStamp:
    """What is remembered of a file that was read."""
    return FileStamp(str(found.path), found.size, found.mtime_ns, found.sha256)


def refusal(path: Path, reason: InputRefused) -> FileStamp:
    """What is remembered of a file that was refused."""
    try:
        about = path.lstat()
        size, mtime = about.st_size, about.st_mtime_ns
    except OSError:
        size = mtime = 0
    return FileStamp(str(path), size, mtime, "", str(reason))


def file_nodes(
    found: Inspection, *, id: str, collection: str, config: Config, **attributes: Any
) -> tuple[list[Node], list[Edge]]:
    """Nodes and edges of one file.

    A long text or recording becomes a source node with this id and fragments ``id#start-end``
    that are ``PART_OF`` it and follow each other by ``NEXT``.
    """
    common: dict[str, Any] = {
        "uri": str(found.path),
        "sha256": found.sha256,
        "media_type": found.media_type,
        "title": readable(found.path.stem),
        "collection": collection,
        "width": found.width,
        "height": found.height,
        "duration": found.duration,
        **attributes,
    }
    if found.modality == Modality.TEXT and found.text is not None:
        return text_nodes(found.text, id, config["text_fragment"], common)
    longest = config["audio_fragment"]
    if found.modality == Modality.AUDIO and (found.duration or 0) > longest:
        places = cut_audio(found.duration or 0.0, longest)
        parts = [{"start": a, "end": b, "unit": "seconds", "duration": b - a} for a, b in places]
        return _with_source(id, Modality.AUDIO, common, parts)
    return [Node(id, found.modality, **common)], []


def text_nodes(
    text: str, id: str, longest: int, common: dict[str, Any]
) -> tuple[list[Node], list[Edge]]:
    """A text as one node, or as a source with fragments if it is longer than ``longest``."""
    text = text.strip()
    if len(text) <= longest:
        return [Node(id, Modality.TEXT, text=text, **common)], []
    parts = [
        {"start": float(a), "end": float(b), "unit": "characters", "text": text[a:b]}
        for a, b in cut_text(text, longest)
    ]
    return _with_source(id, Modality.TEXT, common, parts)


def _with_source(
    id: str, modality: str, common: dict[str, Any], parts: list[dict[str, Any]]
) -> tuple[list[Node], list[Edge]]:
    nodes = [Node(id, Modality.SOURCE, **common)]
    edges = []
    last = None
    for part in parts:
        name = f"{id}#{part['start']:g}-{part['end']:g}"
        nodes.append(Node(name, modality, **{**common, **part}))
        edges.append(Edge(name, PART_OF, id, origin="rule"))
        if last is not None:
            edges.append(Edge(last, NEXT, name, origin="rule"))
        last = name
    return nodes, edges


def safe_walk(root: Path) -> Iterator[tuple[Path, InputRefused | None]]:
    """All files below a folder in order, each with the reason it must not be opened, if any.

    Hidden files are passed over. Links are followed only to files inside the tree, never to
    folders, so that there are no loops and no way out.
    """
    inside = root.resolve()
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        links = [f for f in folders if (Path(folder) / f).is_symlink()]
        for name in sorted([*names, *links]):
            if name.startswith("."):
                continue
            path = Path(folder) / name
            yield path, _danger(path, inside)


def _danger(path: Path, inside: Path) -> InputRefused | None:
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            return UnsafePath("the link leads out of the folder")
        mode = path.stat().st_mode
    except (OSError, RuntimeError) as e:
        return UnsafePath(f"the link leads nowhere ({e.__class__.__name__})")
    if stat.S_ISDIR(mode):
        return UnsafePath("links to folders are not followed")
    if not stat.S_ISREG(mode):
        return InputRefused("it is no regular file")
    return None
