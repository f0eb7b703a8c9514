"""How soon a new link counts, and what a refit costs and is worth.

A planted collection (see :mod:`~graphretrieval.evaluation.planted`) with categories of very
different sizes is put into a store with a model. Links are made one by one, and after each the next
search is timed, which uses it, by the degree of the link's ends and beside a full rebuild. Then one
link in a hundred is new, and a refit is compared with learning from all links anew.

    python -m graphretrieval.evaluation.living --nodes 50000
    python -m graphretrieval.evaluation.living --nodes 50000 --refit 3
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from graphretrieval import registry
from graphretrieval.aligners.cca import CcaAligner
from graphretrieval.config import Config
from graphretrieval.cpus import threads, using
from graphretrieval.evaluation.planted import (
    MODALITIES,
    QUESTIONS,
    SIGNAL,
    Planted,
    aligned,
    cpu,
    make,
    precision_at_10,
)
from graphretrieval.gnn.propagate import PropagateRefiner
from graphretrieval.retriever import Retriever
from graphretrieval.retriever import open as open_kb
from graphretrieval.retriever.bundle import Embedded
from graphretrieval.retriever.live import Live
from graphretrieval.retriever.model import ALIKE, Model, refine_nodes
from graphretrieval.retriever.refit import candidate
from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import IN_CATEGORY, JSON, RELATED_TO, Array, Edge, Graph, Ints, Node

LINKS = 300  # timed links, in turn over the classes of degree
REBUILDS = 3
CHUNK = 20_000
CATEGORIES = 200
#: Classes of ends by degree, beside plain items: the category nearest in size to each.
SIZES = (100, 1_000, 10_000, 50_000)


@dataclass(frozen=True)
class Living:
    """A store with its model, and the truth that was planted."""

    kb: Retriever = field(repr=False)
    world: Planted = field(repr=False)
    ids: Sequence[str] = field(repr=False)


def freshness(n: int = 50_000, seed: int = 0, links: int = LINKS) -> dict[str, JSON]:
    """Time links and the searches after them; print and return the figures."""
    count = threads()
    with using(count), tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        living = build(Path(folder) / "living.db", n, seed)
        built = time.perf_counter() - started
        out: dict[str, JSON] = {
            "machine": {"cpu": cpu(), "threads": count},
            "depth": _depth(living.kb),
            "sizes": {"nodes": n, **living.kb.store.counts(), "built_seconds": round(built, 1)},
        }
        with timed(out, "first_search_ms"):
            living.kb.search(node=living.ids[0], target="image")
        with timed(out, "prime_ms"):
            living.kb.serving.prime()
        out["links"] = _links(living, links, seed)
        out["quiet_search_ms"] = _quiet(living, seed)
        out["full_rebuild_ms"] = _rebuilds(living)
        out["difference"] = _difference(living)
        living.kb.close()
    _print(out)
    return out


def build(path: Path, n: int, seed: int, share: float = 1.0) -> Living:
    """The planted collection in a store, and a model learned from a share of its links."""
    world = make(n, seed)
    kb = open_kb(path, config=Config({"cache_dir": str(path.parent / "cache")}))
    known = some_of(world, seed, share)
    ids = fill(kb, known, seed)
    graph = kb.store.export()
    aligner = CcaAligner(dims=SIGNAL, ridge=1e-2, power=1.0)
    h = aligned(aligner, known, seed)
    model = Model(aligners={"cca": aligner}, meta={"revision": graph.revision, "seed": seed})
    raw = {"cca": in_order(graph, ids, h)}
    edges = graph.edges_of("DESCRIBES")
    held = np.random.default_rng(seed).permutation(edges)[:1000]
    refiner = PropagateRefiner().fit(graph, raw["cca"], np.sort(held), seed=seed)
    # the planted categories say nothing, so that no strength is learned for them: it is given, as
    # links to the largest of them are what deltas have to be measured by
    refiner.strength_ |= {f"IN_CATEGORY:in:{m}>category": 1.0 for m in MODALITIES}
    refiner.strength_ |= {f"IN_CATEGORY:out:category>{m}": 0.3 for m in MODALITIES}
    model.refiners = {"cca": refiner}
    alike = registry.resolve("ranker", "fusion")()
    nothing = np.empty(0, np.float32)
    empty = np.empty((0, len(model.columns)), np.float32)
    model.gates = {ALIKE: alike.fit(empty, nothing, np.empty(0, np.int64), nothing)}
    refined = refine_nodes(model, graph, raw)
    kb.bundles.save(model, Embedded(tuple(graph.ids), raw, refined))
    return Living(kb, world, ids)


def _depth(kb: Retriever) -> int:
    found = kb.bundles.load()
    refiner = found[0].refiners["cca"] if found else None
    return int(getattr(refiner, "depth_", 0))


def some_of(world: Planted, seed: int, share: float) -> Planted:
    """The world with a share of its links."""
    order = np.random.default_rng(seed).permutation(len(world.graph.src))
    keep = np.sort(order[: round(share * len(order))])
    return Planted(world.graph.with_edges(keep), world.features, world.topic, world.held)


def fill(kb: Retriever, world: Planted, seed: int) -> Sequence[str]:
    """Write the world and its categories, whose sizes fall as 1/rank."""
    graph, rng = world.graph, np.random.default_rng(seed)
    n = len(graph.ids)
    ids = list(graph.ids)
    names = [graph.modalities[c] for c in graph.modality]
    for first in range(0, n, CHUNK):
        part = range(first, min(first + CHUNK, n))
        kb.store.upsert([Node(ids[i], names[i]) for i in part])
    kb.store.upsert([Node(f"cat:{c}", "category", title=f"c{c}") for c in range(CATEGORIES)])
    odds = 1 / np.arange(1, CATEGORIES + 1)
    member = rng.choice(CATEGORIES, n, p=odds / odds.sum())
    edges = [Edge(ids[i], IN_CATEGORY, f"cat:{member[i]}") for i in range(n)]
    edges += edges_of(world, np.arange(len(graph.src)))
    for first in range(0, len(edges), CHUNK):
        kb.store.upsert([], edges[first : first + CHUNK])
    return ids


def edges_of(world: Planted, at: Ints) -> list[Edge]:
    """Some of the world's links."""
    graph = world.graph
    return [
        Edge(graph.ids[graph.src[e]], graph.relations[graph.relation[e]], graph.ids[graph.dst[e]])
        for e in at
    ]


def in_order(graph: Graph, ids: Sequence[str], h: Array) -> Array:
    """Rows of the world's items in a store's order; zeros for what is no item of it."""
    out = np.zeros((len(graph.ids), h.shape[1]), np.float32)
    out[[graph.row[i] for i in ids]] = h
    return out


def refitting(n: int = 50_000, seed: int = 0, new: float = 0.01) -> dict[str, JSON]:
    """Time a refit on a share of new links; its precision beside the champion's and a retrained.

    The store has been open since before the links were made, as a trainer's has.
    """
    with using(threads()), tempfile.TemporaryDirectory() as folder:
        living = build(Path(folder) / "living.db", n, seed, 1 - new)
        kb, world = living.kb, living.world
        known = some_of(world, seed, 1 - new).graph
        code = world.graph.src.astype(np.int64) * n + world.graph.dst
        fresh = np.flatnonzero(~np.isin(code, known.src.astype(np.int64) * n + known.dst))
        kb.store.upsert([], edges_of(world, fresh))
        out: dict[str, JSON] = {"nodes": n, "seed": seed, "new_links": len(fresh)}
        former = str(kb.bundles.current())
        started = time.perf_counter()
        version, report = candidate(kb.store, kb.bundles, kb.config, seed=seed)
        kb.bundles.promote(version)
        out["refit_seconds"] = round(time.perf_counter() - started, 2)
        out["promoted"], out["reason"] = report["promoted"], report["reason"]
        out["maps"] = report["maps"]
        champion, refitted = (_precision_of(living, v) for v in (former, version))
        started = time.perf_counter()
        retrained = _retrained(living, seed)
        out["retrain_seconds"] = round(time.perf_counter() - started, 2)
        kb.link(living.ids[0], RELATED_TO, living.ids[-1])
        with timed(out, "all_rows_read_ms"):  # as the first refit of a process does
            SqliteStore(Path(folder) / "living.db").export()
        out["p@10"] = {"champion": champion, "refit": refitted, "retrained": retrained}
        kb.close()
    print(out)
    return out


def _precision_of(living: Living, version: str) -> float:
    """P@10 of held-out items by a version's refined vectors, at the newest revision."""
    living.kb.bundles.promote(version)
    live = living.kb.serving.swap()
    rows = [live.row[i] for i in living.ids]
    return _asked(living.world, live.vectors.refined["cca"][rows])


def _asked(world: Planted, z: Array) -> float:
    queries = np.flatnonzero(world.held)[:QUESTIONS]
    return precision_at_10(world, queries, z[queries], z)


def _retrained(living: Living, seed: int) -> float:
    """The same after learning aligner and strengths from all links, and refining all."""
    found = living.kb.bundles.load()
    if found is None:
        raise RuntimeError("the model is gone")
    graph = living.kb.store.export()
    aligner = CcaAligner(dims=SIGNAL, ridge=1e-2, power=1.0)
    x = in_order(graph, living.ids, aligned(aligner, living.world, seed))
    z = refine_nodes(found[0], graph, {"cca": x})["cca"]
    return _asked(living.world, z[[graph.row[i] for i in living.ids]])


@contextmanager
def timed(out: dict[str, JSON], name: str) -> Iterator[None]:
    """Write the milliseconds that the block took."""
    started = time.perf_counter()
    yield
    out[name] = round(1e3 * (time.perf_counter() - started), 1)


def _links(living: Living, links: int, seed: int) -> dict[str, JSON]:
    """For each class of degree: milliseconds of the commit and of the search that uses it."""
    kb, rng = living.kb, np.random.default_rng(seed + 1)
    live = kb.serving.newest()
    classes = {"item to item": ""} | _hubs(live)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in classes}
    for i in range(links):
        name = list(classes)[i % len(classes)]
        src, other = (living.ids[int(r)] for r in rng.integers(0, len(living.ids), 2))
        dst = classes[name] or other
        kind = IN_CATEGORY if classes[name] else RELATED_TO
        t0 = time.perf_counter()
        kb.link(src, kind, dst)
        t1 = time.perf_counter()
        answer = kb.search(node=src, target="image", k=10)
        t2 = time.perf_counter()
        if answer.revision != kb.store.revision:
            raise RuntimeError("a search did not see the link before it")
        spent[name].append((1e3 * (t1 - t0), 1e3 * (t2 - t1)))
    out = {name: _summary(np.array(rows)) for name, rows in spent.items()}
    for name, hub in classes.items():
        out[name]["degree"] = int(live.ties.count[live.row[hub]]) if hub else "about 11"
    everything = np.array([row for rows in spent.values() for row in rows])
    return {**out, "all": _summary(everything)}


def _hubs(live: Live) -> dict[str, str]:
    hubs = [i for name, i in live.row.items() if name.startswith("cat:")]
    degree = live.ties.count[hubs]
    out = {}
    for size in SIZES:
        at = hubs[int(np.abs(degree - size).argmin())]
        out[f"item to category of {live.ties.count[at]}"] = live.ids[at]
    return out


def _summary(rows: np.ndarray) -> dict[str, JSON]:
    total = rows.sum(axis=1)
    return {
        "links": len(rows),
        "p50_ms": round(float(np.percentile(total, 50)), 1),
        "p99_ms": round(float(np.percentile(total, 99)), 1),
        "commit_p50_ms": round(float(np.percentile(rows[:, 0], 50)), 1),
        "search_p50_ms": round(float(np.percentile(rows[:, 1], 50)), 1),
    }


def _quiet(living: Living, seed: int) -> dict[str, JSON]:
    """The same search with nothing new: what of the above is not the link's doing."""
    rng, spent = np.random.default_rng(seed + 2), []
    for row in rng.integers(0, len(living.ids), 50):
        started = time.perf_counter()
        living.kb.search(node=living.ids[int(row)], target="image", k=10)
        spent.append(1e3 * (time.perf_counter() - started))
    return {"p50_ms": round(float(np.percentile(spent, 50)), 1)}


def _rebuilds(living: Living) -> dict[str, JSON]:
    """What every write would cost without deltas: exporting and refining everything anew."""
    spent = []
    for i in range(REBUILDS):
        living.kb.link(living.ids[i], RELATED_TO, living.ids[-1 - i])
        started = time.perf_counter()
        _rebuilt(living)
        spent.append(1e3 * (time.perf_counter() - started))
    return {"p50_ms": round(float(np.median(spent)), 1), "runs": REBUILDS}


def _rebuilt(living: Living) -> Live:
    kb, live = living.kb, living.kb.serving.newest()
    found = kb.bundles.load()
    if found is None:
        raise RuntimeError("the model is gone")
    since = int(found[0].meta["revision"])
    return Live.load(live.version, *found, since, kb.store, kb.config, primed=True)


def _difference(living: Living) -> float:
    """Greatest difference of any coordinate between deltas and a full rebuild."""
    live, anew = living.kb.serving.newest(), _rebuilt(living)
    here = [live.row[name] for name in anew.ids]
    return max(
        float(np.abs(live.vectors.refined[b][here] - x).max())
        for b, x in anew.vectors.refined.items()
    )


def _print(out: dict[str, JSON]) -> None:
    for name, value in out.items():
        if name == "links":
            for kind, row in value.items():
                print(f"{kind}: {row}")
        else:
            print(f"{name}: {value}")


def main(arguments: list[str] | None = None) -> None:
    """Run and, with ``--out``, write the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m graphretrieval.evaluation.living")
    parser.add_argument("--nodes", type=int, default=50_000)
    parser.add_argument("--links", type=int, default=LINKS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--refit", type=int, default=0, help="refit with so many seeds instead")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    found: JSON
    if given.refit:
        found = [refitting(given.nodes, given.seed + i) for i in range(given.refit)]
    else:
        found = freshness(given.nodes, given.seed, given.links)
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    main()
