"""What a graph says about its items, as arrays: labels, pairs, parallel texts and families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from graphretrieval.types import (
    DESCRIBES,
    IN_CATEGORY,
    NEXT,
    PART_OF,
    SEARCHED,
    SIMILAR_TO,
    SUBCATEGORY_OF,
    Array,
    Bools,
    Graph,
    Ints,
    Supervision,
)

# posteriors and label matrices stay dense and small: rarer categories are left to the graph
MAX_CATEGORIES = 512
#: Relations that say which items belong together one by one, beside a collection's own.
NOT_INSTANCE = (IN_CATEGORY, SUBCATEGORY_OF, PART_OF, NEXT, SIMILAR_TO)


@dataclass(frozen=True)
class Places:
    """Where the searched items are: ``rows[m]`` are graph rows, ``at[row]`` the position in m."""

    rows: Mapping[str, Ints] = field(repr=False)
    at: Ints = field(repr=False)  # (n,), −1 for nodes that are no items

    @classmethod
    def of(cls, graph: Graph) -> Places:
        """The items of a graph by modality, in row order."""
        rows = {m: graph.rows_of(m) for m in SEARCHED}
        at = np.full(len(graph.ids), -1, np.int64)
        for r in rows.values():
            at[r] = np.arange(len(r))
        return cls({m: r for m, r in rows.items() if len(r)}, at)


def modality_of(graph: Graph, rows: Ints) -> list[str]:
    """The modality of each row."""
    return [graph.modalities[code] for code in graph.modality[rows]]


def labels(graph: Graph, places: Places) -> tuple[dict[str, Array], Ints]:
    """Category memberships.

    Returns:
        A 0/1 matrix ``(n_m, C)`` for each modality, and the categories' graph rows ``(C,)``:
        those with at least two items, the most populous first to be kept.
    """
    edges = graph.edges_of(IN_CATEGORY)
    src, dst = graph.src[edges].astype(np.int64), graph.dst[edges].astype(np.int64)
    items = places.at[src] >= 0
    src, dst = src[items], dst[items]
    count = np.bincount(dst, minlength=len(graph.ids))
    order = np.argsort(-count, kind="stable")[:MAX_CATEGORIES]
    categories = np.sort(order[count[order] >= 2])
    column = np.full(len(graph.ids), -1, np.int64)
    column[categories] = np.arange(len(categories))
    known = column[dst] >= 0
    src, dst = src[known], dst[known]
    out = {}
    for modality, rows in places.rows.items():
        mine = graph.modality[src] == graph.modality[rows[0]]
        matrix = np.zeros((len(rows), len(categories)), np.float32)
        matrix[places.at[src[mine]], column[dst[mine]]] = 1
        out[modality] = matrix
    return out, categories


def has_category(graph: Graph) -> Bools:
    """Which nodes are in a category ``(n,)``."""
    out = np.zeros(len(graph.ids), np.bool_)
    out[graph.src[graph.edges_of(IN_CATEGORY)]] = True
    return out


def pairs(graph: Graph, places: Places, edges: Ints | None = None) -> dict[tuple[str, str], Ints]:
    """Item pairs joined by DESCRIBES (or by the edges given), by modality of their ends."""
    edges = graph.edges_of(DESCRIBES) if edges is None else edges
    src, dst = graph.src[edges].astype(np.int64), graph.dst[edges].astype(np.int64)
    out = {}
    for a, rows_a in places.rows.items():
        for b, rows_b in places.rows.items():
            mine = (graph.modality[src] == graph.modality[rows_a[0]]) & (
                graph.modality[dst] == graph.modality[rows_b[0]]
            )
            if mine.any():
                out[a, b] = np.stack([places.at[src[mine]], places.at[dst[mine]]], 1)
    return out


def parallel(graph: Graph, rows: Ints) -> Ints:
    """For each text row a number shared by all descriptions of the same thing; −1 if alone."""
    edges = graph.edges_of(DESCRIBES)
    group = np.full(len(graph.ids), len(graph.ids), np.int64)
    np.minimum.at(group, graph.src[edges], graph.dst[edges].astype(np.int64))
    return np.asarray(np.where(group[rows] == len(graph.ids), -1, group[rows]))


def instance_edges(graph: Graph) -> Ints:
    """Edges that tie single items together: DESCRIBES, RELATED_TO and a collection's own."""
    names = [i for i, name in enumerate(graph.relations) if name not in NOT_INSTANCE]
    return np.flatnonzero(np.isin(graph.relation, names))


def linked(graph: Graph) -> Bools:
    """Which nodes have an edge that ties single items together ``(n,)``."""
    out = np.zeros(len(graph.ids), np.bool_)
    edges = instance_edges(graph)
    out[graph.src[edges]] = out[graph.dst[edges]] = True
    return out


def families(graph: Graph) -> Ints:
    """Which items must stay on one side of a split: joined by DESCRIBES, PART_OF or RELATED_TO.

    Where nearly everything hangs together (a densely linked catalogue) each item stands alone.
    """
    n = len(graph.ids)
    take = np.concatenate([instance_edges(graph), graph.edges_of(PART_OF)])
    matrix = csr_matrix((np.ones(len(take)), (graph.src[take], graph.dst[take])), (n, n))
    group: Ints = connected_components(matrix, directed=False)[1].astype(np.int64)
    if n and np.bincount(group).max() > 0.5 * n:
        return np.arange(n)
    return group


def relevance(graph: Graph, queries: Ints, targets: Ints, kind: str) -> Bools:
    """Which targets are right for which queries ``(q, t)``, by instance or by category.

    By instance: within two instance edges (two descriptions of one picture; a description and
    the sound of the picture). By category: they share a category. A node is never its own answer.
    """
    n = len(graph.ids)
    if kind == "category":
        edges = graph.edges_of(IN_CATEGORY)
        member = csr_matrix((np.ones(len(edges)), (graph.src[edges], graph.dst[edges])), (n, n))
        right = (member[queries] @ member[targets].T).toarray() > 0
    else:
        edges = instance_edges(graph)
        src, dst = graph.src[edges], graph.dst[edges]
        a = csr_matrix((np.ones(len(edges)), (src, dst)), (n, n))
        a = a + a.T
        right = (a[queries] + a[queries] @ a)[:, targets].toarray() > 0
    right &= queries[:, None] != targets[None, :]
    return np.asarray(right, np.bool_)


def induced(graph: Graph, keep: Bools) -> Graph:
    """Only these nodes and the edges between them, in the same order."""
    rows = np.flatnonzero(keep)
    at = np.cumsum(keep) - 1
    edges = keep[graph.src] & keep[graph.dst]
    return Graph(
        [graph.ids[int(i)] for i in rows],
        graph.modalities,
        graph.modality[rows],
        graph.relations,
        at[graph.src[edges]].astype(np.int32),
        at[graph.dst[edges]].astype(np.int32),
        graph.relation[edges],
        graph.weight[edges],
        graph.revision,
    )


def without_nodes(graph: Graph, rows: Ints) -> Graph:
    """The graph without any edge of these nodes: they are there, but alone."""
    hidden = np.zeros(len(graph.ids), np.bool_)
    hidden[rows] = True
    return graph.with_edges(~(hidden[graph.src] | hidden[graph.dst]))


def supervision(
    graph: Graph,
    places: Places,
    validation: Bools | None = None,
    unseen: Bools | None = None,
) -> tuple[Supervision, Ints]:
    """What aligners learn from, and the categories' rows.

    Args:
        graph: its edges are the truth learned from.
        places: the items.
        validation: ``(n,)`` marks nodes kept from fitting.
        unseen: ``(n,)`` those of them that questions are asked with.
    """
    matrices, categories = labels(graph, places)
    kept, asking = (
        {} if marks is None else {m: marks[r] for m, r in places.rows.items()}
        for marks in (validation, unseen)
    )
    names = tuple(graph.ids[i] for i in categories)
    families = kin(graph, categories)
    return Supervision(matrices, pairs(graph, places), kept, asking, names, families), categories


def kin(graph: Graph, categories: Ints) -> Ints:
    """A number ``(C,)`` shared by the categories that are kinds of one; of several the first."""
    edges = graph.edges_of(SUBCATEGORY_OF)
    above = np.arange(len(graph.ids)) + len(graph.ids)
    np.minimum.at(above, graph.src[edges], graph.dst[edges].astype(np.int64))
    return np.asarray(above[categories] % len(graph.ids))
