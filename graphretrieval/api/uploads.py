"""Uploaded pictures and sounds: checked in a child process, kept an hour, asked for by id."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from graphretrieval.api.problems import Refused
from graphretrieval.sources.media import MediaReader

SECONDS = 3600
# together; the oldest make room
BYTES = 512 << 20
_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/bmp": ".bmp",
    "image/tiff": ".tif",
    "image/svg+xml": ".svg",
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "audio/wave": ".wav",
    "audio/vnd.wave": ".wav",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "audio/x-flac": ".flac",
    "audio/mpeg": ".mp3",
}


@dataclass(frozen=True)
class Upload:
    """A file that queries may refer to; it belongs to nobody and goes away by itself."""

    id: str
    modality: str
    media_type: str
    name: str
    size: int
    path: Path
    until: float


class Uploads:
    """A folder of its own that vanishes with the service."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="graphretrieval-uploads-"))
        self._files: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def put(self, data: bytes, name: str, media_type: str, reader: MediaReader) -> Upload:
        """Keep a file, if it is a picture or a sound that can be read.

        Raises:
            Refused: it is of no kind that is searched by.
            InputRefused: it is damaged, or beyond the limits.
        """
        kind = media_type.split(";")[0].strip().lower()
        suffix = _SUFFIXES.get(kind) or _known(Path(name).suffix.lower())
        if suffix is None:
            raise Refused(
                "UNSUPPORTED_MEDIA",
                415,
                f"{kind or 'this'} is no picture or sound that can be read",
                remedy="send PNG, JPEG, GIF, WebP, TIFF, SVG, WAV, OGG, FLAC or MP3",
            )
        self._sweep(len(data))
        ident = "up_" + secrets.token_urlsafe(16)
        path = self.folder / f"{ident}{suffix}"
        path.write_bytes(data)
        try:
            found = reader.inspect([path])[0]
            if isinstance(found, Exception):
                raise found
            if found.modality not in ("image", "audio"):
                raise Refused("UNSUPPORTED_MEDIA", 415, f"{found.modality} cannot be uploaded")
        except Exception:
            path.unlink(missing_ok=True)
            raise
        upload = Upload(
            ident,
            found.modality,
            kind,
            _plain(name),
            len(data),
            path,
            time.monotonic() + SECONDS,
        )
        with self._lock:
            self._files[ident] = upload
        return upload

    def get(self, ident: str) -> Upload:
        """An upload by its id.

        Raises:
            Refused: it is not there, or not any more.
        """
        upload = self._files.get(ident)
        if upload is None or upload.until < time.monotonic():
            raise Refused(
                "UNKNOWN_UPLOAD",
                404,
                f"no upload is called {ident[:40]!r}",
                remedy="upload the file again; uploads are kept for an hour",
            )
        return upload

    def _sweep(self, coming: int) -> None:
        """Forget what is too old, and the oldest where there is no room."""
        with self._lock:
            now, size = time.monotonic(), coming + sum(u.size for u in self._files.values())
            for upload in sorted(self._files.values(), key=lambda u: u.until):
                if upload.until < now or size > BYTES:
                    size -= upload.size
                    del self._files[upload.id]
                    upload.path.unlink(missing_ok=True)


def _known(suffix: str) -> str | None:
    return suffix if suffix in {*_SUFFIXES.values(), ".jpeg", ".tiff", ".oga"} else None


def _plain(name: str) -> str:
    return "".join(c for c in Path(name).name if c.isprintable())[:80]
