"""Which items are alike, from their raw vectors: the derived ``SIMILAR_TO`` edges of a model.

They are no evidence of anything: they are kept with the model whose vectors they come from, and
carry messages and paths only where the model was learned so (the setting ``similar``). A node that
is new, or was written anew, has none until the next fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphretrieval.arrays import top_k
from graphretrieval.gnn.similar import Similar, mutual
from graphretrieval.protocols import Progress, silent
from graphretrieval.rankers.adjacency import Adjacency, Key
from graphretrieval.retriever.likeness import joined
from graphretrieval.retriever.material import Material
from graphretrieval.retriever.model import Model
from graphretrieval.types import JSON, SIMILAR_TO, Array, Graph, Ints

# how many each item chooses, and the nearest they are chosen from: a correction moves few further
CHOSEN, NEAREST = 10, 50
# among a few items each is near all others: none chooses more than this share of them
SHARE = 1 / 3
# all pairs of 20,000 take 15 s on one core, of 70,000 texts three minutes
MOST = 20_000
# items compared with all others at once
PAGE = 256
# cosines are compared to so many places: further down pages of other sizes come out differently
PLACES = 5


@dataclass(frozen=True)
class Found:
    """The edges, how many each modality has, and the modalities left out with how many items."""

    edges: Similar
    counts: Mapping[str, int]
    left_out: Mapping[str, int]

    def to_json(self) -> dict[str, JSON]:
        """As a model's ``meta`` holds it."""
        return {"edges": dict(self.counts), "left_out": dict(self.left_out)}


def similar(
    rows: Mapping[str, Ints], raw: Mapping[str, Array], progress: Progress = silent
) -> Found:
    """Edges between the items of each modality that are alike by their own content.

    Args:
        rows: rows of the items by modality; those of more than :data:`MOST` are left out.
        raw: block → unscaled vectors of all nodes ``(n, d_block)``.
        progress: called as it goes on.
    """
    left_out = {m: len(r) for m, r in rows.items() if len(r) > MOST}
    found: dict[str, Similar] = {}
    for modality, mine in rows.items():
        if modality not in left_out:
            x = joined({b: v[mine] for b, v in raw.items()})
            k = min(CHOSEN, int(SHARE * len(mine)))
            lists, cosines = nearest(x, NEAREST, progress=progress, about=f"likeness: {modality}")
            found[modality] = mutual(lists, cosines, k).moved(mine)
    counts = {m: len(edges) for m, edges in found.items()}
    return Found(Similar.joined(list(found.values())), counts, left_out)


def nearest(
    x: Array, m: int, *, page: int = PAGE, progress: Progress = silent, about: str = "likeness"
) -> tuple[Ints, Array]:
    """Each row's m nearest others, the nearest first, ties by row; exact, a page at a time.

    Args:
        x: ``(n, d)`` at unit length, or zero.
        m: how many; fewer come back where there are fewer others.
        page: rows compared with all at once.
        progress: called for each page, with
        about: what to call it.

    Returns:
        Rows and cosines, each ``(n, min(m, n − 1))``.
    """
    n = len(x)
    m = max(0, min(m, n - 1))
    lists, cosines = np.empty((n, m), np.int64), np.empty((n, m), np.float32)
    for start in range(0, n, page):
        progress(start, n, about)
        some = np.arange(start, min(start + page, n))
        scores = np.round(x[some] @ x.T, PLACES)  # (page, n)
        scores[some - start, some] = -np.inf
        cosines[some], lists[some] = top_k(scores, m)
    progress(n, n, about)
    return lists, cosines


def heard(material: Material, raw: Mapping[str, Array], progress: Progress = silent) -> Material:
    """The material with messages and paths over edges between visible items that are alike too."""
    rows = {m: r[material.visible[r]] for m, r in material.places.rows.items()}
    edges = similar(rows, raw, progress).edges
    return replace(material, messages=edges.added_to(material.messages))


def as_learned(model: Model, material: Material, raw: Mapping[str, Array]) -> Material:
    """The same where the model was learned so; else the material as it is."""
    return heard(material, raw) if carries(model) else material


def carries(model: Model) -> bool:
    """Whether likeness carries messages and paths in what this model was learned from."""
    return bool(model.meta.get("settings", {}).get("similar"))


class Beside:
    """Derived edges in service beside the store's own, of which each pair of ends may have one.

    Where the store has an edge its weight counts; when that is removed, the derived one is back.

    Args:
        edges: between rows of
        graph: the store's.
    """

    def __init__(self, edges: Similar, graph: Graph) -> None:
        ends = zip(edges.src.tolist(), edges.dst.tolist(), strict=True)
        self._weight = dict(zip(ends, edges.weight.tolist(), strict=True))
        own = graph.edges_of(SIMILAR_TO)
        self._own = set(zip(graph.src[own].tolist(), graph.dst[own].tolist(), strict=True))

    def edges(self) -> Similar:
        """What is left of them."""
        ends = np.array(list(self._weight), np.int64).reshape(-1, 2)
        return Similar(ends[:, 0], ends[:, 1], np.array(list(self._weight.values()), np.float32))

    def leave(self, rows: Sequence[int], ties: Adjacency) -> set[Key]:
        """Nodes are gone, or others than they were: their derived edges, which go."""
        out: set[Key] = set()
        for row in rows if self._weight else ():
            for src, relation, dst in ties.edges_at(row):
                if ties.relations[relation] == SIMILAR_TO and (src, dst) in self._weight:
                    del self._weight[src, dst]
                    if (src, dst) not in self._own:
                        out.add((src, relation, dst))
        return out

    def settle(self, gone: set[Key], come: dict[Key, float], ties: Adjacency) -> None:
        """Keep derived edges where the store's own go; ``gone`` and ``come`` are changed."""
        if not self._weight:
            return
        kind = ties.relation(SIMILAR_TO)
        self._own |= {(src, dst) for src, relation, dst in come if relation == kind}
        for src, relation, dst in list(gone):
            if relation == kind:
                self._own.discard((src, dst))
                if (src, dst) in self._weight:
                    gone.remove((src, relation, dst))
                    come[src, relation, dst] = self._weight[src, dst]
