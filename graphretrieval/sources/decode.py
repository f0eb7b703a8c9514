"""Untrusted bytes → checked content, under limits: what runs in the child process.

Pure functions from a path to what the file holds. Nothing here trusts a file's name: its first
bytes say what it is, and the name is only compared with them.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval.errors import InputRefused, TooLarge, Undecodable
from graphretrieval.sources.limits import Limits
from graphretrieval.types import Array

__all__ = [
    "SUFFIXES",
    "Inspection",
    "Limits",
    "hash_of",
    "inspect",
    "kind_of",
    "load_audio",
    "load_image",
    "read_text",
    "sniff",
]

#: File name endings by what they promise.
SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "image": (
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".gif",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jp2",
        ".svg",
    ),
    "audio": (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    "text": (".txt", ".md", ".text"),
    "pdf": (".pdf",),
}
_HEAD = 4096
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF87a", "image"),
    (b"GIF89a", "image"),
    (b"II*\0", "image"),
    (b"MM\0*", "image"),
    (b"\0\0\0\x0cjP  ", "image"),
    (b"\xff\x4f\xff\x51", "image"),
    (b"OggS", "audio"),
    (b"fLaC", "audio"),
    (b"%PDF-", "pdf"),
)
# marks so short that a text could begin with them, with what must follow
_PATTERNS = (
    (re.compile(rb"BM.{4}\0{4}", re.S), "image"),
    (re.compile(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+\d+\s"), "image"),
    (re.compile(rb"ID3[\x02-\x04]"), "audio"),
    (re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"), "audio"),  # an MPEG frame of layer III
    (re.compile(rb"(RIFF|RF64).{4}WAVE", re.S), "audio"),
    (re.compile(rb"RIFF.{4}WEBP", re.S), "image"),
)
_XML = re.compile(rb"\s*<(\?xml|!DOCTYPE\s+svg|!--|(\w+:)?svg\b)", re.I)
_SVG = re.compile(rb"<(\w+:)?svg\b", re.I)


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file that was decoded and found good; ``duration`` is in seconds."""

    path: Path
    size: int
    mtime_ns: int
    sha256: str
    modality: str
    media_type: str
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    text: str | None = None
    exif: Mapping[str, str] = field(default_factory=dict)


def inspect(path: Path, limits: Limits) -> Inspection:
    """Decode a file far enough to be sure of it.

    Raises:
        TooLarge: it costs more than the limits allow.
        Undecodable: it is empty, damaged, or not what its name says.
        InputRefused: it is no regular file.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise InputRefused("it is no regular file")
    if about.st_size == 0:
        raise Undecodable("the file is empty")
    if about.st_size > limits.max_file_bytes:
        raise TooLarge(
            f"the file has {about.st_size:,} bytes, the limit is {limits.max_file_bytes:,}",
            remedy="raise max_file_mb",
        )
    kind = _checked_kind(path)
    found = _inspect(path, kind, limits)
    return Inspection(path, about.st_size, about.st_mtime_ns, hash_of(path), kind, **found)


def load_image(path: Path, limits: Limits) -> npt.NDArray[np.uint8]:
    """RGB pixels ``(height, width, 3)`` on white, at most ``image_side`` on the longer side.

    Raises:
        InputRefused: with the reason.
    """
    if is_svg(path):
        from graphretrieval.sources.drawings import load_svg

        return load_svg(path, limits)
    from graphretrieval.sources import pictures

    return pictures.load_image(path, limits)


def load_audio(path: Path, start: float, end: float | None, limits: Limits) -> Array:
    """Mono samples ``(n,)`` at ``audio_rate`` from ``start`` to ``end`` seconds, 30 s at most.

    Raises:
        InputRefused: with the reason.
    """
    from graphretrieval.sources import sounds

    return sounds.load_audio(path, start, end, limits)


def read_text(path: Path, limits: Limits) -> str:
    """The text of a file, whatever common encoding it is in.

    Raises:
        InputRefused: with the reason.
    """
    from graphretrieval.sources import texts

    return texts.read_text(path, limits)


def kind_of(path: Path) -> str | None:
    """What a file's name says it is: image, audio, text, pdf, or ``None``."""
    suffix = path.suffix.lower()
    return next((kind for kind, known in SUFFIXES.items() if suffix in known), None)


def sniff(path: Path) -> str | None:
    """What a file's first bytes say it is: image, audio, text, pdf, or ``None``."""
    head = _head(path)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    for pattern, kind in _PATTERNS:
        if pattern.match(head):
            return kind
    if _is_svg(head):
        return "image"
    return "text" if b"\0" not in head or head[:2] in (b"\xff\xfe", b"\xfe\xff") else None


def is_svg(path: Path) -> bool:
    """Whether a file's first bytes are those of a drawing."""
    return _is_svg(_head(path))


def hash_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, read as a stream."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _head(path: Path) -> bytes:
    with path.open("rb") as f:
        return f.read(_HEAD)


def _is_svg(head: bytes) -> bool:
    head = head.removeprefix(b"\xef\xbb\xbf")
    # a long licence or many entities may stand before the root
    return bool(_XML.match(head)) and bool(_SVG.search(head) or b"<!DOCTYPE svg" in head)


def _checked_kind(path: Path) -> str:
    kind, named = sniff(path), kind_of(path)
    if named is not None and kind != named:
        raise Undecodable(
            f"the name ends in {path.suffix}, as {_WORDS[named]} does, but the content is "
            f"{_WORDS[kind]}",
            remedy="rename it, or save it in the format its name says",
        )
    if kind is None:
        raise Undecodable("its content is of no type that is read")
    return kind


_WORDS = {
    "image": "a picture",
    "audio": "a recording",
    "text": "text",
    "pdf": "a PDF",
    None: "of no type that is read",
}


def _inspect(path: Path, kind: str, limits: Limits) -> dict[str, Any]:
    if kind == "image" and is_svg(path):
        from graphretrieval.sources.drawings import inspect_svg

        return inspect_svg(path, limits)
    if kind == "image":
        from graphretrieval.sources.pictures import inspect_image

        return inspect_image(path, limits)
    if kind == "audio":
        from graphretrieval.sources.sounds import inspect_audio

        return inspect_audio(path, limits)
    if kind == "text":
        media_type = "text/markdown" if path.suffix.lower() == ".md" else "text/plain"
        return {"media_type": media_type, "text": read_text(path, limits)}
    raise Undecodable("a PDF is read page by page", remedy="add it by itself or in a folder")
