"""The subjects as a tree with counts, computed once for each revision."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from graphretrieval.protocols import GraphStore
from graphretrieval.types import IN_CATEGORY, SUBCATEGORY_OF, Graph, Modality


@dataclass
class Tree:
    """Children and item counts of every category; ``total`` counts what lies below as well."""

    revision: int
    parents: dict[str, str] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    items: dict[str, dict[str, int]] = field(default_factory=dict)
    total: dict[str, dict[str, int]] = field(default_factory=dict)
    covers: dict[str, str] = field(default_factory=dict)

    def roots(self) -> list[str]:
        """Categories under none."""
        return [c for c in self.titles if c not in self.parents]


def tree(store: GraphStore, graph: Graph) -> Tree:
    """The hierarchy of a graph; a category under several is shown under its first."""
    out = Tree(graph.revision)
    for node in store.nodes(Modality.CATEGORY):
        out.titles[node.id] = node.title or node.id.removeprefix("cat:")
        out.children[node.id] = []
    for e in graph.edges_of(SUBCATEGORY_OF):
        child, parent = graph.ids[int(graph.src[e])], graph.ids[int(graph.dst[e])]
        known = child in out.titles and parent in out.titles and child not in out.parents
        if known and not _above(out, parent, child):
            out.parents[child] = parent
            out.children[parent].append(child)
    for found in out.children.values():
        found.sort(key=lambda c: out.titles[c])
    _count(out, graph)
    return out


def _above(out: Tree, category: str, wanted: str) -> bool:
    """Whether ``wanted`` is the category or above it, so that no ring is made."""
    at: str | None = category
    while at is not None:
        if at == wanted:
            return True
        at = out.parents.get(at)
    return False


def _count(out: Tree, graph: Graph) -> None:
    edges = graph.edges_of(IN_CATEGORY)
    pairs = np.stack([graph.dst[edges].astype(np.int64), graph.modality[graph.src[edges]]], axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    direct: dict[str, dict[str, int]] = defaultdict(dict)
    for (row, code), n in zip(found.tolist(), counts.tolist(), strict=True):
        direct[graph.ids[row]][graph.modalities[code]] = n
    out.items = {c: direct.get(c, {}) for c in out.titles}
    out.total = {c: dict(n) for c, n in out.items.items()}
    pictures = edges[np.isin(graph.src[edges], graph.rows_of(Modality.IMAGE))]
    for e in pictures[::-1]:  # the first by id stays
        out.covers[graph.ids[int(graph.dst[e])]] = graph.ids[int(graph.src[e])]
    # deepest first, so that each passes on what it has gathered
    for category in sorted(out.titles, key=lambda c: -_depth(out, c)):
        parent = out.parents.get(category)
        if parent is not None:
            if category in out.covers:
                out.covers.setdefault(parent, out.covers[category])
            for modality, n in out.total[category].items():
                out.total[parent][modality] = out.total[parent].get(modality, 0) + n


def _depth(out: Tree, category: str) -> int:
    depth, at = 0, out.parents.get(category)
    while at is not None:
        depth, at = depth + 1, out.parents.get(at)
    return depth
