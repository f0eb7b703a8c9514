"""Shortest paths between pairs of nodes, searched from both ends over the graph as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphretrieval.arrays import Csr, adjacency
from graphretrieval.types import Graph, Path, Step


class Paths:
    """Keeps the newest graph's adjacency: made anew it costs more than hundreds of searches."""

    def __init__(self) -> None:
        self._newest: tuple[Graph, Csr] | None = None

    def shortest(
        self, graph: Graph, sources: Sequence[str], targets: Sequence[str], max_hops: int
    ) -> list[Path | None]:
        """As :func:`shortest`; the same graph object is walked without being prepared again."""
        kept = self._newest
        if kept is None or kept[0] is not graph:
            kept = self._newest = graph, adjacency(graph, direction="both")
        return shortest(graph, sources, targets, max_hops, kept[1])


def shortest(
    graph: Graph,
    sources: Sequence[str],
    targets: Sequence[str],
    max_hops: int,
    both: Csr | None = None,
) -> list[Path | None]:
    """For each pair a shortest path, edges walked either way.

    Of several, the one whose weights have the greatest product, then the first by node ids.
    """
    both = adjacency(graph, direction="both") if both is None else both
    row = graph.row
    return [
        _one(graph, both, row[s], row[t], max_hops) if s in row and t in row else None
        for s, t in zip(sources, targets, strict=True)
    ]


def _one(graph: Graph, both: Csr, source: int, target: int, max_hops: int) -> Path | None:
    if source == target:
        return Path((graph.ids[source],), ())
    near = _layers(both, source, target, max_hops)
    if near is None:
        return None
    found = _strongest(graph, both, near, source, target)
    if found is not None and found.strength == 0.0:  # all are as weak: the first of them by ids
        found = _strongest(graph, both, near, source, target, alike=True)
        found = found and replace(found, strength=0.0)
    return found


def _layers(both: Csr, source: int, target: int, max_hops: int) -> list[set[int]] | None:
    """Nodes on shortest paths by their distance from the source, or ``None``.

    Each step widens the side with fewer edges.
    """
    ahead, behind = {source: 0}, {target: 0}
    fronts = [[source], [target]]
    depth = [0, 0]
    while depth[0] + depth[1] < max_hops:
        edges = [sum(int(both.indptr[v + 1] - both.indptr[v]) for v in f) for f in fronts]
        side = 0 if edges[0] <= edges[1] else 1
        mine, other = (ahead, behind) if side == 0 else (behind, ahead)
        depth[side] += 1
        front: list[int] = []
        for v in fronts[side]:
            for u in both.indices[both.indptr[v] : both.indptr[v + 1]].tolist():
                if u not in mine:
                    mine[u] = depth[side]
                    front.append(u)
        fronts[side] = front
        if not front:
            return None
        if any(v in other for v in front):
            return _between(ahead, behind, depth[0] + depth[1])
    return None


def _between(ahead: dict[int, int], behind: dict[int, int], length: int) -> list[set[int]]:
    layers: list[set[int]] = [set() for _ in range(length + 1)]
    for v, d in ahead.items():
        layers[d].add(v)
    for v, d in behind.items():
        layers[length - d].add(v)
    return layers


def _strongest(
    graph: Graph,
    both: Csr,
    layers: list[set[int]],
    source: int,
    target: int,
    *,
    alike: bool = False,
) -> Path | None:
    """Best weight product through the layers; ties by node ids, then relation names.

    With ``alike`` edges are taken for equally strong.
    """
    best: dict[int, tuple[float, tuple[int, ...], tuple[int, ...]]] = {source: (1.0, (source,), ())}
    for layer in layers[1:]:
        reached: dict[int, tuple[float, tuple[int, ...], tuple[int, ...]]] = {}
        for v, (product, nodes, edges) in best.items():
            for at in range(int(both.indptr[v]), int(both.indptr[v + 1])):
                u = int(both.indices[at])
                if u not in layer or u in nodes:
                    continue
                weight = 1.0 if alike else float(both.weights[at])
                way = (product * weight, (*nodes, u), (*edges, int(both.edge[at])))
                if u not in reached or (-way[0], way[1], way[2]) < (
                    -reached[u][0],
                    reached[u][1],
                    reached[u][2],
                ):
                    reached[u] = way
        best = reached
    if target not in best:
        return None
    product, nodes, edges = best[target]
    steps = tuple(
        Step(
            graph.relations[graph.relation[e]],
            "out" if graph.src[e] == v else "in",
            float(graph.weight[e]),
        )
        for v, e in zip(nodes, edges, strict=False)
    )
    return Path(tuple(graph.ids[v] for v in nodes), steps, product)
