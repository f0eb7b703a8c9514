"""The demo's collections: a real one fetched from Debian, or a toy museum generated on the spot."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from graphretrieval.errors import GraphRetrievalError, QueryError

PACKAGE = "tuxpaint-stamps-default"
STAMPS = Path("usr/share/tuxpaint/stamps")
# apt answers within seconds or not at all
FETCH_SECONDS = 300


@dataclass(frozen=True)
class Collection:
    """A folder to ingest: its name in ids, and the language of texts that do not say theirs."""

    name: str
    folder: Path
    lang: str
    about: str


def obtain(name: str, cache: Path) -> Collection:
    """The folder of a demo collection, fetched or generated into the cache the first time.

    Where the real collection cannot be fetched, the toy museum takes its place.

    Raises:
        QueryError: there is no such collection.
    """
    if name == "toy":
        return _toy(cache)
    if name != "stamps":
        raise QueryError(f"there is no demo collection {name!r}", remedy="choose stamps or toy")
    try:
        return _stamps(cache)
    except GraphRetrievalError as e:
        toy = _toy(cache)
        return Collection(toy.name, toy.folder, toy.lang, f"{toy.about} ({e.problem})")


def _stamps(cache: Path) -> Collection:
    folder = cache / PACKAGE
    if not (folder / STAMPS).is_dir():
        _fetch(folder)
    about = f"Debian's {PACKAGE}: drawings, photographs, sounds, descriptions (GPL-2)"
    return Collection("stamps", folder / STAMPS, "en", about)


def _fetch(folder: Path) -> None:
    """Download and unpack the package; nothing is installed on the system."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise GraphRetrievalError("apt-get and dpkg are not here, so the real collection is not")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        if not _ran("apt-get", "download", "-q", PACKAGE, cwd=scratch):
            lists = ["-o", f"Dir::State::Lists={scratch}/lists"]
            Path(scratch, "lists", "partial").mkdir(parents=True)
            updated = _ran("apt-get", "update", "-q", *lists, cwd=scratch)
            if not updated or not _ran("apt-get", "download", *lists, PACKAGE, cwd=scratch):
                raise GraphRetrievalError(f"apt-get could not download {PACKAGE}")
        deb = next(Path(scratch).glob("*.deb"))
        unpacked = Path(scratch) / "unpacked"
        if not _ran("dpkg", "-x", str(deb), str(unpacked), cwd=scratch):
            raise GraphRetrievalError(f"dpkg could not unpack {deb.name}")
        unpacked.rename(folder)


def _ran(*command: str, cwd: str) -> bool:
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, timeout=FETCH_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _toy(cache: Path) -> Collection:
    from graphretrieval.sources.toy import write_toy

    folder = cache / "toy-museum"
    if not folder.is_dir():
        draft = Path(tempfile.mkdtemp(dir=_made(cache)))
        write_toy(draft)
        draft.rename(folder)
    return Collection("toy", folder, "en", "a generated toy museum")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
