"""Held-out questions with their scored candidates: what a gate is fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from graphretrieval.folding import STOP_WORDS, is_han, telling, words
from graphretrieval.protocols import GraphStore
from graphretrieval.rankers.walks import Walker
from graphretrieval.retriever import corpus
from graphretrieval.retriever.material import Material
from graphretrieval.retriever.model import TEXT_KINDS, UNDESCRIBED, Model, Vectors, vectors_of
from graphretrieval.retriever.score import Anchors, Queries, Scorer
from graphretrieval.types import Array, Bools, Graph, Ints

# candidates per query and column that a gate learns from
MAX_CANDIDATES = 60
# items they are chosen from: a weight does not change for more
MAX_GALLERY = 4000
# right answers that a query keeps among them: descriptions in dozens of languages say the same
MAX_RIGHT = 8


def scorer_of(
    model: Model,
    material: Material,
    store: GraphStore,
    graph: Graph,
    raw: Mapping[str, Array],
    hidden: Ints,
) -> Scorer:
    """A scorer that refines and walks over ``graph``, with ``hidden`` nodes no anchors."""
    visible = material.visible.copy()
    visible[hidden] = False
    vectors = vectors_of(model, graph, material.places, raw)
    return Scorer(model, vectors, store, Walker(graph), visible=visible, paths=material.paths)


def node_queries(vectors: Vectors, rows: Ints, kind: str, texts: Mapping[int, str]) -> Queries:
    """Stored items of one kind as queries that bring nothing but their content."""
    modality = "text" if kind in TEXT_KINDS else kind
    said = [texts.get(int(r), "") for r in rows] if modality == "text" else None
    return Queries(modality, {b: x[rows] for b, x in vectors.raw.items()}, said, rows, kind)


@dataclass(frozen=True)
class Asked:
    """Scored candidates of held-out queries: what a gate is fitted on."""

    parts: Array = field(repr=False)  # (n, p)
    right: Array = field(repr=False)  # (n,)
    owner: Ints = field(repr=False)  # (n,)
    known: Array = field(repr=False)  # (n,)
    queries: int
    gallery: int


@dataclass(frozen=True)
class Batch:
    """Queries made of items, with their anchors; ``rows`` are the items that stand behind them.

    ``known`` ones are the collection's own, the others as good as new.
    """

    scorer: Scorer
    queries: Queries
    anchors: Anchors
    rows: Ints
    known: bool = False

    @classmethod
    def of_items(
        cls, scorer: Scorer, material: Material, rows: Ints, kind: str, *, known: bool = False
    ) -> Batch:
        """Items of one kind that ask by their content."""
        queries = node_queries(scorer.vectors, rows, kind, material.texts)
        return cls(scorer, queries, scorer.anchors(queries), rows, known)

    def among(
        self,
        gallery: Ints,
        material: Material,
        relevance: str,
        seed: int,
        *,
        marked: bool = False,
    ) -> Asked | None:
        """Candidates for those queries that have right answers; None if none has.

        Which of them are undescribed is only ``marked`` where it is not to be learned from.
        """
        right = corpus.relevance(material.graph, self.rows, gallery, relevance)
        if len(gallery) > MAX_GALLERY:
            drawn = np.random.default_rng(seed).random(len(gallery)) < MAX_GALLERY / len(gallery)
            few = np.cumsum(right, axis=1) <= MAX_RIGHT
            drawn = (drawn & ~right.any(axis=0)) | (right & few).any(axis=0)
            gallery, right = gallery[drawn], right[:, drawn]
        sure = self.scorer.known(self.anchors)
        # a few words out of a long text may as well be another's: they teach nothing sure
        asked = np.flatnonzero(right.any(axis=1) & ((sure >= 0.5) | (not self.known)))
        if not len(asked):
            return None
        parts = self.scorer.parts(self.queries, gallery, self.anchors)[asked]  # (q, g, p)
        if not marked:  # what a hidden question described would be told by it
            parts[:, :, self.scorer.model.columns.index(UNDESCRIBED)] = 0
        right = right[asked]
        keep = _candidates(parts, right) & (gallery[None, :] != self.rows[asked][:, None])
        owner = np.nonzero(keep)[0].astype(np.int64)
        known = sure[asked][owner]
        truth = right[keep].astype(np.float32)
        return Asked(parts[keep], truth, owner, known, len(asked), len(gallery))


def excerpt(text: str, *, seed: int) -> str:
    """A few words in a row, as somebody would type them who looks for what the text describes."""
    rng = np.random.default_rng(seed)
    said = [w for w in words(text) if w not in STOP_WORDS] or [text]
    if is_han(said[0]):
        run = "".join(telling(said[0]))
        first = int(rng.integers(max(1, len(run) - 3)))
        return run[first : first + 4]
    start = int(rng.integers(max(1, len(said) - 1)))
    return " ".join(said[start : start + int(rng.integers(2, 4))])


def _candidates(parts: Array, right: Bools) -> Bools:
    """The best of each column, and all right answers: what a search would consider."""
    q, g, p = parts.shape
    if g <= 4 * MAX_CANDIDATES:
        return np.ones((q, g), np.bool_)
    keep = right.copy()
    for column in range(p):
        best = np.argpartition(-parts[:, :, column], MAX_CANDIDATES, axis=1)[:, :MAX_CANDIDATES]
        np.put_along_axis(keep, best, True, axis=1)
    return keep
