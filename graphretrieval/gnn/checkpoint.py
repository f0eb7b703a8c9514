"""What training had reached, in one file that is there whole or not at all.

Arrays as safetensors with the rest as JSON in its header; written under a temporary name, synced
and renamed, so that a kill leaves the former one. Never pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from graphretrieval.types import JSON, Array, Graph, Ints, State


class Checkpoint:
    """A file that belongs to one task, told by its ``fingerprint``; another task's is ignored."""

    def __init__(self, file: Path, fingerprint: str) -> None:
        self.file = file
        self.fingerprint = fingerprint

    def save(self, state: State) -> None:
        """Replace what is there."""
        about = json.dumps({"fingerprint": self.fingerprint, "settings": dict(state.settings)})
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_name(f".{self.file.name}-{os.getpid()}")
        # ascontiguousarray would give single numbers a dimension
        arrays = {k: np.array(v, order="C") for k, v in state.arrays.items()}
        with draft.open("wb") as out:
            out.write(save(arrays, {"checkpoint": about}))
            out.flush()
            os.fsync(out.fileno())
        draft.replace(self.file)

    def load(self) -> State | None:
        """What this very task had reached; ``None`` where there is nothing, or nothing of use."""
        try:
            with safe_open(self.file, "np") as file:
                about: Mapping[str, JSON] = json.loads((file.metadata() or {})["checkpoint"])
                if about["fingerprint"] != self.fingerprint:
                    return None
                names = list(file.keys())
                arrays: dict[str, npt.NDArray[Any]] = {k: file.get_tensor(k) for k in names}
        except (OSError, SafetensorError, KeyError, ValueError):
            return None  # absent or damaged: training begins anew, and nothing is lost but time
        return State(arrays, about["settings"])

    def discard(self) -> None:
        """Training is done: nothing to go on with."""
        self.file.unlink(missing_ok=True)


def fingerprint(settings: JSON, graph: Graph, vectors: Array, edges: Ints) -> str:
    """The same for the same task, and another for any other."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(json.dumps([graph.modalities, graph.relations, vectors.shape]).encode())
    arrays = (graph.modality, graph.src, graph.dst, graph.relation, graph.weight, vectors, edges)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
