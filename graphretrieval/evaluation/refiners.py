"""Refiners side by side on the planted graph: what each finds, and what it costs.

All learn from the same links on the same graph. Some links of every relation are hidden from all
of them: an edge counts as found if, asked by one end, the other is among the first ten of its
modality, known neighbours left out. P@10 is the share of the right topic among the first ten of the
next modality, for items that the aligner did not learn from. Both ends are refined vectors.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from graphretrieval import registry
from graphretrieval.arrays import adjacency, expand, normalise
from graphretrieval.protocols import Refiner
from graphretrieval.types import JSON, Array, Bools, Graph, Ints

#: Label, registered name, and how it is made.
LINEUP: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("no graph", "none", {}),
    ("propagate", "propagate", {}),
    ("sign (metapaths)", "sign", {}),
    ("sage (sampled)", "sage", {}),
    ("rgcn (sampled)", "rgcn", {}),
    # a step sees everything at once: fewer of them, judged more often
    (
        "gat (full batch)",
        "gat",
        {"fanout": 0, "steps": 60, "schedule": {"every": 5, "patience": 4}},
    ),
)
HIDDEN = 2000  # edges to be found, of which each is asked for from both ends
LEARNED = 2000  # links to learn from
ASKED = 500  # questions ranked at once


def hide(graph: Graph, count: int, seed: int) -> tuple[Graph, Ints]:
    """The graph without some random edges nor any between the same ends, and those edges."""
    n, m = len(graph.ids), len(graph.src)
    src, dst = graph.src.astype(np.int64), graph.dst.astype(np.int64)
    key = np.minimum(src, dst) * n + np.maximum(src, dst)
    hidden = np.sort(np.random.default_rng(seed).permutation(m)[: min(count, m // 10)])
    return graph.with_edges(~np.isin(key, key[hidden])), np.stack([src, dst], 1)[hidden]


def edge_recall(graph: Graph, z: Array, edges: Ints, k: int = 10) -> float:
    """The share of hidden edges ``(e, 2)`` whose other end is among the first k, either way."""
    found: list[Bools] = []
    unit = normalise(z)
    both = adjacency(graph, direction="both")
    for asks, answers in (edges.T, edges.T[::-1]):
        for code in np.unique(graph.modality[answers]):
            gallery = np.flatnonzero(graph.modality == code)
            mine = np.flatnonzero(graph.modality[answers] == code)
            for begin in range(0, len(mine), ASKED):
                rows = mine[begin : begin + ASKED]
                found.append(_found(unit, both, asks[rows], answers[rows], gallery, k))
    return round(float(np.concatenate(found).mean()), 4)


def compare(
    graph: Graph,
    h: Array,
    links: Ints,
    hidden: Ints,
    precision: Any,
    *,
    seed: int = 0,
    lineup: tuple[tuple[str, str, dict[str, Any]], ...] = LINEUP,
) -> Iterator[dict[str, JSON]]:
    """A row for each refiner, as it is done; ``cpu_seconds`` count on a busy machine too.

    Args:
        graph: without the hidden edges.
        h: ``(n, d)``.
        links: positions of the edges to learn from.
        hidden: ``(e, 2)`` ends of the edges to find.
        precision: gives P@10 of refined vectors.
        seed: of the learning.
        lineup: who takes part.
    """
    for label, name, options in lineup:
        started, spent = time.perf_counter(), time.process_time()
        refiner: Refiner = registry.resolve("refiner", name)(**options)
        refiner = refiner.fit(graph, h, links, seed=seed)
        fitted = time.perf_counter()
        z = refiner.refine(graph, h)
        refined, spent = time.perf_counter(), time.process_time() - spent
        yield {
            "refiner": label,
            "p@10": precision(z),
            "edge_r@10": edge_recall(graph, z, hidden),
            "fit_seconds": round(fitted - started, 1),
            "refine_seconds": round(refined - fitted, 2),
            "cpu_seconds": round(spent, 1),
            "steps": getattr(refiner, "report_", {}).get("steps"),
        }


def _found(unit: Array, both: Any, asks: Ints, answers: Ints, gallery: Ints, k: int) -> Bools:
    scores = unit[asks] @ unit[gallery].T
    at = np.full(len(unit), -1, np.int64)
    at[gallery] = np.arange(len(gallery))
    right = at[answers]
    own = scores[np.arange(len(asks)), right][:, None]
    owner, position = expand(both.indptr, asks)
    known = at[both.indices[position]]
    scores[owner[known >= 0], known[known >= 0]] = -np.inf
    itself = np.flatnonzero(at[asks] >= 0)
    scores[itself, at[asks][itself]] = -np.inf
    scores[np.arange(len(asks)), right] = -np.inf
    # ties counted half: the answer's rank among equals is in their middle
    before = (scores > own).sum(1) + 0.5 * (scores == own).sum(1)
    return np.asarray(before < k, np.bool_)
