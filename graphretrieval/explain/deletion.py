"""Scores as they would be if an edge were not there, without touching store or model.

Refined vectors change only near the edge's ends: these rows are refined anew, on the piece of the
graph that they hear from, and walks are searched on the graph without the edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from graphretrieval.arrays import adjacency, expand
from graphretrieval.errors import QueryError
from graphretrieval.gnn.none import NoRefiner
from graphretrieval.protocols import Refiner
from graphretrieval.rankers.walks import Walker
from graphretrieval.retriever import corpus
from graphretrieval.retriever.model import HUBS, UNDESCRIBED, WALKED, Model, Vectors, scaled
from graphretrieval.retriever.query import Found
from graphretrieval.retriever.question import Question
from graphretrieval.retriever.score import Anchors, Queries, Scorer
from graphretrieval.types import Array, Bools, Graph, Ints, Path

#: An edge by its ends and its relation.
EdgeKey = tuple[str, str, str]


@dataclass(frozen=True)
class Without:
    """A graph without some edge, and the refined vectors that this changes.

    ``rows[b]`` are the changed rows of block b, ``values[b]`` their new vectors, scaled.
    """

    walker: Walker = field(repr=False)
    rows: Mapping[str, Ints] = field(repr=False)
    values: Mapping[str, Array] = field(repr=False)


def edge_at(graph: Graph, key: EdgeKey) -> int:
    """The position of an edge.

    Raises:
        QueryError: there is no such edge among those asserted.
    """
    src, relation, dst = key
    if src in graph.row and dst in graph.row and relation in graph.relations:
        mine = (graph.src == graph.row[src]) & (graph.dst == graph.row[dst])
        at = np.flatnonzero(mine & (graph.relation == graph.relations.index(relation)))
        if len(at):
            return int(at[0])
    raise QueryError(
        f"there is no edge {src!r} -{relation}→ {dst!r} to leave out",
        remedy="give an asserted edge as SRC TYPE DST, such as one of the hit's path",
    )


def edges_of_path(path: Path) -> list[EdgeKey]:
    """The edges walked along, from the query to the hit."""
    return [
        (a, step.type, b) if step.direction == "out" else (b, step.type, a)
        for a, step, b in zip(path.nodes, path.steps, path.nodes[1:], strict=False)
    ]


def key_edge(path: Path) -> EdgeKey | None:
    """The last edge of a path, which ties the hit to the rest of it; None for one without edges."""
    edges = edges_of_path(path)
    return edges[-1] if edges else None


def without(model: Model, graph: Graph, unscaled: Mapping[str, Array], edge: int) -> Without:
    """The graph without the edge at a position, and the vectors that hear of it.

    Args:
        model: whose refiners made the vectors.
        graph: n nodes, with the edge.
        unscaled: ``(n, d_b)`` raw vectors of each block.
        edge: its position.
    """
    keep = np.ones(len(graph.src), np.bool_)
    keep[edge] = False
    less = graph.with_edges(keep)
    ends = np.unique(np.array([graph.src[edge], graph.dst[edge]], np.int64))
    rows: dict[str, Ints] = {}
    values: dict[str, Array] = {}
    for block, refiner in model.refiners.items():
        reach = reach_of(refiner)
        if reach == 0 or block not in unscaled:
            continue
        rows[block], fresh = _refined(refiner, graph, less, unscaled[block], ends, reach)
        values[block] = scaled(block, fresh)
    return Without(Walker(less), rows, values)


def reach_of(refiner: Refiner) -> int | None:
    """How many hops a refined vector hears from; None where the refiner does not say."""
    if isinstance(refiner, NoRefiner):
        return 0
    depth = getattr(refiner, "depth_", None)
    return int(depth) if isinstance(depth, int) else None


def _refined(
    refiner: Refiner, graph: Graph, less: Graph, h: Array, ends: Ints, reach: int | None
) -> tuple[Ints, Array]:
    """Rows that change and their refined vectors.

    With K rounds the rows within K − 1 hops of an end change. They hear from K hops further: there
    the piece is cut, and what the cut makes wrong does not get to them.
    """
    n = len(graph.ids)
    if reach is not None:
        changed = ball(graph, ends, reach - 1)
        heard = ball(graph, ends, 2 * reach - 1)
        if heard.sum() <= n // 2:
            piece = np.flatnonzero(heard)
            z = refiner.refine(corpus.induced(less, heard), h[piece])
            return np.flatnonzero(changed), z[changed[piece]]
    return np.arange(n), refiner.refine(less, h)


def ball(graph: Graph, rows: Ints, hops: int) -> Bools:
    """Nodes within so many hops of some rows, edges walked either way ``(n,)``."""
    seen = np.zeros(len(graph.ids), np.bool_)
    seen[rows] = True
    front, both = rows, adjacency(graph, direction="both")
    for _ in range(hops):
        _, at = expand(both.indptr, front)
        front = np.unique(both.indices[at])
        front = front[~seen[front]]
        seen[front] = True
    return seen


def columns_without(
    scorer: Scorer,
    queries: Queries,
    targets: Ints,
    anchors: Anchors,
    columns: Array,
    what: Without,
) -> Array:
    """Score columns ``(q, t, p)`` of the same targets on the graph without the edge.

    Args:
        scorer: made ``columns``.
        queries: the queries.
        targets: graph rows, ascending.
        anchors: the queries'; they lie in the content and do not change.
        columns: as measured with the edge.
        what: the graph without it.
    """
    out = columns.copy()
    old = scorer.vectors
    vectors = Vectors(what.walker.graph, old.places, old.raw, old.refined)
    walking = Scorer(
        scorer.model,
        vectors,
        scorer.store,
        what.walker,
        visible=scorer.visible,
        paths=scorer.paths,
    )
    column = scorer.model.columns.index
    for block, rows in what.rows.items():
        place = np.searchsorted(targets, rows)
        place[place == len(targets)] = 0
        mine = targets[place] == rows if len(targets) else np.zeros(len(rows), np.bool_)
        fresh = what.values[block][mine]
        out[:, place[mine], column(f"{block}+")] = queries.raw[block] @ fresh.T
        if block in scorer.model.hubs:
            hubs = walking.hubs.at(queries.asks_as, block, rows[mine], fresh)
            out[:, place[mine], column(f"{block}{HUBS}")] = -hubs
    out[:, :, column(UNDESCRIBED)] = walking.undescribed(targets)
    for name, values in zip(WALKED, walking.walked(anchors, targets), strict=True):
        out[:, :, column(name)] = values
    return out


def found_without(question: Question, found: Mapping[str, Found], key: EdgeKey) -> dict[str, Found]:
    """All candidates of a query, scored without an edge.

    Raises:
        QueryError: there is no such edge.
    """
    searcher = question.searcher
    edge = edge_at(question.graph, key)
    what = without(searcher.model, question.graph, question.unscaled, edge)
    out = {}
    for target, f in found.items():
        columns = np.stack(
            [
                columns_without(
                    searcher.scorer, p.term.queries, f.rows, p.anchors, f.columns[i][None], what
                )[0]
                for i, p in enumerate(f.posed)
            ]
        )
        out[target] = searcher.weigh(f.rows, f.posed, columns)
    return out
