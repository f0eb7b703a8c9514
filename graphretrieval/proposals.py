"""Links that are missing, with how sure that is and why; accepted, rejected and taken back by name.

Candidates are near each other in the learned spaces. How sure a candidate is comes from links of
the same collection that are hidden for the purpose: a logistic curve over likeness and common
neighbours, fitted to whether a hidden link was behind it, and to what people decided before.
Proposals live in the graph as edges that no search uses; each decision is a node of its own that
says who, when and what was there before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from graphretrieval.candidates import TYPES, Proposal, View, candidates, id_of, learned
from graphretrieval.errors import NothingToLearn, QueryError
from graphretrieval.privacy import DECISION, is_decision
from graphretrieval.retriever import Retriever
from graphretrieval.types import (
    IN_CATEGORY,
    JSON,
    Edge,
    Node,
)


def propose(
    kb: Retriever, *, type: str | None = None, limit: int = 20, by_usefulness: bool = False
) -> list[Proposal]:
    """Missing links, the surest first; what was rejected before is not proposed again.

    Args:
        kb: with a model in service.
        type: ``DESCRIBES``, ``IN_CATEGORY`` or ``RELATED_TO``; all of them by default.
        limit: how many.
        by_usefulness: instead those whose answer says most: neither sure nor impossible, of items
            that have few links, each item once.

    Raises:
        QueryError: links of that type are not proposed.
        NothingToLearn: there are too few links of that type to learn from.
    """
    if type is not None and type not in TYPES:
        raise QueryError(
            f"links of type {type!r} are not proposed", remedy=f"choose from {', '.join(TYPES)}"
        )
    if not 1 <= limit <= 10_000:
        raise QueryError(f"limit is {limit}", remedy="ask for 1 to 10000 proposals")
    began = kb.store.revision
    view, decided = View.of(kb), _standing(kb)
    found: list[tuple[float, Proposal]] = []
    for name in TYPES if type is None else (type,):
        try:
            curve = learned(view, name, decided)
        except NothingToLearn:
            if type is not None:
                raise
            continue
        no = {(e.src, e.dst) for e in kb.store.edges(name, status="rejected")}
        found += candidates(view, name, curve, no)
    # looking takes a minute: what was decided or deleted meanwhile stays so
    changes = kb.store.changes_since(began)
    settled = {(e.src, e.type, e.dst) for e in changes.edges if e.status != "proposed"}
    gone = set(changes.deleted_nodes)
    found = [
        (useful, p)
        for useful, p in found
        if (p.src, p.type, p.dst) not in settled and not gone & {p.src, p.dst}
    ]
    found.sort(key=lambda x: (-(x[0] if by_usefulness else x[1].confidence), x[1].id))
    best = [p for _, p in found]
    if by_usefulness:
        best = list(_each_once(best))
    best = best[:limit]
    edges = [Edge(p.src, p.type, p.dst, round(p.confidence, 4), "model", "proposed") for p in best]
    kb.store.upsert([], edges)
    return best


def accept(kb: Retriever, id: str, by: str) -> dict[str, JSON]:
    """Make a proposed link one that is asserted; the next search uses it.

    Raises:
        QueryError: there is no such open proposal, or nobody is named.
    """
    return _decide(kb, id, by, "accepted")


def reject(kb: Retriever, id: str, by: str) -> dict[str, JSON]:
    """Say that a proposed link is wrong; it is learned from and not proposed again.

    Raises:
        QueryError: there is no such open proposal, or nobody is named.
    """
    return _decide(kb, id, by, "rejected")


def undo(kb: Retriever, id: str, by: str) -> dict[str, JSON]:
    """Take back the last decision on a proposal, so that it is open again.

    A link that is no longer what the decision made of it, as somebody asserted, changed or removed
    it since, stays as it is.

    Raises:
        QueryError: nothing was decided on it, or nobody is named.
    """
    _named(by)
    standing = [node for node in _decisions_on(kb, id) if not node.properties.get("undone_at")]
    if not standing:
        raise QueryError(f"nothing was decided on {id!r}", remedy="see `propose` for open ones")
    last = standing[-1]
    said = {**last.properties, "undone_by": by, "undone_at": round(time.time(), 3)}
    edge = Edge(said["src"], said["type"], said["dst"], *said["before"])
    made = _after(edge, said["verdict"])
    edges = [edge] if made == _now(kb, made) else []
    revision = kb.store.upsert([replace(last, properties=said)], edges)
    return {**said, "revision": revision}


def decisions(kb: Retriever) -> list[dict[str, JSON]]:
    """All decisions, oldest first, those taken back among them."""
    found = [dict(node.properties) for node in kb.store.nodes(DECISION) if is_decision(node)]
    return sorted(found, key=lambda d: (d["at"], d["proposal"]))


def _standing(kb: Retriever) -> list[dict[str, JSON]]:
    return [d for d in decisions(kb) if not d.get("undone_at")]


def reliability(kb: Retriever, type: str) -> dict[str, JSON]:
    """How often candidates were right by how sure they were called, on links not learned from.

    Raises:
        NothingToLearn: there are too few links of that type.
    """
    return learned(View.of(kb), type, _standing(kb)).reliability


# --- deciding ---------------------------------------------------------------------------------


def _decide(kb: Retriever, id: str, by: str, verdict: str) -> dict[str, JSON]:
    _named(by)
    edge = next((e for e in kb.store.edges(status="proposed") if _id(e) == id), None)
    before = _decisions_on(kb, id)
    if edge is None:
        standing = [n.properties for n in before if not n.properties.get("undone_at")]
        if standing:
            said = standing[-1]
            raise QueryError(
                f"{id!r} was {said['verdict']} by {said['by']}", remedy="undo that first"
            )
        raise QueryError(f"there is no open proposal {id!r}", remedy="see `propose`")
    said = {
        "proposal": id,
        "src": edge.src,
        "type": edge.type,
        "dst": edge.dst,
        "verdict": verdict,
        "by": by,
        "at": round(time.time(), 3),
        "before": [edge.weight, edge.origin, edge.status],
    }
    node = Node(f"decision:{id}:{len(before)}", DECISION, properties=said)
    return {**said, "revision": kb.store.upsert([node], [_after(edge, verdict)])}


def _after(edge: Edge, verdict: str) -> Edge:
    """What a decision makes of a proposed edge."""
    if verdict == "accepted":
        return replace(edge, weight=1.0, origin="user", status="asserted")
    return replace(edge, origin="user", status="rejected")


def _now(kb: Retriever, made: Edge) -> Edge | None:
    """The edge between the same ends, if it is of the same status."""
    if made.status == "asserted":
        types = [made.type]
        (found,) = kb.store.neighbours([made.src], types=types, direction="out", limit=1_000_000)
    else:
        found = list(kb.store.edges(made.type, status=made.status))
    return next((e for e in found if (e.src, e.dst) == (made.src, made.dst)), None)


def _decisions_on(kb: Retriever, id: str) -> list[Node]:
    out: list[Node] = []
    while True:
        node = kb.store.get([f"decision:{id}:{len(out)}"])[0]
        if node is None:
            return out
        out.append(node)


def _named(by: str) -> None:
    if not by.strip():
        raise QueryError("nobody is named as deciding", remedy="say who with --by")


def _id(edge: Edge) -> str:
    return id_of(edge.src, edge.type, edge.dst)


def _each_once(proposals: Sequence[Proposal]) -> Iterator[Proposal]:
    seen: set[str] = set()
    for p in proposals:
        ends = {p.src} if p.type == IN_CATEGORY else {p.src, p.dst}
        if not ends & seen:
            seen |= ends
            yield p
