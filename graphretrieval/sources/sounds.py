"""Recordings: read as a stream, made mono, brought to one rate; never held whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from graphretrieval.errors import TooLarge, Undecodable
from graphretrieval.sources.limits import Limits
from graphretrieval.types import Array

#: The longest piece that is ever decoded for an encoder, in seconds.
MAX_SECONDS = 30.0
# recordings up to this length are decoded whole to be sure of them, longer ones in places
_WHOLE_SECONDS = 120.0
_PLACES = 16
_BLOCK = 1 << 18  # samples over all channels held at a time: 1 MB
_RATES = (1_000, 768_000)  # Hz; other values are no recording's
_MEDIA_TYPES = {
    "OGG": "audio/ogg",
    "FLAC": "audio/flac",
    "WAV": "audio/wav",
    "WAVEX": "audio/wav",
    "RF64": "audio/wav",
    "MP3": "audio/mpeg",
    "MPEG": "audio/mpeg",
}


def inspect_audio(path: Path, limits: Limits) -> dict[str, Any]:
    """Decode a recording far enough to be sure of it; tell its type and length in seconds.

    Raises:
        TooLarge: longer than ``max_audio_seconds``.
        Undecodable: damaged, cut off, or in no format that is read.
    """
    try:
        with soundfile.SoundFile(path) as f:
            _check(f, path, limits)
            long = f.frames > _WHOLE_SECONDS * f.samplerate
            heard = _probe(f) if long else sum(len(block) for block in _blocks(f, f.frames))
            if heard == 0:
                raise Undecodable("the recording holds no sound")
            if heard < f.frames and f.format == "FLAC":
                raise Undecodable(
                    f"the recording is cut off after {heard / f.samplerate:.1f} of "
                    f"{f.frames / f.samplerate:.1f} s"
                )
            return {
                "media_type": _MEDIA_TYPES[f.format],
                "duration": round(heard / f.samplerate, 6),
            }
    except (soundfile.SoundFileError, RuntimeError) as e:
        raise Undecodable(f"the recording is damaged, or in a format not read ({e})") from e


def load_audio(path: Path, start: float, end: float | None, limits: Limits) -> Array:
    """Mono samples ``(n,)`` at ``audio_rate`` from ``start`` to ``end`` seconds, 30 s at most.

    Raises:
        TooLarge: the recording is longer than ``max_audio_seconds``.
        Undecodable: damaged, or nothing lies at that place.
    """
    try:
        with soundfile.SoundFile(path) as f:
            _check(f, path, limits)
            first = round(start * f.samplerate)
            stop = f.frames if end is None else min(round(end * f.samplerate), f.frames)
            wanted = min(stop - first, round(MAX_SECONDS * f.samplerate))
            if first < 0 or wanted <= 0:
                raise Undecodable(f"the recording has nothing at {start:g} s")
            f.seek(first)
            samples = _resampled(_blocks(f, wanted), f.samplerate, limits.audio_rate)
    except (soundfile.SoundFileError, RuntimeError) as e:
        raise Undecodable(f"the recording is damaged, or in a format not read ({e})") from e
    if not len(samples):
        raise Undecodable(f"the recording has nothing at {start:g} s")
    return np.clip(samples, -1.0, 1.0)


def _check(f: Any, path: Path, limits: Limits) -> None:
    """Refuse by the header, before anything is decoded."""
    if f.format not in _MEDIA_TYPES:
        raise Undecodable(f"recordings of type {f.format} are not read")
    if not _RATES[0] <= f.samplerate <= _RATES[1]:
        raise Undecodable(f"{f.samplerate} Hz is no rate of a recording")
    if f.frames > limits.max_audio_seconds * f.samplerate:
        raise TooLarge(
            f"the recording lasts {f.frames / f.samplerate:,.0f} s, the limit is "
            f"{limits.max_audio_seconds:,.0f}",
            remedy="cut it up, or raise max_audio_seconds",
        )
    if f.format == "OGG" and _is_cut_off(path):
        raise Undecodable("the recording is cut off in the middle of a page")


def _is_cut_off(path: Path) -> bool:
    """Whether an Ogg file ends before its last page does (RFC 3533, section 6)."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - (1 << 17)))  # a page has at most 65,307 bytes
        tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0 or at + 27 > len(tail):
        return True
    segments = tail[at + 26]
    lengths = tail[at + 27 : at + 27 + segments]
    return at + 27 + segments + sum(lengths) > len(tail)


def _probe(f: Any) -> int:
    """Decode a little at even places up to the very end; the length in frames if all is well."""
    for place in np.linspace(0, f.frames - f.samplerate, _PLACES).astype(int):
        f.seek(int(place))
        if not any(len(block) for block in _blocks(f, f.samplerate)):
            return int(place)
    return int(f.frames)


def _blocks(f: Any, frames: int) -> Iterator[Array]:
    """Mono samples of the next ``frames``, a bounded block at a time."""
    size = max(1, _BLOCK // f.channels)
    while frames > 0:
        block = f.read(min(size, frames), dtype="float32", always_2d=True)  # (n, channels)
        if not len(block):
            return
        frames -= len(block)
        yield block[:, 0] if f.channels == 1 else block.mean(axis=1)


def _resampled(blocks: Iterator[Array], rate: int, wanted: int) -> Array:
    """Blocks joined at another rate; values that are no numbers become silence."""
    import soxr

    clean = (np.nan_to_num(b, nan=0.0, posinf=0.0, neginf=0.0) for b in blocks)
    if rate == wanted:
        out = list(clean)
    else:
        stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32")
        out = [stream.resample_chunk(block) for block in clean]
        out.append(stream.resample_chunk(np.empty(0, np.float32), last=True))
    return np.concatenate(out) if out else np.empty(0, np.float32)
