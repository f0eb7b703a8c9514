"""A planted graph whose truth is known: what do links add where content alone says little?

Pictures, texts and sounds carry a topic in noisy features; links join mostly what shares a topic.
An aligner learns from links between training items; vectors are then refined over all links. A
held-out item (none of whose links was learned from) asks for items of another modality, and the
share of its topic among the first ten is counted, with and without the graph. In the same run all
refiners are compared on it (``refiners.py``) and the message-passing kernel is timed against
scipy's product.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix

from graphretrieval.aligners.cca import CcaAligner
from graphretrieval.arrays import adjacency, csr, normalise
from graphretrieval.cpus import threads, using
from graphretrieval.evaluation.refiners import HIDDEN, LEARNED, compare, hide
from graphretrieval.gnn.kernel import Messages
from graphretrieval.gnn.propagate import PropagateRefiner
from graphretrieval.indexes.exact import ExactIndex
from graphretrieval.types import DESCRIBES, JSON, RELATED_TO, Array, Bools, Graph, Ints, Supervision

MODALITIES = ("audio", "image", "text")
TOPICS = 500
FEATURES = 96  # columns of each modality's features
SIGNAL = 48  # columns of the hidden topic vectors
NOISE = 2.5  # beside a signal of deviation 1: alone it finds about a quarter of the topic
WITHIN = 0.85  # share of links that join what shares a topic; the rest are random
LINKS = 5  # that each node starts
HELD = 0.1  # share of items that ask and are not learned from
QUESTIONS = 2000
REPEATS = 7


@dataclass(frozen=True)
class Planted:
    """The graph, the features of each modality, and what nobody is told: the topics."""

    graph: Graph = field(repr=False)
    features: dict[str, Array] = field(repr=False)
    topic: Ints = field(repr=False)  # (n,)
    held: Bools = field(repr=False)  # (n,)


def planted(n: int = 50_000, seed: int = 0) -> dict[str, JSON]:
    """Run the benchmark, and print what it ran on.

    Args:
        n: nodes.
        seed: of the graph, the features and the learning.

    Returns:
        ``machine``, ``sizes``, ``p@10`` (``raw``, ``propagated``, ``unseen``, ``chance``),
        ``refiner`` (depth, α, weights), ``refiners`` (a row for each), ``kernel`` (a
        row for each width: milliseconds, ratio to scipy, greatest difference from it),
        ``seconds``.
    """
    started = time.perf_counter()
    count = threads()
    with using(count):
        world = make(n, seed)
        out: dict[str, JSON] = {
            "machine": {"cpu": cpu(), "threads": count, "torch": torch.__version__},
            "sizes": {"nodes": n, "edges": len(world.graph.src), "topics": TOPICS},
            **precision(world, h := aligned(aligner(), world, seed), seed),
            "refiners": side_by_side(world, h, seed),
            "kernel": [time_kernel(world.graph, width, seed) for width in (64, 128, 256)],
        }
    out["seconds"] = round(time.perf_counter() - started, 1)
    _print(out)
    return out


def make(n: int, seed: int) -> Planted:
    """The planted world: n nodes of three modalities in equal parts."""
    rng = np.random.default_rng(seed)
    modality = rng.integers(0, len(MODALITIES), n).astype(np.int16)
    topic = rng.integers(0, min(TOPICS, max(n // 30, 2)), n)
    hidden = rng.standard_normal((TOPICS, SIGNAL)).astype(np.float32)
    features = {}
    for code, m in enumerate(MODALITIES):
        mine = topic[modality == code]
        item = hidden[mine] + NOISE * rng.standard_normal((len(mine), SIGNAL)).astype(np.float32)
        mixed = item @ rng.standard_normal((SIGNAL, FEATURES)).astype(np.float32)
        features[m] = mixed + 0.1 * rng.standard_normal(mixed.shape).astype(np.float32)
    src, dst, relation = _links(modality, topic, rng)
    graph = Graph(
        range_ids(n),
        MODALITIES,
        modality,
        (DESCRIBES, RELATED_TO),
        src.astype(np.int32),
        dst.astype(np.int32),
        relation.astype(np.int16),
        np.ones(len(src), np.float32),
    )
    return Planted(graph, features, topic, rng.random(n) < HELD)


def aligner() -> CcaAligner:
    """The aligner of all nodes into one space."""
    return CcaAligner(dims=SIGNAL, ridge=1e-2, power=1.0)


def side_by_side(world: Planted, h: Array, seed: int) -> list[dict[str, JSON]]:
    """P@10, R@10 of hidden edges and seconds of each refiner, printed as they come."""
    graph, hidden = hide(world.graph, HIDDEN, seed)
    queries = np.flatnonzero(world.held)[:QUESTIONS]
    links = _links_to_learn(world, graph, LEARNED, seed)
    print(f"{'':18}   P@10  edge R@10   fit s  refine s   CPU s")
    rows = []
    for row in compare(
        graph, h, links, hidden, lambda z: precision_at_10(world, queries, z[queries], z), seed=seed
    ):
        print(
            f"{row['refiner']:18} {row['p@10']:6.4f} {row['edge_r@10']:10.4f} "
            f"{row['fit_seconds']:7.1f} {row['refine_seconds']:9.2f} {row['cpu_seconds']:7.1f}",
            flush=True,
        )
        rows.append(row)
    return rows


def precision(world: Planted, h: Array, seed: int) -> dict[str, JSON]:
    """P@10 of held-out items: by content alone, refined, and as new queries that join by links."""
    graph = world.graph
    links = _links_to_learn(world, graph, 1000, seed)
    started = time.perf_counter()
    refiner = PropagateRefiner().fit(graph, h, links, seed=seed)
    fitted = time.perf_counter()
    z = refiner.refine(graph, h)
    refined = time.perf_counter()
    queries = np.flatnonzero(world.held)[:QUESTIONS]
    # unseen: their links are no part of the graph that is refined, and join them only as queries
    asking = np.zeros(len(h), np.bool_)
    asking[queries] = True
    rest = graph.with_edges(~(asking[graph.src] | asking[graph.dst]))
    without = refiner.refine(rest, h)
    joined = refiner.absorb(h[queries], _links_of(graph, queries), without)
    return {
        "p@10": {
            "raw": precision_at_10(world, queries, h[queries], h),
            "propagated": precision_at_10(world, queries, z[queries], z),
            "unseen": precision_at_10(world, queries, joined, without),
            "chance": round(1 / len(np.unique(world.topic)), 4),
            "queries": len(queries),
        },
        "refiner": {
            "depth": refiner.depth_,
            "alpha": round(refiner.alpha_, 3),
            "weights": {t: round(w, 3) for t, w in refiner.weights_.items()},
            "fit_seconds": round(fitted - started, 1),
            "refine_seconds": round(refined - fitted, 2),
        },
    }


def time_kernel(graph: Graph, width: int, seed: int) -> dict[str, JSON]:
    """One hop over the row-normalised graph: scipy, and the kernel with 32- and 16-bit rows."""
    x = np.random.default_rng(seed).standard_normal((len(graph.ids), width)).astype(np.float32)
    a = adjacency(graph, direction="both")
    degree = np.maximum(np.diff(a.indptr), 1)
    weights = (a.weights / np.repeat(degree, np.diff(a.indptr))).astype(np.float32)
    matrix = csr_matrix((weights, a.indices.astype(np.int32), a.indptr.astype(np.int32)))
    messages = Messages.of(a.indptr, a.indices, weights)
    full, half = torch.from_numpy(x), torch.from_numpy(x).bfloat16()
    runs: tuple[Callable[[], Any], ...] = (
        lambda: matrix @ x,
        lambda: messages.hear(full),
        lambda: messages.hear(half),
    )
    slow, fast, short = _medians(runs)
    difference = float(np.abs(matrix @ x - messages.hear(full).numpy()).max())
    return {
        "width": width,
        "scipy_ms": round(slow * 1e3, 1),
        "fp32_ms": round(fast * 1e3, 1),
        "bf16_ms": round(short * 1e3, 1),
        "fp32_ratio": round(slow / fast, 1),
        "bf16_ratio": round(slow / short, 1),
        "difference": difference,
    }


def range_ids(n: int) -> list[str]:
    """Names that sort as their numbers do."""
    return [f"n{i:09d}" for i in range(n)]


def _links(
    modality: npt.NDArray[np.int16], topic: Ints, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """Each node links to some others, mostly of its topic; texts describe, the rest are related."""
    n = len(topic)
    src = np.repeat(np.arange(n), LINKS)
    by_topic = np.argsort(topic, kind="stable")
    start = np.searchsorted(topic[by_topic], np.arange(topic.max() + 2))
    size = np.diff(start)
    mine = topic[src]
    same = by_topic[start[mine] + (rng.random(len(src)) * size[mine]).astype(np.int64)]
    dst = np.where(rng.random(len(src)) < WITHIN, same, rng.integers(0, n, len(src)))
    text = MODALITIES.index("text")
    relation = np.where((modality[src] == text) & (modality[dst] != text), 0, 1)
    key = np.unique((src * n + dst)[src != dst], return_index=True)[1]
    kept = np.flatnonzero(src != dst)[key]
    return src[kept], dst[kept], relation[kept]


def aligned(aligner: CcaAligner, world: Planted, seed: int) -> Array:
    """All nodes in one space, learned from the DESCRIBES links of training items."""
    graph = world.graph
    at = np.zeros(len(graph.ids), np.int64)
    for m in MODALITIES:
        rows = graph.rows_of(m)
        at[rows] = np.arange(len(rows))
    edges = graph.edges_of(DESCRIBES)
    src, dst = graph.src[edges], graph.dst[edges]
    known = ~(world.held[src] | world.held[dst])
    pairs = {}
    for code, m in enumerate(MODALITIES[:2]):
        mine = known & (graph.modality[dst] == code)
        pairs["text", m] = np.stack([at[src[mine]], at[dst[mine]]], 1)
    marks = {m: world.held[graph.rows_of(m)] for m in MODALITIES}
    aligner.fit(world.features, Supervision(pairs=pairs, validation=marks), seed=seed)
    h = np.zeros((len(graph.ids), aligner.dim), np.float32)
    for m, x in world.features.items():
        h[graph.rows_of(m)] = aligner.embed(m, x)
    return normalise(h)


def _links_to_learn(world: Planted, graph: Graph, count: int, seed: int) -> Ints:
    """Some DESCRIBES edges between items that are not held out."""
    edges = graph.edges_of(DESCRIBES)
    learned = edges[~(world.held[graph.src[edges]] | world.held[graph.dst[edges]])]
    return np.sort(np.random.default_rng(seed).permutation(learned)[:count])


def _links_of(graph: Graph, queries: Ints) -> Any:
    """The queries' links to nodes that do not ask, as q sparse rows."""
    both = adjacency(graph, direction="both")
    owner = np.repeat(np.arange(len(graph.ids)), np.diff(both.indptr))
    at = np.full(len(graph.ids), -1, np.int64)
    at[queries] = np.arange(len(queries))
    mine = (at[owner] >= 0) & (at[both.indices] < 0)
    return csr(len(queries), at[owner[mine]], both.indices[mine], both.weights[mine])


def precision_at_10(world: Planted, queries: Ints, asks: Array, gallery: Array) -> float:
    """The share of the right topic among the ten nearest items of the next modality."""
    found = []
    for code in range(len(MODALITIES)):
        mine = world.graph.modality[queries] == code
        target = MODALITIES[(code + 1) % len(MODALITIES)]
        rows = world.graph.rows_of(target)
        index = ExactIndex().build(normalise(gallery[rows]))
        _, best = index.search(normalise(asks[mine]), 10)
        found.append(world.topic[rows[best]] == world.topic[queries[mine]][:, None])
    return round(float(np.concatenate(found).mean()), 4)


def _medians(runs: tuple[Callable[[], Any], ...]) -> list[float]:
    """Median seconds of each, taken in turn so that a busy moment falls on all."""
    seconds = np.empty((REPEATS, len(runs)))
    for run in runs:
        run()
    for i in range(REPEATS):
        for j, run in enumerate(runs):
            started = time.perf_counter()
            run()
            seconds[i, j] = time.perf_counter() - started
    return [float(x) for x in np.median(seconds, axis=0)]


def cpu() -> str:
    """What the processor calls itself."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            return next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _print(out: dict[str, JSON]) -> None:
    machine, sizes = out["machine"], out["sizes"]
    print(f"{machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}")
    print(f"{sizes['nodes']} nodes, {sizes['edges']} edges, {sizes['topics']} topics")
    print("P@10 of held-out items:", out["p@10"])
    print("refiner:", out["refiner"])
    for row in out["kernel"]:
        print("kernel:", row)
    print(f"{out['seconds']} s")


if __name__ == "__main__":
    planted()
