"""Proposed links that wait for a person: read at once from the graph, looked for in background."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphretrieval.candidates import Proposal, id_of
from graphretrieval.proposals import propose
from graphretrieval.protocols import Progress
from graphretrieval.retriever import Retriever


class Inbox:
    """The graph holds the proposals; their reasons are remembered since the last look."""

    def __init__(self, kb: Retriever) -> None:
        self.kb = kb
        self._reasons: dict[str, tuple[str, ...]] = {}

    def waiting(self, type: str | None, first: int) -> list[Proposal]:
        """Proposals that nobody has decided on, the surest first."""
        found = [
            Proposal(id_of(e.src, e.type, e.dst), e.src, e.type, e.dst, e.weight)
            for e in self.kb.store.edges(type, status="proposed")
        ]
        found.sort(key=lambda p: (-p.confidence, p.id))
        return [replace(p, reasons=self._reasons.get(p.id, ())) for p in found[:first]]

    def look(
        self, type: str | None, limit: int, by_usefulness: bool, progress: Progress
    ) -> dict[str, Any]:
        """Find missing links anew; on a large collection this takes a minute."""
        progress(0, 1, "looking for missing links")
        found = propose(self.kb, type=type, limit=limit, by_usefulness=by_usefulness)
        self._reasons |= {p.id: p.reasons for p in found}
        progress(1, 1, "looking for missing links")
        return {"found": len(found)}
