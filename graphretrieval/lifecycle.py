"""The life of models: retrained on new links, compared with the one in service, put back.

A candidate is promoted only if it is not worse than the champion on the frozen links, over all and
in every slice, by more than a stated tolerance. The pointer to the model in service moves in one
rename; queries go on with the former until the next is loaded. A killed refit leaves nothing but a
draft, or a candidate that the next one takes up.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from graphretrieval import privacy
from graphretrieval.errors import BundleError, NotFitted, SnapshotTooOld, StoreBusy
from graphretrieval.protocols import Progress, silent
from graphretrieval.retriever import Retriever
from graphretrieval.retriever.adapt import adapt
from graphretrieval.retriever.bundle import Embedded
from graphretrieval.retriever.fresh import catch_up
from graphretrieval.retriever.judge import NEW, Judge, Link, Slice, frozen, names, positions
from graphretrieval.retriever.model import refine_nodes
from graphretrieval.types import JSON, Bools, Edge, Graph

#: How many standard errors beyond the tolerance a slice must lose to be called worse.
SURE = 2.0


@dataclass(frozen=True)
class RefitReport:
    """What a refit did: ``version`` is the candidate's name, or the champion's if none was made.

    ``champion`` and ``candidate`` hold their mean reciprocal rank on the frozen links.
    """

    version: str
    promoted: bool
    reason: str
    champion: dict[str, JSON]
    candidate: dict[str, JSON]
    slices: tuple[dict[str, JSON], ...] = field(default=())
    seconds: float = 0.0

    def to_json(self) -> dict[str, JSON]:
        """The report as ``refit --json`` prints it."""
        return {
            "version": self.version,
            "promoted": self.promoted,
            "reason": self.reason,
            "champion": self.champion,
            "candidate": self.candidate,
            "slices": list(self.slices),
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True)
class Policy:
    """When to refit by itself: after so many new links, or so many minutes if there is any."""

    links: int = 0
    minutes: float = 0.0

    def due(self, links: int, seconds: float) -> bool:
        """Whether the time has come, after that many new links and seconds."""
        many = self.links > 0 and links >= self.links
        long = self.minutes > 0 and links > 0 and seconds >= 60 * self.minutes
        return many or long


def refit(kb: Retriever, *, seed: int = 0, progress: Progress = silent) -> RefitReport:
    """Learn from the links made since the model in service, and promote the result if not worse.

    Raises:
        NotFitted: there is no model to start from.
        StoreBusy: another process is refitting this collection.
    """
    started = time.perf_counter()
    with _alone(kb):
        champion = _current(kb)
        known = _taken_up(kb, champion, seed)
        if known is None:
            known = _candidate(kb, champion, seed, progress)
        if known.promoted:
            kb.bundles.promote(known.version)
            kb.serving.renew()
        seconds = time.perf_counter() - started
        return replace(known, seconds=seconds)


def forget(kb: Retriever, ids: Sequence[str], by: str | None = None) -> dict[str, JSON]:
    """Remove nodes and all that was made from them; see :func:`graphretrieval.privacy.forget`."""
    return privacy.forget(kb, ids, by=by)


def rollback(kb: Retriever) -> str:
    """Put the model that was in service before back; return its name.

    Raises:
        BundleError: there is none.
    """
    former = kb.bundles.rollback()
    kb.serving.renew()
    return former


def promote(kb: Retriever, version: str) -> str:
    """Put a version in service by hand.

    Raises:
        BundleError: there is no such version, or it is damaged.
    """
    _known(kb, version)
    kb.bundles.promote(version)
    kb.serving.renew()
    return version


def models(kb: Retriever) -> list[dict[str, JSON]]:
    """All versions, oldest first: what each was made from, and how it was judged."""
    current = kb.bundles.current()
    out = []
    for version in kb.bundles.versions():
        meta = kb.bundles.meta(version)
        made = meta.get("refit") or {}
        row = {"version": version, "in_service": version == current}
        row |= {k: meta.get(k) for k in ("kind", "parent", "revision", "seed", "seconds", "at")}
        row["kind"] = row["kind"] or "fit"
        row |= {"promoted": made.get("promoted", True), "reason": made.get("reason")}
        out.append({**row, "mrr": (made.get("candidate") or {}).get("mrr")})
    return out


def diff(kb: Retriever, a: str, b: str) -> dict[str, JSON]:
    """In what two versions differ: every setting, count and figure that is not the same."""
    about = [_flat(kb.bundles.meta(_known(kb, v))) for v in (a, b)]
    names_ = sorted(about[0].keys() | about[1].keys())
    return {n: [x.get(n) for x in about] for n in names_ if about[0].get(n) != about[1].get(n)}


def prune(kb: Retriever, *, keep: int = 3) -> list[str]:
    """Delete old versions; the newest ``keep``, the one in service and its former stay."""
    spared = {kb.bundles.current(), kb.bundles.former(), *kb.bundles.versions()[-max(1, keep) :]}
    gone = [v for v in kb.bundles.versions() if v not in spared]
    for version in gone:
        kb.bundles.remove(version)
    return gone


def new_links(kb: Retriever) -> tuple[int, float]:
    """Links made since the last attempt to learn, and the seconds since then."""
    current = _current(kb)
    tried = [kb.bundles.meta(v) for v in kb.bundles.versions()]
    tried = [m for m in tried if m.get("parent") == current or m.get("version") == current]
    since = max(int(m["revision"]) for m in tried)
    at = max(float(m.get("at") or 0.0) for m in tried)
    return len(_asserted(kb, since)), time.time() - at


def refit_if_due(
    kb: Retriever, policy: Policy, *, seed: int = 0, progress: Progress = silent
) -> RefitReport | None:
    """Refit if the policy says so; ``None`` if it does not."""
    return refit(kb, seed=seed, progress=progress) if policy.due(*new_links(kb)) else None


def judged(slices: Sequence[Slice], tolerance: float) -> tuple[bool, str]:
    """Whether a candidate may be promoted, and why (not)."""
    whole = slices[0]
    if not whole.questions:
        return True, "there are no frozen links to judge by; nothing speaks against it"
    for part in slices:
        allowed = tolerance if part is whole else 2 * tolerance
        if part.name == NEW:
            continue
        if part.difference < -max(allowed, SURE * part.unsure if part is not whole else allowed):
            return False, (
                f"worse on {part.name}: {part.candidate:.3f} against {part.champion:.3f} "
                f"(tolerance {allowed:.3f}, {part.questions} questions)"
            )
    return True, (
        f"not worse than {tolerance:.3f} on any slice: {whole.candidate:.3f} against "
        f"{whole.champion:.3f} ({whole.questions} questions)"
    )


def _candidate(kb: Retriever, current: str, seed: int, progress: Progress) -> RefitReport:
    """Learn, judge and save a candidate; the verdict is saved with it."""
    started = time.perf_counter()
    found = kb.bundles.load(current)
    if found is None:
        raise NotFitted("nothing has been learned yet", remedy="run `graphretrieval fit`")
    model, embedded = found
    since = int(model.meta["revision"])
    graph = kb.store.export()
    if graph.revision == since:
        return RefitReport(current, False, f"nothing is newer than revision {since}", {}, {})
    progress(0, 4, "encoding what is new")
    raw = catch_up(model, kb.store, graph, embedded, since, kb.config)
    new = _marks(graph, _asserted(kb, since))
    held = frozen(graph, [tuple(x) for x in model.meta.get("frozen", ())], new)
    free = np.ones(len(graph.src), np.bool_)
    free[held] = False
    progress(1, 4, "learning from new links")
    made = adapt(model, graph, raw, np.flatnonzero(new & free), np.flatnonzero(~new & free), seed)
    progress(2, 4, "comparing with the model in service")
    judge = Judge.of(graph, held, new, seed)
    ranks = judge.reciprocal_ranks(model, raw), judge.reciprocal_ranks(made.model, made.raw)
    slices = judge.slices(*ranks)
    promoted, reason = judged(slices, float(kb.config["refit_tolerance"]))
    progress(3, 4, "saving the candidate")
    scores = [{"mrr": round(x, 4)} for x in (slices[0].champion, slices[0].candidate)]
    report = {
        **made.report,
        "promoted": promoted,
        "reason": reason,
        "tolerance": float(kb.config["refit_tolerance"]),
        "champion": scores[0],
        "candidate": scores[1],
        "slices": [s.to_json() for s in slices],
    }
    made.model.meta = {
        **{k: v for k, v in model.meta.items() if k not in ("version", "at")},
        "kind": "refit",
        "parent": current,
        "seed": seed,
        "revision": graph.revision,
        "frozen": [list(link) for link in names(graph, held)],
        "refit": report,
        "seconds": round(time.perf_counter() - started, 1),
    }
    refined = refine_nodes(made.model, graph, made.raw)
    saved = Embedded(tuple(graph.ids), made.raw, refined)
    version = kb.bundles.save(made.model, saved, promote=False)
    progress(4, 4, "saving the candidate")
    return _report(version, report)


def _taken_up(kb: Retriever, current: str, seed: int) -> RefitReport | None:
    """A candidate made from the same champion, data and seed whose maker was killed, or refused."""
    for version in reversed(kb.bundles.versions()):
        meta = kb.bundles.meta(version)
        same = (meta.get("parent"), meta.get("seed"), meta.get("revision"))
        if same == (current, seed, kb.store.revision) and "refit" in meta:
            if version in {entry["in service"] for entry in kb.bundles.history()}:
                reason = (
                    f"{version} was made of the same and taken out of service: promote it by hand"
                )
                return replace(_report(version, meta["refit"]), promoted=False, reason=reason)
            return _report(version, meta["refit"])
    return None


def _report(version: str, made: dict[str, Any]) -> RefitReport:
    return RefitReport(
        version,
        bool(made["promoted"]),
        str(made["reason"]),
        made["champion"],
        made["candidate"],
        tuple(made["slices"]),
    )


def _asserted(kb: Retriever, since: int) -> list[Edge]:
    try:
        edges: Sequence[Edge] = kb.store.changes_since(since).edges
    except SnapshotTooOld:  # deletions that far back are forgotten, but edges know their revision
        edges = [e for e in kb.store.edges() if e.revision > since]
    return [e for e in edges if e.status == "asserted"]


def _marks(graph: Graph, edges: Sequence[Edge]) -> Bools:
    links: list[Link] = [(e.src, e.type, e.dst) for e in edges]
    out = np.zeros(len(graph.src), np.bool_)
    out[positions(graph, links)] = True
    return out


def _current(kb: Retriever) -> str:
    version = kb.bundles.current()
    if version is None:
        raise NotFitted("nothing has been learned yet", remedy="run `graphretrieval fit`")
    return version


def _known(kb: Retriever, version: str) -> str:
    if version not in kb.bundles.versions():
        raise BundleError(
            f"there is no model {version!r}",
            remedy=f"choose from {', '.join(kb.bundles.versions()) or 'none yet'}",
        )
    return version


def _flat(value: JSON, name: str = "") -> dict[str, JSON]:
    if not isinstance(value, dict):
        return {name: value}
    out: dict[str, JSON] = {}
    for key, inner in value.items():
        if key != "frozen":
            out |= _flat(inner, f"{name}.{key}" if name else str(key))
    return out


@contextmanager
def _alone(kb: Retriever) -> Iterator[None]:
    """One refit of a collection at a time; a killed one's lock goes with it."""
    kb.bundles.folder.mkdir(parents=True, exist_ok=True)
    with (kb.bundles.folder / ".refit").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise StoreBusy(
                "another process is refitting this collection",
                remedy="wait for it to finish, or stop it",
            ) from e
        yield
