"""One media file → its nodes: an item, or a source with fragments that know their place."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from graphretrieval.config import Config
from graphretrieval.errors import InputRefused, UnsafePath
from graphretrieval.sources.decode import SUFFIXES, Inspection, kind_of
from graphretrieval.sources.fragments import cut_audio, cut_text
from graphretrieval.types import NEXT, PART_OF, Edge, FileStamp, Modality, Node

__all__ = [
    "SUFFIXES",
    "UnsafeFile",
    "danger",
    "file_nodes",
    "is_gone",
    "kind_of",
    "readable",
    "safe_walk",
    "stamp",
    "text_nodes",
]


class UnsafeFile(UnsafePath):
    """Something met on a walk that must not be opened; ``path`` says where."""

    def __init__(self, problem: str, path: Path, *, remedy: str = "") -> None:
        super().__init__(problem, remedy=remedy)
        self.path = path


#: What a picture's EXIF says of people, kept only if the setting ``redact`` is 0.
PERSONAL = frozenset({"artist", "taken", "place"})


def readable(stem: str) -> str:
    """A file's stem as a title: ``fire-truck_2`` → ``fire truck 2``."""
    return re.sub(r"[\s_-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", stem)).strip() or stem


def stamp(
    path: Path | Inspection, *, sha256: str = "", refused: InputRefused | None = None
) -> FileStamp:
    """What is remembered of a file that was read, or was refused with a reason.

    Of an inspected file, size and time are those from before it was decoded, so that a change
    in the meantime is seen next time. Those of one that cannot be looked at any more are 0.
    """
    if isinstance(path, Inspection):
        return FileStamp(str(path.path), path.size, path.mtime_ns, path.sha256)
    reason = None if refused is None else str(refused)
    shown = str(path).encode("utf-8", "replace").decode()  # a name may be no text at all
    return FileStamp(shown, *_size_and_time(path), sha256, reason)


def _size_and_time(path: Path) -> tuple[int, int]:
    for look in (path.stat, path.lstat):  # of a link to nowhere, or in a circle, its own
        try:
            about = look()
        except (OSError, RuntimeError):
            continue
        return about.st_size, about.st_mtime_ns
    return 0, 0


def is_gone(path: str | Path) -> bool:
    """Whether there surely is nothing at a path: one that may not be looked at is not gone."""
    try:
        os.stat(path)
    except OSError as e:
        return e.errno in (errno.ENOENT, errno.ENOTDIR)
    return False


def file_nodes(
    inspection: Inspection, *, id: str, collection: str, config: Config, **attributes: Any
) -> tuple[list[Node], list[Edge]]:
    """Nodes and edges of one file; ``attributes`` are fields of :class:`Node` and come first.

    A text longer than ``text_fragment`` characters or a recording longer than ``audio_fragment``
    seconds becomes a source node with this id and fragments ``id#start-end`` that are ``PART_OF``
    it and follow each other by ``NEXT``.
    """
    common: dict[str, Any] = {
        "uri": str(inspection.path),
        "sha256": inspection.sha256,
        "media_type": inspection.media_type,
        "title": readable(inspection.path.stem),
        "collection": collection,
        "width": inspection.width,
        "height": inspection.height,
        "duration": inspection.duration,
        **attributes,
    }
    said = {k: v for k, v in inspection.exif.items() if k not in PERSONAL or not config["redact"]}
    if said:
        common["properties"] = {**said, **common.get("properties", {})}
    if inspection.modality == Modality.TEXT:
        text = common.pop("text", None) or inspection.text or ""
        return text_nodes(text, id=id, longest=config["text_fragment"], **common)
    if inspection.modality == Modality.AUDIO:
        return _recording(inspection.duration or 0.0, id, config["audio_fragment"], common)
    return [Node(id, inspection.modality, **common)], []


def text_nodes(
    text: str, *, id: str, longest: int, **attributes: Any
) -> tuple[list[Node], list[Edge]]:
    """A text as one node, or as a source with fragments of at most ``longest`` characters.

    Fragments' places are characters of the text as given.
    """
    if len(text.strip()) <= longest:
        return [Node(id, Modality.TEXT, text=text.strip(), **attributes)], []
    parts = [
        {"start": float(a), "end": float(b), "unit": "characters", "text": text[a:b]}
        for a, b in cut_text(text, longest)
    ]
    return _with_source(id, Modality.TEXT, attributes, parts)


def _recording(
    duration: float, id: str, longest: float, common: dict[str, Any]
) -> tuple[list[Node], list[Edge]]:
    if duration <= longest:
        return [Node(id, Modality.AUDIO, **common)], []
    parts = [
        {"start": a, "end": b, "unit": "seconds", "duration": round(b - a, 6)}
        for a, b in cut_audio(duration, longest)
    ]
    return _with_source(id, Modality.AUDIO, common, parts)


def _with_source(
    id: str, modality: str, common: dict[str, Any], parts: list[dict[str, Any]]
) -> tuple[list[Node], list[Edge]]:
    nodes = [Node(id, Modality.SOURCE, **common)]
    nodes += [
        Node(f"{id}#{_place(p['start'])}-{_place(p['end'])}", modality, **{**common, **p})
        for p in parts
    ]
    fragments = [node.id for node in nodes[1:]]
    edges = [Edge(fragment, PART_OF, id) for fragment in fragments]
    edges += [Edge(a, NEXT, b) for a, b in pairwise(fragments)]
    return nodes, edges


def _place(value: float) -> str:
    """A place without needless digits: 600, 12.5."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def safe_walk(root: Path) -> Iterator[Path | InputRefused]:
    """All files below a folder, sorted; in place of what must not be opened, an ``UnsafeFile``.

    Hidden files and folders are passed over. Links are followed to files inside the tree only,
    never to folders, so that there is no way out and no circle. A folder that cannot be listed
    comes as an ``UnsafeFile`` too.
    """
    inside = root.resolve()
    failed: list[OSError] = []
    for name, folders, files in os.walk(root, onerror=failed.append, followlinks=False):
        yield from _unlisted(failed)
        folder = Path(name)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        linked = [f for f in folders if (folder / f).is_symlink()]
        for file in sorted([*files, *linked]):
            if not file.startswith("."):
                path = folder / file
                yield danger(path, inside) or path
    yield from _unlisted(failed)


def _unlisted(failed: list[OSError]) -> Iterator[UnsafeFile]:
    """Folders that could not be listed since the last call, less those that are gone."""
    while failed:
        error = failed.pop(0)
        folder = Path(os.fsdecode(error.filename))
        if not is_gone(folder):
            why = f"the folder cannot be listed ({error.strerror})"
            yield UnsafeFile(why, folder, remedy="check its permissions")


def danger(path: Path, inside: Path) -> UnsafeFile | None:
    """Why a path must not be opened, if there is a reason; ``inside`` is the resolved root."""
    if any("\ud800" <= c <= "\udfff" for c in str(path)):
        return UnsafeFile("its name is not in UTF-8", path, remedy="rename the file")
    try:
        real = path.resolve(strict=True)
        mode = real.stat().st_mode
    except PermissionError:
        return UnsafeFile("it may not be looked at", path, remedy="check its folder's permissions")
    except (OSError, RuntimeError):
        return UnsafeFile("the link leads nowhere, or in a circle", path)
    if not real.is_relative_to(inside):
        return UnsafeFile(
            "the path leads out of the folder it was found in",
            path,
            remedy="copy the file into the folder",
        )
    if stat.S_ISDIR(mode):
        return UnsafeFile("links to folders are not followed", path)
    if not stat.S_ISREG(mode):
        return UnsafeFile("it is a device, pipe or socket, not a regular file", path)
    return None
