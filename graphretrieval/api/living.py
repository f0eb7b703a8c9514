"""What changes the model or the graph, as the service calls it: versions, learning, proposals."""

from __future__ import annotations

import time
from typing import Any

from graphretrieval import lifecycle
from graphretrieval.protocols import Progress
from graphretrieval.retriever import Retriever


def models(kb: Retriever) -> list[dict[str, Any]]:
    """Versions with what they were learned from and how they were judged, newest first."""
    return [
        {**row, "meta": kb.bundles.meta(row["version"]), "created": _written(kb, row["version"])}
        for row in reversed(lifecycle.models(kb))
    ]


def _written(kb: Retriever, version: str) -> str:
    at = (kb.bundles.folder / version / "manifest.json").stat().st_mtime
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def refit(kb: Retriever, seed: int, progress: Progress) -> dict[str, Any]:
    """Learn from new links; the report says whether the result went into service."""
    return lifecycle.refit(kb, seed=seed, progress=progress).to_json()
