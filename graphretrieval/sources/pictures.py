"""Pictures made of pixels: checked from the header on, laid on white, made small."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from graphretrieval.errors import TooLarge, Undecodable
from graphretrieval.sources.limits import Limits

#: Formats that Pillow decodes without starting another program.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000")
_MEDIA_TYPES = {"MPO": "image/jpeg", "PPM": "image/x-portable-anymap"}
# EXIF fields worth keeping
_EXIF = {270: "description", 315: "artist", 33432: "copyright", 306: "taken"}


def inspect_image(path: Path, limits: Limits) -> dict[str, Any]:
    """Decode a picture and tell its type, upright size and what its EXIF fields say.

    Raises:
        TooLarge: more pixels, or more memory for them, than the limits allow.
        Undecodable: damaged, or in no format that is read.
    """
    with _opened(path, limits) as picture:
        width, height = picture.size
        _decode(picture, limits)  # before EXIF: of a PNG it may stand behind the pixels
        exif = picture.getexif()
        if exif.get(274) in (5, 6, 7, 8):  # the camera lay on its side
            width, height = height, width
        known = Image.MIME.get(picture.format or "", "image/x-unknown")
        return {
            "media_type": _MEDIA_TYPES.get(picture.format or "", known),
            "width": width,
            "height": height,
            "exif": _said(exif),
        }


def load_image(path: Path, limits: Limits) -> npt.NDArray[np.uint8]:
    """RGB pixels ``(height, width, 3)``, upright, on white, at most ``image_side`` a side.

    Raises:
        TooLarge: more pixels, or more memory for them, than the limits allow.
        Undecodable: damaged, or in no format that is read.
    """
    with _opened(path, limits) as picture:
        _decode(picture, limits)
        small = _reduced(_eight_bit(picture), limits.image_side)
        upright = ImageOps.exif_transpose(small) if picture.getexif() else small
        return on_white(upright)


def on_white(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """Pixels ``(height, width, 3)`` with transparency laid on white."""
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture)
    return np.array(picture.convert("RGB"), np.uint8)


def _opened(path: Path, limits: Limits) -> Image.Image:
    """The picture with only its header read."""
    # pictures inside pictures are held to the same limit by Pillow itself
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(path, formats=FORMATS)
            # else Pillow maps an uncompressed TIFF that lies on its side by its upright size
            picture.filename = ""
    except UnidentifiedImageError as e:
        raise Undecodable("it is no picture, or one in a format that is not read") from e
    except Image.DecompressionBombError as e:
        raise TooLarge(
            f"the picture has more than {2 * limits.max_pixels:,} pixels, the limit is "
            f"{limits.max_pixels:,}",
            remedy="make it smaller, or raise max_pixels",
        ) from e
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError) as e:
        raise Undecodable(f"the picture is damaged ({e})") from e
    width, height = picture.size
    if width * height > limits.max_pixels:
        picture.close()
        raise TooLarge(
            f"the picture has {width:,} × {height:,} pixels, the limit is {limits.max_pixels:,}",
            remedy="make it smaller, or raise max_pixels",
        )
    return picture


def _decode(picture: Image.Image, limits: Limits) -> None:
    """Decode the first frame; a JPEG at an eighth to all of its size, whatever is enough."""
    side = 2 * limits.image_side
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if min(picture.size) > 2 * side:
                picture.draft(None, (side, side))
            picture.load()
    except Image.DecompressionBombError as e:
        raise TooLarge("a picture inside the file has too many pixels") from e
    except MemoryError as e:
        raise TooLarge(
            f"the picture needs more than {limits.memory_mb} MB of memory to decode",
            remedy="make it smaller, or raise decode_memory_mb",
        ) from e
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError) as e:
        raise Undecodable(f"the picture is damaged ({e})") from e


def _eight_bit(picture: Image.Image) -> Image.Image:
    """The picture in a mode that can be resized: L, LA, RGB or RGBA."""
    if picture.mode.startswith("I") or picture.mode == "F":
        return Image.fromarray(_spread(np.asarray(picture)))
    if picture.mode in ("P", "PA", "1") or "transparency" in picture.info:
        seen_through = picture.mode == "PA" or "transparency" in picture.info
        return picture.convert("RGBA" if seen_through else "RGB")
    if picture.mode not in ("L", "LA", "RGB", "RGBA"):
        return picture.convert("RGBA" if picture.mode.endswith("a") else "RGB")
    return picture


def _spread(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """16-bit values by their high byte; any others from their least to their greatest."""
    if np.issubdtype(values.dtype, np.integer) and values.min() >= 0 and values.max() < 1 << 16:
        return np.asarray(values >> 8, np.uint8)
    finite = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    finite -= low
    finite *= 255.0 / max(high - low, 1e-30)
    return finite.astype(np.uint8)


def _reduced(picture: Image.Image, side: int) -> Image.Image:
    """At most ``side`` pixels on the longer side, proportions kept."""
    longest = max(picture.size)
    if longest <= side:
        return picture
    width, height = (max(1, round(s * side / longest)) for s in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _said(exif: Image.Exif) -> dict[str, str]:
    found = {name: exif.get(tag) for tag, name in _EXIF.items()}
    found["place"] = _place(exif)
    said = {n: v.strip("\0 \r\n\t")[:2000] for n, v in found.items() if isinstance(v, str)}
    return {name: value for name, value in said.items() if value.isprintable() and value}


def _place(exif: Image.Exif) -> str | None:
    """``latitude,longitude`` in degrees, if the camera knew."""
    gps = exif.get_ifd(0x8825)
    try:
        degrees = [
            sum(float(x) / 60**i for i, x in enumerate(gps[tag])) * (-1 if gps[ref] in "SW" else 1)
            for tag, ref in ((2, 1), (4, 3))
        ]
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return ",".join(f"{x:.5f}" for x in degrees)
