"""SVG drawings: rendered by resvg after entities and outside references have been checked."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from graphretrieval.errors import TooLarge, Undecodable
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.pictures import on_white

_ENTITY = re.compile(
    rb"<!ENTITY\s+(%\s+)?([\w.:-]+)\s+(?:(SYSTEM|PUBLIC)\b|\"([^\"]*)\"|'([^']*)')", re.I
)
# what all of a drawing's entities may come to, written out
_EXPANSION = 1 << 20
# a reference to anything but a part of the drawing itself or data inside it
_OUTSIDE = re.compile(r"""(href\s*=\s*)(["'])\s*(?!#|data:).*?\2""", re.S)
_DPI = 96  # the CSS pixel: without it, millimetres and points come out at the wrong size


def inspect_svg(path: Path, limits: Limits) -> dict[str, Any]:
    """Render a drawing and tell its type and the size it was rendered at.

    Raises:
        TooLarge: more bytes than a text may have.
        Undecodable: damaged, or with entities that could expand or read other files.
    """
    with _rendered(path, limits) as picture:
        picture.load()
        return {
            "media_type": "image/svg+xml",
            "width": picture.width,
            "height": picture.height,
        }


def load_svg(path: Path, limits: Limits) -> npt.NDArray[np.uint8]:
    """RGB pixels ``(height, width, 3)`` on white, ``image_side`` on the longer side.

    Raises:
        TooLarge: more bytes than a text may have.
        Undecodable: damaged, or with entities that could expand or read other files.
    """
    with _rendered(path, limits) as picture:
        return on_white(picture)


def _rendered(path: Path, limits: Limits) -> Image.Image:
    if path.stat().st_size > limits.max_text_bytes:
        raise TooLarge(
            f"the drawing has {path.stat().st_size:,} bytes, the limit is "
            f"{limits.max_text_bytes:,}",
            remedy="raise max_text_mb",
        )
    data = path.read_bytes()
    _check_entities(data)
    source = _OUTSIDE.sub(r"\1\2#\2", data.decode("utf-8-sig", "replace"))
    width, height = _proportions(source)
    side = limits.image_side
    wide = width >= height
    try:
        drawn = resvg_py.svg_to_bytes(
            svg_string=source,
            dpi=_DPI,
            skip_system_fonts="<text" not in source,
            width=side if wide else None,
            height=None if wide else side,
        )
    except (ValueError, RuntimeError, OverflowError) as e:
        raise Undecodable(f"the drawing cannot be rendered ({e})") from e
    return Image.open(io.BytesIO(bytes(drawn)), formats=("PNG",))


def _proportions(source: str) -> tuple[float, float]:
    """Width and height in any unit, from the root's viewBox or else its own attributes."""
    root = re.search(r"<(?:\w+:)?svg\b[^>]*>", source, re.S)
    tag = root[0] if root else ""
    number = r"\s*([\d.]+(?:e[+-]?\d+)?)"
    sides = [re.search(rf"\s{name}\s*=\s*[\"']{number}(?!\s*%)", tag) for name in _SIDES]
    box = re.search(rf"viewBox\s*=\s*[\"']\s*\S+[\s,]+\S+?[\s,]+{number}[\s,]+{number}", tag)
    try:
        if sides[0] and sides[1]:
            return float(sides[0][1]), float(sides[1][1])
        return (float(box[1]), float(box[2])) if box else (1.0, 1.0)
    except ValueError:
        return 1.0, 1.0


_SIDES = ("width", "height")


def _check_entities(data: bytes) -> None:
    """Allow plain text entities, as drawing programs write for namespaces, and no others."""
    declared = len(re.findall(rb"<!ENTITY", data, re.I))
    if not declared:
        return
    found = _ENTITY.findall(data)
    if len(found) != declared or any(percent for percent, *_ in found):
        raise Undecodable("the drawing declares entities that are not plain text")
    if any(outside for _, _, outside, *_ in found):
        raise Undecodable("the drawing declares entities that are read from elsewhere")
    values = {name: double or single for _, name, _, double, single in found}
    if any(b"&" in value or b"%" in value or b"<" in value for value in values.values()):
        raise Undecodable("the drawing declares entities that are made of others")
    grown = sum(len(value) * data.count(b"&" + name + b";") for name, value in values.items())
    if grown > _EXPANSION:
        raise Undecodable(f"the drawing's entities expand to {grown:,} bytes")
