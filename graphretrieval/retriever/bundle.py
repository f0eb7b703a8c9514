"""Models on disk: a folder of safetensors and JSON with a sha256 manifest, swapped in atomically.

    museum.db.models/
      v1/ model.json stages.safetensors vectors.safetensors manifest.json
      CURRENT                    the name of the version in service

A version is written under a temporary name, synced, renamed, and only then named in CURRENT, so
that a kill at any moment leaves the old model or the new one. Never pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval import registry
from graphretrieval.errors import BundleError
from graphretrieval.retriever.model import Model
from graphretrieval.types import JSON, Array, State

FORMAT = 1
_FILES = ("model.json", "stages.safetensors", "vectors.safetensors")
_STAGES = ("encoder", "aligner", "refiner", "ranker")


@dataclass(frozen=True)
class Embedded:
    """A model's vectors of the collection, unscaled: ``raw[b]`` and ``refined[b]`` ``(n, d_b)``."""

    ids: tuple[str, ...] = field(repr=False)
    raw: Mapping[str, Array] = field(repr=False)
    refined: Mapping[str, Array] = field(repr=False)


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

    def save(self, model: Model, embedded: Embedded) -> str:
        """Write a new version and put it in service; return its name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        version = f"v{max([int(v[1:]) for v in self.versions()], default=0) + 1}"
        draft = self.folder / f".draft-{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            model.meta["version"] = version
            _write(draft, model, embedded)
            target = self.folder / version
            shutil.rmtree(target, ignore_errors=True)  # the rest of a killed save
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _sync(self.folder)
        self.promote(version)
        return version

    def take(self, folder: Path, version: str, *, revision: int | None = None) -> str:
        """Bring a version in from elsewhere under the next free name, and put it in service.

        Args:
            folder: other bundles.
            version: one of them.
            revision: this collection's, at which it holds the content the model was learned from;
                by default revisions there are revisions here.

        Raises:
            BundleError: there is no such version, or it is not what was written.
        """
        Bundles(folder).check(version)
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"v{max([int(v[1:]) for v in self.versions()], default=0) + 1}"
        draft = self.folder / f".draft-{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            shutil.copytree(folder / version, draft)
            if revision is not None:
                _move_to(draft, revision)
            for file in draft.iterdir():
                _sync(file)
            draft.rename(self.folder / name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _sync(self.folder)
        self.promote(name)
        return name

    def promote(self, version: str) -> None:
        """Put a version in service by one atomic rename."""
        self.check(version)
        pointer = self.folder / f".current-{os.getpid()}"
        pointer.write_text(version + "\n", "utf-8")
        _sync(pointer)
        pointer.replace(self.folder / "CURRENT")
        _sync(self.folder)

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
            if manifest["sha256"].get(name) != found:
                raise BundleError(
                    f"{folder / name} is not what was written (its sha256 differs)",
                    remedy="fit again, or restore a backup",
                )

    def load(self, version: str | None = None) -> tuple[Model, Embedded] | None:
        """A version (the one in service by default) with its vectors; ``None`` before any fit."""
        version = version or self.current()
        if version is None:
            return None
        self.check(version)
        return _read(self.folder / version)

    def meta(self, version: str) -> dict[str, JSON]:
        """What a version was learned from, and how it was judged."""
        about = json.loads((self.folder / version / "model.json").read_text("utf-8"))
        return dict(about["meta"])


def _move_to(folder: Path, revision: int) -> None:
    about = json.loads((folder / "model.json").read_text("utf-8"))
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


def _write(folder: Path, model: Model, embedded: Embedded) -> None:
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
    about = {"meta": model.meta, "categories": list(model.categories), "stages": stages}
    (folder / "model.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), "utf-8")
    save_file(arrays, folder / "stages.safetensors")
    ids = np.frombuffer(json.dumps(list(embedded.ids)).encode(), np.uint8)
    tensors: dict[str, npt.NDArray[Any]] = {"ids": ids}
    for group, blocks in (("raw", embedded.raw), ("refined", embedded.refined)):
        # half precision: cosines move by less than a thousandth, the file by half
        tensors |= {f"{group}/{b}": np.asarray(x, np.float16) for b, x in blocks.items()}
    save_file(tensors, folder / "vectors.safetensors")
    manifest = {"format": FORMAT, "sha256": {name: _sha256(folder / name) for name in _FILES}}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")
    for name in (*_FILES, "manifest.json"):
        _sync(folder / name)
    _sync(folder)


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
    return model, Embedded(ids, blocks["raw"], blocks["refined"])


def _sha256(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
