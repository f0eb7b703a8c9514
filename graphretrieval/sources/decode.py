"""Bytes of untrusted files → checked content, under limits; runs in a child process.

Only Pillow, resvg, soundfile, soxr and pypdf are loaded here, and only when they are needed.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval.config import Config
from graphretrieval.errors import InputRefused, TooLarge, Undecodable
from graphretrieval.types import Array

#: Decoders that read untrusted bytes in Pillow without running another program.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "TGA", "JPEG2000", "PCX")
MAX_FRAGMENT_SECONDS = 60.0
_BLOCK = 1 << 16
_ENTITY = re.compile(rb"<!ENTITY\s+(%\s+)?([\w.-]+)\s+(SYSTEM|PUBLIC|\"[^\"]*\"|'[^']*')", re.I)
_MAGIC = (
    (b"\x89PNG", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
    (b"BM", "image"),
    (b"II*\0", "image"),
    (b"MM\0*", "image"),
    (b"\0\0\0\x0cjP", "image"),
    (b"OggS", "audio"),
    (b"fLaC", "audio"),
    (b"ID3", "audio"),
    (b"\xff\xfb", "audio"),
    (b"\xff\xf3", "audio"),
    (b"\xff\xf2", "audio"),
    (b"%PDF", "pdf"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may cost; beyond it, it is refused."""

    max_file_bytes: int = 2048 << 20
    max_pixels: int = 60_000_000
    max_audio_seconds: float = 36_000
    max_text_bytes: int = 64 << 20
    seconds: float = 60
    memory_mb: int = 1024
    image_side: int = 256
    audio_rate: int = 16_000

    @classmethod
    def of(cls, config: Config) -> Limits:
        """The limits that the settings say."""
        return cls(
            config["max_file_mb"] << 20,
            config["max_pixels"],
            config["max_audio_seconds"],
            config["max_text_mb"] << 20,
            config["decode_seconds"],
            config["decode_memory_mb"],
            config["image_side"],
            config["audio_rate"],
        )


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file that was decoded and found good."""

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


def inspect(path: Path, limits: Limits) -> Inspection:
    """Decode a file far enough to be sure of it.

    Raises:
        InputRefused: with the reason.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise InputRefused("it is no regular file")
    if about.st_size == 0:
        raise Undecodable("the file is empty")
    if about.st_size > limits.max_file_bytes:
        raise TooLarge(
            f"the file has {about.st_size >> 20} MB, the limit is {limits.max_file_bytes >> 20}",
            remedy="raise max_file_mb",
        )
    kind = sniff(path)
    expected = kind_of(path)
    if expected is not None and kind != expected:
        raise Undecodable(
            f"the name says {expected}, but the content is {kind or 'something else'}"
        )
    found: dict[str, Any]
    if kind == "image":
        found = _inspect_svg(path, limits) if _is_svg(path) else _inspect_image(path, limits)
    elif kind == "audio":
        found = _inspect_audio(path, limits)
    elif kind == "text":
        found = {"media_type": "text/plain", "text": read_text(path, limits)}
    else:
        raise Undecodable("its format is not one that is read")
    return Inspection(path, about.st_size, about.st_mtime_ns, _sha256(path), kind, **found)


SUFFIXES = {
    "image": (
        ".png .jpg .jpeg .jpe .gif .webp .bmp .tif .tiff .ppm .pgm .pbm .pnm .ico .tga .jp2 .pcx .svg"
    ).split(),
    "audio": ".wav .flac .ogg .oga .opus .mp3".split(),
    "text": ".txt .md .text".split(),
    "pdf": [".pdf"],
}


def kind_of(path: Path) -> str | None:
    """What a file's name says it is: image, audio, text, pdf, or ``None``."""
    suffix = path.suffix.lower()
    return next((kind for kind, known in SUFFIXES.items() if suffix in known), None)


def sniff(path: Path) -> str | None:
    """What a file's first bytes say it is."""
    with path.open("rb") as f:
        head = f.read(4096)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF":
        return "image" if head[8:12] == b"WEBP" else "audio" if head[8:12] == b"WAVE" else None
    if re.match(rb"P[1-6]\s", head):
        return "image"
    if b"<svg" in head.lower() or (_looks_xml(head) and path.suffix.lower() == ".svg"):
        return "image"
    if path.suffix.lower() in (".ico", ".tga", ".pcx"):
        return "image"  # formats without a mark of their own: Pillow decides
    return "text" if b"\0" not in head or head[:2] in (b"\xff\xfe", b"\xfe\xff") else None


def _looks_xml(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


# --- pictures -------------------------------------------------------------------------------


def _is_svg(path: Path) -> bool:
    return path.suffix.lower() == ".svg"


def _inspect_image(path: Path, limits: Limits) -> dict[str, Any]:
    picture, media_type = _open_image(path, limits)
    width, height = picture.size
    return {"media_type": media_type, "width": width, "height": height}


def _open_image(path: Path, limits: Limits) -> tuple[Any, str]:
    """The decoded first frame, turned upright."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked from the header, below
    try:
        with Image.open(path, formats=FORMATS) as picture:
            pixels = picture.size[0] * picture.size[1]
            if pixels > limits.max_pixels:
                raise TooLarge(
                    f"the picture has {picture.size[0]} × {picture.size[1]} pixels, the limit is "
                    f"{limits.max_pixels}",
                    remedy="raise max_pixels",
                )
            media_type = Image.MIME.get(picture.format or "", "image/unknown")
            if max(picture.size) > 4 * limits.image_side:
                picture.draft("RGB", (2 * limits.image_side, 2 * limits.image_side))
            size = picture.size
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            upright = picture.copy() if upright is None else upright
        del size
        return upright, media_type
    except UnidentifiedImageError as e:
        raise Undecodable("no picture format that is read fits its content") from e
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as e:
        raise Undecodable(f"the picture is damaged ({e})") from e
    except MemoryError as e:
        raise TooLarge("the picture needs more memory than decoding may use") from e


def load_image(path: Path, limits: Limits) -> npt.NDArray[np.uint8]:
    """RGB pixels ``(h, w, 3)`` on white, at most ``image_side`` on the longer side."""
    from PIL import Image

    if _is_svg(path):
        picture = Image.open(io.BytesIO(_render_svg(path, limits)), formats=("PNG",))
    else:
        picture, _ = _open_image(path, limits)
    if picture.mode in ("I", "I;16", "I;16B", "F"):
        values = np.asarray(picture, np.float64)
        spread = max(float(values.max() - values.min()), 1e-9)
        picture = Image.fromarray(((values - values.min()) / spread * 255).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    picture = picture.convert("RGB")
    longest = max(picture.size)
    if longest > limits.image_side:
        scale = limits.image_side / longest
        size = tuple(max(1, round(s * scale)) for s in picture.size)
        picture = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.array(picture, np.uint8)


def _inspect_svg(path: Path, limits: Limits) -> dict[str, Any]:
    from PIL import Image

    with Image.open(io.BytesIO(_render_svg(path, limits)), formats=("PNG",)) as picture:
        width, height = picture.size
    return {"media_type": "image/svg+xml", "width": width, "height": height}


def _render_svg(path: Path, limits: Limits) -> bytes:
    """PNG bytes at up to twice ``image_side``; no entity tricks, nothing fetched."""
    import resvg_py

    data = path.read_bytes()
    if len(data) > limits.max_text_bytes:
        raise TooLarge(f"the drawing has {len(data) >> 20} MB")
    _check_entities(data)
    source = _without_references(data.decode("utf-8", "replace"))
    side = 2 * limits.image_side
    try:
        # one side is given, so that the other keeps the drawing's proportions
        drawn = bytes(resvg_py.svg_to_bytes(svg_string=source, dpi=96, width=side))
        width, height = _png_size(drawn)
        if height > 4 * side:
            drawn = bytes(resvg_py.svg_to_bytes(svg_string=source, dpi=96, height=side))
        return drawn
    except (ValueError, RuntimeError, OverflowError) as e:
        raise Undecodable(f"the drawing cannot be rendered ({e})") from e


def _png_size(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _check_entities(data: bytes) -> None:
    """Allow plain internal entities, as drawing programs write for namespaces; no others."""
    if b"<!ENTITY" not in data:
        return
    declared = data.count(b"<!ENTITY")
    found = _ENTITY.findall(data)
    values = [value for *_, value in found]
    if len(found) != declared or any(percent for percent, *_ in found):
        raise Undecodable("the drawing declares entities that are not plain text")
    if any(value.upper() in (b"SYSTEM", b"PUBLIC") for value in values):
        raise Undecodable("the drawing declares entities that are read from elsewhere")
    if any(b"&" in value for value in values) or sum(map(len, values)) > 10_000:
        raise Undecodable("the drawing declares entities that expand into others")


def _without_references(source: str) -> str:
    """The drawing without pictures from files or the network; inline data stays."""
    return re.sub(r"""((?:xlink:)?href\s*=\s*)(["'])(?!#|data:).*?\2""", r"\1\2#\2", source)


# --- sounds ---------------------------------------------------------------------------------


def _inspect_audio(path: Path, limits: Limits) -> dict[str, Any]:
    import soundfile

    try:
        with soundfile.SoundFile(path) as f:
            duration = f.frames / f.samplerate if f.frames > 0 else 0.0
            if duration > limits.max_audio_seconds:
                raise TooLarge(
                    f"the recording lasts {duration:.0f} s, the limit is "
                    f"{limits.max_audio_seconds:.0f}",
                    remedy="raise max_audio_seconds",
                )
            heard = sum(len(block) for block in f.blocks(_BLOCK, dtype="float32", always_2d=True))
            media_type = {"OGG": "audio/ogg", "WAV": "audio/wav", "FLAC": "audio/flac"}.get(
                f.format, "audio/mpeg" if f.format.startswith("MP") else "audio/x-unknown"
            )
            if heard == 0:
                raise Undecodable("the recording holds no sound")
            return {"media_type": media_type, "duration": heard / f.samplerate}
    except soundfile.LibsndfileError as e:
        raise Undecodable(f"the recording is damaged or of an unknown format ({e})") from e


def load_audio(path: Path, start: float, end: float | None, limits: Limits) -> Array:
    """Mono samples at ``audio_rate`` of the part from ``start`` to ``end`` seconds."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as f:
            f.seek(min(int(start * f.samplerate), max(f.frames - 1, 0)))
            length = min((end or float("inf")) - start, MAX_FRAGMENT_SECONDS)
            samples = f.read(int(length * f.samplerate), dtype="float32", always_2d=True)
            rate = f.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as e:
        raise Undecodable(f"the recording is damaged or of an unknown format ({e})") from e
    mono = np.nan_to_num(samples.mean(axis=1), posinf=0, neginf=0)
    if rate != limits.audio_rate and len(mono):
        import soxr

        mono = soxr.resample(mono, rate, limits.audio_rate)
    return np.clip(mono, -1, 1).astype(np.float32)


# --- texts ----------------------------------------------------------------------------------


def read_text(path: Path, limits: Limits) -> str:
    """Text in UTF-8, UTF-16 with a mark, or GB18030.

    Raises:
        Undecodable: the bytes are no text.
    """
    data = path.read_bytes()
    if len(data) > limits.max_text_bytes:
        raise TooLarge(f"the text has {len(data) >> 20} MB", remedy="raise max_text_mb")
    for text in _decodings(data):
        if _is_text(text):
            return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    raise Undecodable("the bytes are no text (UTF-8, UTF-16 with a mark, or GB18030)")


def _decodings(data: bytes) -> Iterator[str]:
    codecs = ["utf-16"] if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ["utf-8", "gb18030"]
    for codec in codecs:
        try:
            yield data.decode(codec)
        except UnicodeDecodeError:
            continue


def _is_text(text: str) -> bool:
    """Random bytes may decode, but not into letters and punctuation."""
    if not text.strip():
        return False
    sample = text[:20_000]
    odd = sum(not (c.isprintable() or c.isspace()) for c in sample)
    return odd <= 0.01 * len(sample)
