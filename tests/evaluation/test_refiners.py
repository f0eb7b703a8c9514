"""The comparison of refiners: what is hidden stays hidden, and finding is counted by hand."""

from __future__ import annotations

import numpy as np

from graphretrieval.evaluation.refiners import LINEUP, compare, edge_recall, hide
from tests.gnn.planted import graph_of, planted


def test_no_edge_between_the_ends_of_a_hidden_one_remains():
    graph, _, _ = planted(0, n=300)
    rest, hidden = hide(graph, 20, 0)
    assert len(hidden) == 20
    left = {frozenset(pair) for pair in zip(rest.src.tolist(), rest.dst.tolist(), strict=True)}
    assert not left & {frozenset(pair) for pair in hidden.tolist()}


def test_edge_recall_is_counted_pair_by_pair():
    rng = np.random.default_rng(0)
    graph, _, _ = planted(0, n=300)
    rest, hidden = hide(graph, 30, 1)
    z = rng.standard_normal((300, 6)).astype(np.float32)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    linked = [set() for _ in range(300)]
    for a, b in zip(rest.src.tolist(), rest.dst.tolist(), strict=True):
        linked[a].add(b)
        linked[b].add(a)
    found = []
    for asks, answer in [*hidden.tolist(), *hidden[:, ::-1].tolist()]:
        others = [
            j
            for j in range(300)
            if graph.modality[j] == graph.modality[answer]
            and j not in linked[asks] | {asks, answer}
        ]
        better = sum(unit[asks] @ unit[j] > unit[asks] @ unit[answer] for j in others)
        found.append(better < 10)
    assert edge_recall(rest, z, hidden) == round(float(np.mean(found)), 4)


def test_an_edge_among_equals_is_not_found_by_the_order_of_rows():
    graph = graph_of([0, *[1] * 40], [(1, 0)])
    z = np.ones((41, 3), np.float32)
    assert edge_recall(graph.with_edges(np.empty(0, np.int64)), z, np.array([[1, 0]])) == 0.5


def test_every_refiner_has_a_row_with_its_costs():
    graph, h, _ = planted(0, n=600)
    rest, hidden = hide(graph, 40, 0)
    links = np.arange(0, len(rest.src), 4)
    rows = list(compare(rest, h, links, hidden, lambda z: 0.5, lineup=LINEUP[:2]))
    assert [row["refiner"] for row in rows] == ["no graph", "propagate"]
    assert all(0 <= row["edge_r@10"] <= 1 and row["cpu_seconds"] >= 0 for row in rows)
