"""Forgetting: a node and everything made from it, from every artefact, with a certificate.

What is to go is first written down (without content), so that a killed run is taken up by the next.
The certificate names nodes by the SHA-256 of their ids; by it they are also kept from coming back,
as are the ids that their files would be given where they were moved to.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from graphretrieval.errors import BundleError, UnknownNode
from graphretrieval.retriever import Retriever
from graphretrieval.retriever.features import cache_of, content_key
from graphretrieval.retriever.ingest import CERTIFICATES
from graphretrieval.retriever.ingest import digest as digest_of
from graphretrieval.retriever.moves import MOVED
from graphretrieval.types import JSON, PART_OF, Node

#: Nodes that say who decided what; they name other nodes. A collection may have others so called.
DECISION = "decision"
#: What is recorded of each decision.
RECORDED = frozenset({"proposal", "src", "type", "dst", "verdict", "by", "at", "before"})


def forget(kb: Retriever, ids: Sequence[str], *, by: str | None = None) -> dict[str, JSON]:
    """Remove nodes, their fragments, and all that was derived from them.

    Args:
        kb: the knowledge base.
        ids: what to forget; a source's fragments go with it.
        by: who asked for it.

    Returns:
        The certificate, and the ``ids`` it is about, which it does not hold itself. For ids that a
        killed run had begun to forget, that run's.

    Raises:
        UnknownNode: one of them is not in the store; nothing is removed.
        BundleError: the model in service cannot be read, so that its vectors stay until another
            one is; all else is removed, and the next run finishes it.
    """
    for begun in _taken_up(kb):
        if ids and set(ids) <= set(begun["ids"]):
            return _finished(begun)
    missing = [i for i, node in zip(ids, kb.store.get(ids), strict=True) if node is None]
    if missing:
        raise UnknownNode(f"no node is called {missing[0]!r}", remedy="check the id")
    nodes = _with_fragments(kb, ids)
    plan = _plan(kb, nodes, by)
    pending = _write(_folder(kb) / f"{plan['certificate']}.pending.json", plan)
    return _finished(_carry_out(kb, pending))


def resume(kb: Retriever) -> list[dict[str, JSON]]:
    """Finish what a killed run began; what waits for a model that cannot be read goes on waiting.

    Returns:
        The certificates of what is now finished.
    """
    return [begun for begun in _taken_up(kb) if not begun.get("left")]


def certificates(kb: Retriever) -> list[dict[str, JSON]]:
    """What was forgotten, oldest first."""
    found = [
        json.loads(file.read_text("utf-8"))
        for file in _folder(kb).glob("*.json")
        if not file.name.endswith(".pending.json")
    ]
    return sorted(found, key=lambda c: (str(c["at"]), str(c["certificate"])))


def is_decision(node: Node) -> bool:
    """Whether a node records a decision, and is no collection's own of that modality."""
    if node.modality != DECISION or not node.properties.keys() >= RECORDED:
        return False
    return node.id.startswith(f"decision:{node.properties['proposal']}:")


def _taken_up(kb: Retriever) -> list[dict[str, Any]]:
    return [_carry_out(kb, file) for file in sorted(_folder(kb).glob("*.pending.json"))]


def _finished(begun: dict[str, Any]) -> dict[str, JSON]:
    left: dict[str, str] = begun.get("left", {})
    if left:
        version, reason = next(iter(left.items()))
        raise BundleError(
            f"all is removed but what model {version} may hold, which cannot be read ({reason})",
            remedy="make it readable or fit again, then forget the same once more to finish it",
        )
    return begun


def _with_fragments(kb: Retriever, ids: Sequence[str]) -> list[Node]:
    wanted = dict.fromkeys(ids)
    front = list(wanted)
    while front:
        found = kb.store.neighbours(front, types=[PART_OF], direction="in", limit=1_000_000)
        front = list({e.src for edges in found for e in edges if e.src not in wanted})
        wanted.update(dict.fromkeys(front))
    return [node for node in kb.store.get(list(wanted)) if node is not None]


def _plan(kb: Retriever, nodes: Sequence[Node], by: str | None) -> dict[str, Any]:
    """All that must be known to go on after a kill: names and hashes, no content."""
    going = {node.id for node in nodes}
    uris = {node.uri for node in nodes if node.uri}
    keys = {content_key(node) for node in nodes}
    decisions, twins = [], []
    for other in kb.store.nodes():
        if other.id in going:
            continue
        if other.uri:
            uris.discard(other.uri)  # another part of that file stays
        if content_key(other) in keys and (other.text or other.sha256):
            twins.append(other.id)
        if is_decision(other) and {other.properties["src"], other.properties["dst"]} & going:
            decisions.append(other.id)
    moved = _moved_to(kb, going)
    at = time.time()
    name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(at))}-{digest_of(sorted(going)[0])[:8]}"
    return {
        "certificate": name,
        "at": round(at, 3),
        "by": by,
        "ids": sorted(going),
        "ids_sha256": [digest_of(i) for i in sorted(going) + moved],
        "decisions": decisions,
        "uris": sorted(uris),
        "keys": sorted(keys),
        "same_content_in": sorted(twins),
        "edges": sum(map(len, kb.store.neighbours(sorted(going), limit=1_000_000))),
    }


def _moved_to(kb: Retriever, going: Set[str]) -> list[str]:
    """Ids that files of these nodes would be given where they lie now; no other node's."""
    stamps = kb.store.files(MOVED).values()
    made = sorted({s.uri.removeprefix(MOVED) for s in stamps if s.sha256 in going} - going)
    return [i for i, node in zip(made, kb.store.get(made), strict=True) if node is None]


def _carry_out(kb: Retriever, pending: Path) -> dict[str, JSON]:
    plan = json.loads(pending.read_text("utf-8"))
    ids = plan["ids"]
    revision = kb.store.delete([*ids, *plan["decisions"]])
    kept_under = [s.uri for s in kb.store.files(MOVED).values() if s.sha256 in set(ids)]
    kb.store.forget_files([*plan["uris"], *kept_under])
    scrubbed = "scrub" in kb.store.capabilities
    if scrubbed:
        kb.store.scrub()
    kb.store.export()  # a snapshot of the revision before is replaced
    cached = cache_of(kb.config).remove(plan["keys"])
    stripped = kb.bundles.strip_all(ids)
    before = plan.get("before", {"cached_features": 0, "vectors": {}})
    cached += before["cached_features"]
    models = {**before["vectors"], **{v: n for v, n in stripped.vectors.items() if n}}
    rewritten = True
    if "remote" in kb.store.capabilities and not stripped.left:
        from graphretrieval.retriever.publish import republish

        rewritten = republish(kb)
    certificate = {
        "certificate": plan["certificate"],
        "at": plan["at"],
        "done_at": round(time.time(), 3),
        "by": plan["by"],
        "ids_sha256": plan.get("ids_sha256") or [digest_of(i) for i in ids],
        "revision": revision,
        "removed": {
            "nodes": len(ids),
            "edges": plan["edges"],
            "decisions": len(plan["decisions"]),
            "files": len(plan["uris"]),
            "cached_features": cached,
            "vectors": models,
        },
        # they could not be read, and so not be stripped
        "models_removed": [*plan.get("models_removed", ()), *stripped.removed],
        "store_files_rewritten": scrubbed,
        # neighbours' vectors on a server had absorbed it
        "server_vectors_rewritten": rewritten,
        # statistics over the whole collection were learned with it, until the next full fit
        "statistics_in_models": list(models),
        "same_content_in_other_nodes": len(plan["same_content_in"]),
    }
    about = {"ids": ids, "same_content_in": plan["same_content_in"]}
    if stripped.left:
        before = {"cached_features": cached, "vectors": models}
        removed = certificate["models_removed"]
        _write(pending, {**plan, "before": before, "models_removed": removed})
        return {**certificate, **about, "left": stripped.left}
    _write(pending.with_name(f"{plan['certificate']}.json"), certificate)
    pending.unlink()
    return {**certificate, **about}


def _folder(kb: Retriever) -> Path:
    return kb.bundles.folder / CERTIFICATES


def _write(file: Path, value: dict[str, Any]) -> Path:
    """All of it or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=1)
        f.flush()
        os.fsync(f.fileno())
    return draft.replace(file)
