"""A refit: the candidate learned from new links, judged beside the champion, and saved."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from graphretrieval.config import Config
from graphretrieval.cpus import one_thread
from graphretrieval.errors import NotFitted, SnapshotTooOld
from graphretrieval.gnn.messages import Typed
from graphretrieval.protocols import GraphStore, Progress, silent
from graphretrieval.retriever.adapt import adapt
from graphretrieval.retriever.bundle import Bundles, Embedded
from graphretrieval.retriever.fresh import catch_up, still_similar
from graphretrieval.retriever.judge import (
    NEW,
    Judge,
    Link,
    Slice,
    frozen,
    names,
    positions,
    refined_over,
)
from graphretrieval.retriever.similar import carries
from graphretrieval.types import JSON, Bools, Edge, Graph

#: How many standard errors beyond the tolerance a slice must lose to be called worse.
SURE = 2.0
#: Where a model from elsewhere says up to which revision it knows links, if not as far as nodes.
LINKED = "links_revision"


def candidate(
    store: GraphStore,
    bundles: Bundles,
    config: Config,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[str, dict[str, JSON]]:
    """Learn, judge and save a candidate, which is not put in service; on one thread.

    Its matrix products are many and small, and queries that are answered meanwhile need the others.

    Returns:
        Its version, and the verdict, which is saved with it; the champion's where nothing is new.

    Raises:
        NotFitted: there is no model to start from.
    """
    with one_thread():
        return _candidate(store, bundles, config, seed, progress)


def _candidate(
    store: GraphStore, bundles: Bundles, config: Config, seed: int, progress: Progress
) -> tuple[str, dict[str, JSON]]:
    started = time.perf_counter()
    found = bundles.load()
    if found is None:
        raise NotFitted("nothing has been learned yet", remedy="run `graphretrieval fit`")
    model, embedded = found
    current, since = str(model.meta["version"]), int(model.meta["revision"])
    graph, known_to = store.export(), linked_to(model.meta)
    known_to = known_to if known_to <= graph.revision else 0  # of another store, or a lost past
    if graph.revision == known_to:
        reason = f"nothing is newer than revision {since}"
        empty: dict[str, JSON] = {"promoted": False, "champion": {}, "candidate": {}, "slices": []}
        return current, {**empty, "reason": reason}
    progress(0, 4, "encoding what is new")
    raw = catch_up(model, store, graph, embedded, since, config)
    new = _marks(graph, asserted_since(store, known_to))
    known: list[Link] = [tuple(x) for x in model.meta.get("frozen", ())]
    new[positions(graph, known)] = False  # the champion was judged by them already
    held = frozen(graph, known, new)
    free = np.ones(len(graph.src), np.bool_)
    free[held] = False
    progress(1, 4, "learning from new links")
    made = adapt(model, graph, raw, np.flatnonzero(new & free), np.flatnonzero(~new & free), seed)
    progress(2, 4, "comparing with the model in service")
    similar = still_similar(store, graph, embedded, since)  # the champion's, until the next fit
    typed = Typed.of(similar.added_to(graph) if carries(model) else graph)
    # where all links are new to the model they are what there is to judge by
    apart = new if known_to else np.zeros_like(new)
    judge = Judge.of(graph, typed, held, apart, seed)
    ranks = judge.reciprocal_ranks(model, raw), judge.reciprocal_ranks(made.model, made.raw)
    slices = judge.slices(*ranks)
    promoted, reason = judged(slices, float(config["refit_tolerance"]))
    progress(3, 4, "saving the candidate")
    scores = [{"mrr": round(x, 4)} for x in (slices[0].champion, slices[0].candidate)]
    report = {
        **made.report,
        "promoted": promoted,
        "reason": reason,
        "tolerance": float(config["refit_tolerance"]),
        "champion": scores[0],
        "candidate": scores[1],
        "slices": [s.to_json() for s in slices],
    }
    made.model.meta = {
        **{k: v for k, v in model.meta.items() if k not in ("version", "at", LINKED)},
        "kind": "refit",
        "parent": current,
        "seed": seed,
        "revision": graph.revision,
        "frozen": [list(link) for link in names(graph, held)],
        "refit": report,
        "seconds": round(time.perf_counter() - started, 1),
    }
    refined = refined_over(typed, made.model, made.raw)
    saved = Embedded(tuple(graph.ids), made.raw, refined, similar)
    version = bundles.save(made.model, saved, promote=False)
    progress(4, 4, "saving the candidate")
    return version, report


def linked_to(meta: Mapping[str, JSON]) -> int:
    """The revision up to which a model knows a collection's links."""
    return int(meta.get(LINKED, meta["revision"]))


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
        f"not worse by more than {tolerance:.3f} over all or {2 * tolerance:.3f} on a slice: "
        f"{whole.candidate:.3f} against {whole.champion:.3f} ({whole.questions} questions)"
    )


def asserted_since(store: GraphStore, since: int) -> list[Edge]:
    """Edges that were asserted or changed after a revision; all, if it has not come yet."""
    since = since if since <= store.revision else 0
    try:
        edges: Sequence[Edge] = store.changes_since(since).edges
    except SnapshotTooOld:  # deletions that far back are forgotten, but edges know their revision
        edges = [e for e in store.edges() if e.revision > since]
    return [e for e in edges if e.status == "asserted"]


def _marks(graph: Graph, edges: Sequence[Edge]) -> Bools:
    links: list[Link] = [(e.src, e.type, e.dst) for e in edges]
    out = np.zeros(len(graph.src), np.bool_)
    out[positions(graph, links)] = True
    return out
