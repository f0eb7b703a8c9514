"""A node's surroundings laid out on the plane, for pages that draw them as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphretrieval.protocols import GraphStore
from graphretrieval.types import Edge, Node

#: At most so many of a modality by one relation, near the centre and farther out: more of one
#: kind is a crowd, not a picture.
MOST: Mapping[str, tuple[int, int]] = {
    "image": (10, 5),
    "audio": (4, 1),
    "text": (4, 1),
    "category": (5, 3),
}
OTHERS = (5, 2)
# links of one node that are looked through
LINKS = 1000


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
    tree: dict[str, list[str]] = {centre: []}
    kept: dict[tuple[str, str, str], Edge] = {}
    left_out = 0
    front = [centre]
    for distance in range(1, hops + 1):
        links = store.neighbours(front, limit=LINKS)
        ends = {_other(e, i) for i, edges in zip(front, links, strict=True) for e in edges}
        nodes = {n.id: n for n in store.get(sorted(ends)) if n is not None}
        coming: list[str] = []
        room = limit if distance == hops else max(2, limit * 2 // 3)
        for ident, edges in zip(front, links, strict=True):
            chosen, more = _chosen(ident, edges, nodes, lang, min(distance, 2) - 1)
            left_out += more
            for e in chosen:
                other = _other(e, ident)
                if other not in hop:
                    if len(hop) >= room:
                        left_out += 1
                        continue
                    hop[other] = distance
                    tree[ident].append(other)
                    tree[other] = []
                    coming.append(other)
                kept[(e.src, e.type, e.dst)] = e
        front = coming
    return Layout(_placed(centre, hop, tree, kept), hop, tuple(kept.values()), left_out)


def _other(e: Edge, ident: str) -> str:
    return e.dst if e.src == ident else e.src


def _chosen(
    ident: str, edges: Sequence[Edge], nodes: Mapping[str, Node], lang: str | None, far: int
) -> tuple[list[Edge], int]:
    """A few of each relation, direction and modality; what the reader can read comes first."""
    groups: dict[tuple[str, bool, str], list[Edge]] = {}
    for e in edges:
        if (node := nodes.get(_other(e, ident))) is not None:
            groups.setdefault((e.type, e.src == ident, node.modality), []).append(e)
    out: list[Edge] = []
    for (_, _, modality), found in groups.items():
        found.sort(key=lambda e: (_foreign(nodes[_other(e, ident)], lang), -e.weight, e.src, e.dst))
        out += found[: MOST.get(modality, OTHERS)[far]]
    return out, len(edges) - len(out)


def _foreign(node: Node, lang: str | None) -> int:
    """The reader's language, or none; English; others."""
    if not node.lang or (lang and node.lang.startswith(lang)):
        return 0
    return 1 if node.lang.startswith("en") else 2


def _placed(
    centre: str,
    hop: Mapping[str, int],
    tree: Mapping[str, Sequence[str]],
    edges: Mapping[tuple[str, str, str], Edge],
) -> dict[str, tuple[float, float]]:
    """Rings around the centre, children beside their parents, then eased by Kamada and Kawai."""
    import networkx as nx

    if len(hop) == 1:
        return {centre: (0.0, 0.0)}
    start: dict[str, tuple[float, float]] = {}
    _fan(centre, 0.0, 2 * math.pi, 0, tree, start)
    graph = nx.Graph()
    graph.add_nodes_from(hop)
    graph.add_edges_from((e.src, e.dst) for e in edges.values())
    found = nx.kamada_kawai_layout(graph, pos=start)
    cx, cy = found[centre]
    reach = max(max(abs(x - cx), abs(y - cy)) for x, y in found.values()) or 1.0
    return {i: (float((x - cx) / reach), float((y - cy) / reach)) for i, (x, y) in found.items()}


def _fan(
    ident: str,
    low: float,
    high: float,
    ring: int,
    tree: Mapping[str, Sequence[str]],
    out: dict[str, tuple[float, float]],
) -> None:
    """Place a node in the middle of its sector, and its children in parts of the sector."""
    middle = (low + high) / 2
    out[ident] = (ring * math.cos(middle), ring * math.sin(middle))
    shares = [1 + len(tree[child]) for child in tree[ident]]
    for child, share in zip(tree[ident], shares, strict=True):
        width = (high - low) * share / sum(shares)
        _fan(child, low, low + width, ring + 1, tree, out)
        low += width
