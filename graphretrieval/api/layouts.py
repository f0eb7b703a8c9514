"""A node's surroundings laid out on the plane, for pages that draw them as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphretrieval.protocols import GraphStore
from graphretrieval.types import Edge

# more of one relation is a crowd, not a picture
OF_ONE_KIND = 12


@dataclass(frozen=True)
class Layout:
    """Nodes at ``(x, y)`` in [-1, 1]², the centre at the origin, with their hop and the edges."""

    at: dict[str, tuple[float, float]]
    hop: dict[str, int]
    edges: tuple[Edge, ...]
    left_out: int


def surroundings(
    store: GraphStore, centre: str, *, hops: int, limit: int, lang: str | None = None
) -> Layout:
    """Nodes within ``hops`` of the centre, at most ``limit``, the strongest links first."""
    hop = {centre: 0}
    kept: dict[tuple[str, str, str], Edge] = {}
    left_out = 0
    front = [centre]
    for distance in range(1, hops + 1):
        coming: list[str] = []
        room = limit if distance == hops else max(2, limit * 2 // 3)
        for ident, edges in zip(front, store.neighbours(front, limit=2000), strict=True):
            chosen, more = _chosen(ident, edges, lang, OF_ONE_KIND // distance)
            left_out += more
            for e in chosen:
                other = e.dst if e.src == ident else e.src
                if other not in hop:
                    if len(hop) >= room:
                        left_out += 1
                        continue
                    hop[other] = distance
                    coming.append(other)
                kept[(e.src, e.type, e.dst)] = e
        front = coming
    return Layout(_placed(centre, hop, list(kept.values())), hop, tuple(kept.values()), left_out)


def _chosen(
    ident: str, edges: Sequence[Edge], lang: str | None, most: int
) -> tuple[list[Edge], int]:
    """At most ``most`` of each relation and direction; texts in the reader's language first."""
    groups: dict[tuple[str, bool], list[Edge]] = {}
    for e in edges:
        groups.setdefault((e.type, e.src == ident), []).append(e)
    out: list[Edge] = []
    for found in groups.values():
        found.sort(key=lambda e: (_foreign(e, ident, lang), -e.weight, e.src, e.dst))
        out += found[:most]
    return out, len(edges) - len(out)


def _foreign(e: Edge, ident: str, lang: str | None) -> int:
    """By the language that ids of description files end in: the reader's, English, others."""
    other = e.dst if e.src == ident else e.src
    _, mark, said = other.rpartition("#")
    if not mark:
        return 0
    return 0 if lang and said.startswith(lang) else 1 if said == "en" else 2


def _placed(
    centre: str, hop: dict[str, int], edges: Sequence[Edge]
) -> dict[str, tuple[float, float]]:
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(hop)
    graph.add_edges_from((e.src, e.dst) for e in edges)
    if len(graph) == 1:
        return {centre: (0.0, 0.0)}
    start = nx.shell_layout(graph, _shells(hop))
    found = nx.spring_layout(
        graph, pos=start, fixed=[centre], seed=0, iterations=120, k=1.6 / len(graph) ** 0.5
    )
    cx, cy = found[centre]
    reach = max(max(abs(x - cx), abs(y - cy)) for x, y in found.values()) or 1.0
    return {i: (float((x - cx) / reach), float((y - cy) / reach)) for i, (x, y) in found.items()}


def _shells(hop: dict[str, int]) -> list[list[str]]:
    depth = max(hop.values())
    return [[i for i, h in hop.items() if h == d] for d in range(depth + 1)]
