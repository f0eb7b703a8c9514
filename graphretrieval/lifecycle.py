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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from graphretrieval import privacy
from graphretrieval.errors import BundleError, NotFitted, QueryError, StoreBusy
from graphretrieval.protocols import Progress, silent
from graphretrieval.retriever import Retriever
from graphretrieval.retriever.refit import asserted_since, candidate, linked_to
from graphretrieval.types import JSON


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
            known = _report(
                *candidate(kb.store, kb.bundles, kb.config, seed=seed, progress=progress)
            )
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
        QueryError: there is no such version.
        BundleError: it is damaged.
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


def show(kb: Retriever, version: str) -> dict[str, JSON]:
    """All that is recorded of a version.

    Raises:
        QueryError: there is none of that name.
    """
    return kb.bundles.meta(_known(kb, version))


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
    tried = [m for v, m in _readable(kb) if v == current or m.get("parent") == current]
    since = max(map(linked_to, tried), default=0)
    at = max((float(m.get("at") or 0.0) for m in tried), default=0.0)
    return len(asserted_since(kb.store, since)), time.time() - at


def refit_if_due(
    kb: Retriever, policy: Policy, *, seed: int = 0, progress: Progress = silent
) -> RefitReport | None:
    """Refit if the policy says so; ``None`` if it does not."""
    return refit(kb, seed=seed, progress=progress) if policy.due(*new_links(kb)) else None


def _taken_up(kb: Retriever, current: str, seed: int) -> RefitReport | None:
    """A candidate made from the same champion, data and seed whose maker was killed, or refused."""
    for version, meta in reversed(_readable(kb)):
        same = (meta.get("parent"), meta.get("seed"), meta.get("revision"))
        if same == (current, seed, kb.store.revision) and "refit" in meta:
            if version in {entry["in service"] for entry in kb.bundles.history()}:
                reason = (
                    f"{version} was made of the same and taken out of service: promote it by hand"
                )
                return replace(_report(version, meta["refit"]), promoted=False, reason=reason)
            return _report(version, meta["refit"])
    return None


def _readable(kb: Retriever) -> list[tuple[str, dict[str, JSON]]]:
    """Versions, oldest first, with what each was made from; but those that cannot be read."""
    found = []
    for version in kb.bundles.versions():
        with suppress(BundleError):
            found.append((version, kb.bundles.meta(version)))
    return found


def _report(version: str, made: dict[str, Any]) -> RefitReport:
    return RefitReport(
        version,
        bool(made["promoted"]),
        str(made["reason"]),
        made["champion"],
        made["candidate"],
        tuple(made["slices"]),
    )


def _current(kb: Retriever) -> str:
    version = kb.bundles.current()
    if version is None:
        raise NotFitted("nothing has been learned yet", remedy="run `graphretrieval fit`")
    return version


def _known(kb: Retriever, version: str) -> str:
    if version not in kb.bundles.versions():
        raise QueryError(
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
