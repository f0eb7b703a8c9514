"""What changes the model or the graph, as the service calls it: versions, learning, forgetting."""

from __future__ import annotations

import time
from typing import Any

from graphretrieval.errors import NotFitted
from graphretrieval.protocols import Progress
from graphretrieval.retriever import Retriever


def models(kb: Retriever) -> list[dict[str, Any]]:
    """Versions with what they were learned from, newest first."""
    current = kb.bundles.current()
    return [
        {
            "version": version,
            "in_service": version == current,
            "meta": kb.bundles.meta(version),
            "created": _written(kb, version),
        }
        for version in reversed(kb.bundles.versions())
    ]


def _written(kb: Retriever, version: str) -> str:
    at = (kb.bundles.folder / version / "manifest.json").stat().st_mtime
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def refit(kb: Retriever, seed: int, progress: Progress) -> dict[str, Any]:
    """Learn a new version from the graph as it is now."""
    before = kb.bundles.current()
    version = kb.fit(seed=seed, progress=progress)
    return {"version": version, "promoted": True, "reason": "learned anew", "champion": before}


def rollback(kb: Retriever) -> str:
    """Put the version before the one in service back."""
    current, versions = kb.bundles.current(), kb.bundles.versions()
    earlier = [v for v in versions if current and int(v[1:]) < int(current[1:])]
    if not earlier:
        raise NotFitted("there is no earlier model", remedy="fit again instead")
    kb.bundles.promote(earlier[-1])
    return earlier[-1]


def forget(kb: Retriever, ids: list[str]) -> int:
    """Remove nodes and all their links; the new revision."""
    return kb.store.delete(ids)
