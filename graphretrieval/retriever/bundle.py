"""Models on disk: a folder of safetensors and JSON with a sha256 manifest, swapped in atomically.

    museum.db.models/
      v1/ model.json stages.safetensors vectors.safetensors manifest.json
      CURRENT                    the name of the version in service
      history.jsonl              which was put in service when

A version is written under a temporary name, synced, renamed, and only then named in CURRENT, so
that a kill at any moment leaves the old model or the new one. Never pickle.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval import registry
from graphretrieval.errors import BundleError
from graphretrieval.gnn.similar import Similar
from graphretrieval.retriever.ingest import CERTIFICATES, digest, forgotten_in
from graphretrieval.retriever.model import Model
from graphretrieval.types import JSON, Array, State

FORMAT = 5
_FILES = ("model.json", "stages.safetensors", "vectors.safetensors")
_SIMILAR = "similar/"
_STAGES = ("encoder", "aligner", "refiner", "ranker")


@dataclass(frozen=True)
class Embedded:
    """A model's vectors of the collection, unscaled: ``raw[b]`` and ``refined[b]`` ``(n, d_b)``.

    ``similar`` holds the edges derived from the raw ones, between positions in ``ids``.
    """

    ids: tuple[str, ...] = field(repr=False)
    raw: Mapping[str, Array] = field(repr=False)
    refined: Mapping[str, Array] = field(repr=False)
    similar: Similar = field(default_factory=Similar.joined, repr=False)


@dataclass(frozen=True)
class Stripped:
    """What became of each version: the ``vectors`` taken from it, or it was ``removed`` as a whole.

    ``left`` names those that could not be read and are still there, and why.
    """

    vectors: Mapping[str, int]
    removed: Sequence[str] = ()
    left: Mapping[str, str] = field(default_factory=dict)


class Bundles:
    """All versions of a collection's models, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self) -> list[str]:
        """Names of the versions that are complete, oldest first."""
        found = [p.name for p in self.folder.glob("v*") if (p / "manifest.json").exists()]
        return sorted((v for v in found if v[1:].isdigit()), key=lambda v: int(v[1:]))

    def current(self) -> str | None:
        """The version in service, if any."""
        try:
            return (self.folder / "CURRENT").read_text("utf-8").strip() or None
        except FileNotFoundError:
            return None

    def save(self, model: Model, embedded: Embedded, *, promote: bool = True) -> str:
        """Write a new version and, unless told otherwise, put it in service; return its name.

        What was forgotten while it was being learned is left out.
        """
        draft = self._draft()
        try:
            _write_vectors(draft, embedded)
            with self._numbering() as version:
                model.meta.update(version=version, at=round(time.time(), 3))
                _write_model(draft, model)
                self._leave_out(draft)
                draft.rename(self.folder / version)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _sync(self.folder)
        if promote:
            self.promote(version)
        return version

    def take(self, folder: Path, version: str, *, revision: int | None = None) -> str:
        """Bring a version in from elsewhere under the next free name, and put it in service.

        What was forgotten here is left out.

        Args:
            folder: other bundles.
            version: one of them.
            revision: this collection's, at which it holds the content the model was learned from;
                by default revisions there are revisions here.

        Raises:
            BundleError: there is no such version, or it is not what was written.
        """
        Bundles(folder).check(version)
        draft = self._draft()
        try:
            shutil.copytree(folder / version, draft, dirs_exist_ok=True)
            with self._numbering() as name:
                _settle(draft, name, revision)
                self._leave_out(draft)
                for file in draft.iterdir():
                    _sync(file)
                draft.rename(self.folder / name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _sync(self.folder)
        self.promote(name)
        return name

    def copy(self, folder: Path) -> None:
        """Copy all versions, the pointer and certificates; none is added or removed meanwhile."""
        with self._locked():
            # drafts, locks and pointers on their way are the processes' own
            shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(".*"))

    def promote(self, version: str) -> None:
        """Put a version in service by one atomic rename."""
        self.check(version)
        self._point(version)
        self._note({"in service": version})

    def former(self) -> str | None:
        """The version that was in service before the present one and is still there."""
        current, there = self.current(), set(self.versions())
        stack: list[str] = []
        for entry in self.history():
            name = str(entry["in service"])
            if entry.get("rollback") and name in stack[:-1]:
                del stack[len(stack) - 1 - stack[-2::-1].index(name) :]
            elif not stack or stack[-1] != name:
                stack.append(name)
        if current in stack:  # a kill may have come between pointer and note
            del stack[len(stack) - 1 - stack[::-1].index(current) :]
        left = [name for name in stack if name in there and name != current]
        return left[-1] if left else None

    def rollback(self) -> str:
        """Put the former version back in service; return its name.

        Raises:
            BundleError: there is none.
        """
        former = self.former()
        if former is None:
            raise BundleError(
                "there is no former model to go back to",
                remedy="see `graphretrieval models list`, and promote one by name",
            )
        self.check(former)
        self._point(former)
        self._note({"in service": former, "rollback": True})
        return former

    def history(self) -> list[dict[str, JSON]]:
        """Which version was put in service when, oldest first."""
        try:
            lines = (self.folder / "history.jsonl").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        out = []
        for line in lines:
            try:
                out.append(dict(json.loads(line)))
            except ValueError:  # the end of a killed write
                continue
        return out

    def remove(self, version: str) -> None:
        """Delete a version that is not in service.

        Raises:
            BundleError: it is in service, or there is none of that name.
        """
        if version == self.current():
            raise BundleError(f"model {version} is in service", remedy="promote another one first")
        if version not in self.versions():
            raise BundleError(f"there is no model {version!r}", remedy="see `models list`")
        with self._locked():
            self._remove(version)

    def _remove(self, version: str) -> None:
        gone = self.folder / f".draft-{os.getpid()}-{version}"
        (self.folder / version).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def _point(self, version: str) -> None:
        pointer = self.folder / f".current-{os.getpid()}-{threading.get_ident()}"
        pointer.write_text(version + "\n", "utf-8")
        _sync(pointer)
        pointer.replace(self.folder / "CURRENT")
        _sync(self.folder)

    def _note(self, entry: dict[str, JSON]) -> None:
        """Append to the history; a line of its own even after one that a kill cut short."""
        with (self.folder / "history.jsonl").open("a", encoding="utf-8") as f:
            f.write("\n" + json.dumps({**entry, "at": round(time.time(), 3)}) + "\n")
            f.flush()
            os.fsync(f.fileno())

    def _draft(self) -> Path:
        """A folder to write into; those of processes that are gone are removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        draft = self.folder / f".draft-{os.getpid()}-{threading.get_ident()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        return draft

    def _sweep(self) -> None:
        """Remove the drafts of processes that are gone."""
        for old in self.folder.glob(".draft-*"):
            if not _alive(old.name.split("-")[1]):
                shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else adds, strips or removes a version meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _numbering(self) -> Iterator[str]:
        """The next free name, which no other process takes meanwhile."""
        with self._locked():
            taken = [p.name for p in self.folder.glob("v*")]
            taken += [str(e["in service"]) for e in self.history()]
            yield f"v{max([int(v[1:]) for v in taken if v[1:].isdigit()], default=0) + 1}"

    def check(self, version: str) -> None:
        """Compare a version's files with its manifest.

        Raises:
            BundleError: a file is missing or not what was written.
        """
        folder = self.folder / version
        try:
            manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
            sums = {name: _sha256(folder / name) for name in _FILES}
        except (OSError, ValueError) as e:
            raise BundleError(
                f"model {version} in {self.folder} is incomplete ({e})",
                remedy="fit again, or restore a backup",
            ) from e
        if manifest.get("format") != FORMAT:
            raise BundleError(
                f"model {version} is of format {manifest.get('format')}, this release reads "
                f"{FORMAT}",
                remedy="fit again with this release",
            )
        for name, found in sums.items():
            if found not in _sums(manifest["sha256"].get(name)):
                raise BundleError(
                    f"{folder / name} is not what was written (its sha256 differs)",
                    remedy="fit again, or restore a backup",
                )

    def strip(self, version: str, ids: Sequence[str]) -> int:
        """Remove nodes' vectors and derived edges from a version.

        What neighbours absorbed of them goes as well.

        Files are replaced one by one; in between the manifest knows the old and the new.

        Returns:
            How many vectors there were.

        Raises:
            BundleError: it is not what was written.
        """
        with self._locked():
            return self._strip(version, set(ids).__contains__)

    def strip_all(self, ids: Sequence[str]) -> Stripped:
        """Remove nodes from every version, as :meth:`strip` does, and drafts that were left over.

        A version that is damaged or of another format cannot serve and goes as a whole, after the
        others are done; unless it is in service, or only its disk refuses to be read just now.
        """
        vectors: dict[str, int] = {}
        removed: list[str] = []
        left: dict[str, str] = {}
        unread: dict[str, BundleError] = {}
        with self._locked():
            self._sweep()
            there = [p.name for p in self.folder.glob("v*") if p.name[1:].isdigit()]
            for version in sorted(there, key=lambda v: int(v[1:])):
                try:
                    vectors[version] = self._strip(version, set(ids).__contains__)
                except BundleError as e:
                    unread[version] = e
            for version, why in unread.items():
                if version == self.current() or _may_pass(why):
                    left[version] = why.problem
                else:
                    self._remove(version)
                    removed.append(version)
        return Stripped(vectors, removed, left)

    def _leave_out(self, draft: Path) -> None:
        """Strip a draft of what certificates say is forgotten, those of unfinished runs too."""
        forgotten = forgotten_in(self.folder / CERTIFICATES)
        if forgotten:
            self._strip(draft.name, lambda name: digest(name) in forgotten)

    def _strip(self, version: str, is_gone: Callable[[str], bool]) -> int:
        from safetensors.numpy import load_file, save_file

        self.check(version)
        folder = self.folder / version
        for old in (*folder.glob(".vectors-*"), *folder.glob(".manifest-*")):
            old.unlink()  # a killed run's
        tensors = load_file(folder / "vectors.safetensors")
        there = json.loads(tensors["ids"].tobytes())
        keep = np.array([not is_gone(name) for name in there], np.bool_)
        text = (folder / "model.json").read_text("utf-8")
        about = json.loads(text)
        _leave_unnamed(about, is_gone)
        renamed = about != json.loads(text)
        if keep.all() and not renamed:
            return 0
        left = {k: x[keep] for k, x in tensors.items() if k.startswith("raw/")}
        left |= _edge_tensors(_edges_in(tensors).moved(np.where(keep, np.cumsum(keep) - 1, -1)))
        names = json.dumps([n for n, kept in zip(there, keep, strict=True) if kept]).encode()
        draft = folder / f".vectors-{os.getpid()}"
        save_file({"ids": np.frombuffer(names, np.uint8), **left}, draft)
        self._replace(version, "vectors.safetensors", draft)
        if renamed:
            draft.write_text(json.dumps(about, ensure_ascii=False, indent=1), "utf-8")
            self._replace(version, "model.json", draft)
        return int((~keep).sum())

    def _replace(self, version: str, name: str, draft: Path) -> None:
        folder = self.folder / version
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        new = _sha256(draft)
        _sync(draft)
        for sums in ([*_sums(manifest["sha256"][name]), new], new):
            manifest["sha256"][name] = sums
            text = folder / f".manifest-{os.getpid()}"
            text.write_text(json.dumps(manifest, indent=1), "utf-8")
            _sync(text)
            text.replace(folder / "manifest.json")
            _sync(folder)
            if draft.exists():
                draft.replace(folder / name)
                _sync(folder)

    def load(self, version: str | None = None) -> tuple[Model, Embedded] | None:
        """A version (the one in service by default) with its vectors; ``None`` before any fit."""
        version = version or self.current()
        if version is None:
            return None
        self.check(version)
        return _read(self.folder / version)

    def similar(self, version: str) -> tuple[tuple[str, ...], Similar]:
        """A version's derived edges, and the ids that they are between; its vectors are not read.

        Raises:
            BundleError: it is not what was written.
        """
        from safetensors import safe_open

        self.check(version)
        with safe_open(self.folder / version / "vectors.safetensors", "numpy") as file:
            names = list(file.keys())
            mine = [name for name in names if name == "ids" or name.startswith(_SIMILAR)]
            tensors = {name: file.get_tensor(name) for name in mine}
        return tuple(json.loads(tensors["ids"].tobytes())), _edges_in(tensors)

    def meta(self, version: str) -> dict[str, JSON]:
        """What a version was learned from, and how it was judged.

        Raises:
            BundleError: that cannot be read.
        """
        try:
            about = json.loads((self.folder / version / "model.json").read_text("utf-8"))
            return dict(about["meta"])
        except (OSError, ValueError, KeyError) as e:
            raise BundleError(
                f"model {version} in {self.folder} is incomplete ({e!r})",
                remedy="fit again, or restore a backup",
            ) from e


def _leave_unnamed(about: dict[str, Any], is_gone: Callable[[str], bool]) -> None:
    """Take nodes' names out of what is written about a model."""
    frozen = about["meta"].get("frozen", ())
    if frozen:
        about["meta"]["frozen"] = [x for x in frozen if not (is_gone(x[0]) or is_gone(x[2]))]
    # a category's column stays, under a name that no node can have
    about["categories"] = ["" if is_gone(name) else name for name in about["categories"]]
    askers = about["askers"].items()
    about["askers"] = {kind: [n for n in names if not is_gone(n)] for kind, names in askers}


def _settle(folder: Path, version: str, revision: int | None) -> None:
    """Let a version from elsewhere bear its name here; what it was made from is not here."""
    about = json.loads((folder / "model.json").read_text("utf-8"))
    about["meta"].pop("parent", None)
    about["meta"]["version"] = version
    if revision is not None:
        about["meta"]["revision"] = revision
    (folder / "model.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), "utf-8")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["sha256"]["model.json"] = _sha256(folder / "model.json")
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")


def _stages(model: Model) -> dict[str, Mapping[str, Any]]:
    return {
        "encoder": model.encoders,
        "aligner": model.aligners,
        "refiner": model.refiners,
        "ranker": model.gates,
    }


def _write_model(folder: Path, model: Model) -> None:
    """The stages, and last the manifest that makes the folder whole."""
    from safetensors.numpy import save_file

    arrays: dict[str, npt.NDArray[Any]] = {}
    stages: dict[str, dict[str, JSON]] = {}
    for kind, members in _stages(model).items():
        stages[kind] = {}
        for name, stage in members.items():
            state: State = stage.state()
            stages[kind][name] = {
                "class": registry.name_of(kind, type(stage)),
                "settings": dict(state.settings),
            }
            for key, array in state.arrays.items():
                arrays[f"{kind}/{name}/{key}"] = np.ascontiguousarray(array)
    about = {
        "meta": model.meta,
        "categories": list(model.categories),
        "askers": model.askers,
        "stages": stages,
    }
    (folder / "model.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), "utf-8")
    save_file(arrays, folder / "stages.safetensors")
    manifest = {"format": FORMAT, "sha256": {name: _sha256(folder / name) for name in _FILES}}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")
    for name in (*_FILES, "manifest.json"):
        _sync(folder / name)
    _sync(folder)


def _write_vectors(folder: Path, embedded: Embedded) -> None:
    from safetensors.numpy import save_file

    ids = np.frombuffer(json.dumps(list(embedded.ids)).encode(), np.uint8)
    tensors: dict[str, npt.NDArray[Any]] = {"ids": ids}
    for group, blocks in (("raw", embedded.raw), ("refined", embedded.refined)):
        # half precision: cosines move by less than a thousandth, the file by half
        tensors |= {f"{group}/{b}": np.asarray(x, np.float16) for b, x in blocks.items()}
    save_file(tensors | _edge_tensors(embedded.similar), folder / "vectors.safetensors")


def _edge_tensors(edges: Similar) -> dict[str, npt.NDArray[Any]]:
    """Derived edges as they lie beside the vectors; nothing where there are none."""
    if not len(edges):
        return {}
    ends = {"src": edges.src.astype(np.int32), "dst": edges.dst.astype(np.int32)}
    return {f"{_SIMILAR}{k}": x for k, x in {**ends, "weight": edges.weight}.items()}


def _edges_in(tensors: Mapping[str, npt.NDArray[Any]]) -> Similar:
    if f"{_SIMILAR}src" not in tensors:
        return Similar.joined()
    src, dst, weight = (tensors[f"{_SIMILAR}{name}"] for name in ("src", "dst", "weight"))
    return Similar(src.astype(np.int64), dst.astype(np.int64), weight)


def _read(folder: Path) -> tuple[Model, Embedded]:
    from safetensors.numpy import load_file

    about = json.loads((folder / "model.json").read_text("utf-8"))
    arrays = load_file(folder / "stages.safetensors")
    made: dict[str, dict[str, Any]] = {}
    for kind in _STAGES:
        made[kind] = {}
        for name, row in about["stages"][kind].items():
            prefix = f"{kind}/{name}/"
            mine = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            cls = registry.resolve(kind, row["class"])
            made[kind][name] = cls.from_state(State(mine, row["settings"]))
    model = Model(
        made["encoder"],
        made["aligner"],
        made["refiner"],
        made["ranker"],
        tuple(about["categories"]),
        about["meta"],
        {kind: tuple(names) for kind, names in about["askers"].items()},
    )
    tensors = load_file(folder / "vectors.safetensors")
    ids = tuple(json.loads(tensors["ids"].tobytes()))
    blocks = {
        group: {
            k.removeprefix(f"{group}/"): np.asarray(v, np.float32)
            for k, v in tensors.items()
            if k.startswith(f"{group}/")
        }
        for group in ("raw", "refined")
    }
    return model, Embedded(ids, blocks["raw"], blocks["refined"], _edges_in(tensors))


def _sha256(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _sums(known: JSON) -> list[str]:
    """What a file may be: one thing, or two while it is being replaced."""
    return [known] if isinstance(known, str) else list(known or ())


def _may_pass(e: BundleError) -> bool:
    """Whether a version may be whole although it could not be read: too many files are open, …"""
    missing = FileNotFoundError | NotADirectoryError
    return isinstance(e.__cause__, OSError) and not isinstance(e.__cause__, missing)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
