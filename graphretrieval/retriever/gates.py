"""Rankers for each direction, fitted on held-out queries: how much each score part is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from graphretrieval import registry
from graphretrieval.arrays import normalise
from graphretrieval.protocols import GraphStore, Progress, Ranker, silent
from graphretrieval.retriever import corpus, undescribed
from graphretrieval.retriever.asking import Asked, Batch, excerpt, scorer_of
from graphretrieval.retriever.likeness import choose, compared
from graphretrieval.retriever.material import Material, variants
from graphretrieval.retriever.model import (
    ALIKE,
    HUBS,
    PAGERANK,
    PROBABILITIES,
    TEXT_KINDS,
    UNDESCRIBED,
    Model,
    scaled,
)
from graphretrieval.retriever.score import Queries, Scorer
from graphretrieval.retriever.weighing import gate
from graphretrieval.types import JSON, Array, Bools, Graph, Ints, TextContent

# hidden queries per direction: enough that a weight is known to a few per cent
MAX_QUERIES = 400
MAX_KNOWN = 120
# with fewer a better weight cannot be told from luck
FEWEST_QUERIES = 5
# with fewer questions of category a direction is weighed as all are together
FEWEST_ALONE = 40
# labelled texts to ask for categories with, where there are so many
FEW_LABELLED = 60
# one in so many new queries asks for what nobody described in its language, where there is such:
# with half of them what is described was found at R@10 .46 instead of .59 (docs/decisions.md)
BARE = 3
RELEVANCES = ("instance", "category")
WEIGHING = "weighing the parts"


def fit_gates(
    model: Model,
    material: Material,
    raw: Mapping[str, Array],
    store: GraphStore,
    *,
    relevance: str = "instance",
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, JSON]:
    """Fit one ranker for each kind of query and target on hidden validation queries.

    ``raw`` are the block vectors of all nodes, by aligners that did not see the validation part.

    By instance: the query's own edges are hidden, the rest of the collection is as it is. By
    category: all validation items stand without edges, as new arrivals do, and are the gallery.
    Directions with too few categories to ask for are fitted by all directions together, those with
    too few answers of the relevance asked for by the other one. Gates that
    are wanted by instance, as search does, are also asked by items of the collection, whose own
    links are to come first, and by a few words typed from texts.

    Returns:
        For each gate what it was judged by: mean average precision of the fused order and of each
        column alone, on the queries it was fitted with.
    """
    report: dict[str, JSON] = {}
    p = len(model.columns)
    empty = np.empty(0, np.int64)
    alike: Ranker = registry.resolve("ranker", "fusion")()
    nothing = np.empty(0, np.float32)
    model.gates = {ALIKE: alike.fit(np.empty((0, p), np.float32), nothing, empty, nothing)}
    targets = [m for m in material.places.rows if m in material.features]
    kinds = [k for k in TEXT_KINDS if (material.kinds == k).any()]
    kinds += [m for m in targets if m != "text"]
    work = _Weighing(model, material, store, raw, report, relevance, seed)
    other = next(r for r in RELEVANCES if r != relevance)
    scarce: list[str] = []
    for i, kind in enumerate(kinds):
        progress(i, len(kinds), WEIGHING)
        rows = _sample(material, kind, seed)
        if len(rows):
            new = np.union1d(with_variants(material, rows), siblings(material, kind, rows))
            work.weigh_blocks(kind, rows, new)
            left = work.fit(relevance, kind, rows, new, targets)
            work.fit(other, kind, rows, new, left)
            if relevance == "instance":
                work.fit_undescribed(kind)
            scarce += [f"{kind}>{target}>{relevance}" for target in left]
    if relevance == "category":
        work.fit_together(scarce)
    progress(len(kinds), len(kinds), WEIGHING)
    return report


@dataclass
class _Weighing:
    """What all gates of a model are fitted from; ``relevance`` is what they are wanted for."""

    model: Model
    material: Material
    store: GraphStore
    raw: Mapping[str, Array]
    report: dict[str, JSON]
    relevance: str
    seed: int
    # what was asked by category, in all directions
    classed: list[Asked] = field(default_factory=list)

    def fit(
        self, relevance: str, kind: str, rows: Ints, new: Ints, targets: Sequence[str]
    ) -> list[str]:
        """Fit the gates of one kind of query; the targets for which there was too little.

        ``new`` are the queries and all that is hidden with them.
        """
        if not targets:
            return []
        if relevance == "instance":
            alone = self._scorer(corpus.without_nodes(self.material.messages, new), new)
            asked = [Batch.of_items(alone, self.material, rows, kind)]
        else:
            labelled = _labelled(self.material, kind, rows, self.seed)
            if not len(labelled):
                return list(targets)
            asked = [Batch.of_items(self._arrivals, self.material, labelled, kind)]
        if self.relevance == "instance":
            asked.append(self._known(kind, rows))
        left = []
        for target in targets:
            among, absent = self._in_category, 0.0
            if relevance == "instance":
                among = self.material.visible
                if self._apart(target):
                    share = self._described[target]
                    among, absent = among & self._linked, (1 - share) / share
            gallery = _gallery(self.material, target, among)
            batches = [b.among(gallery, self.material, relevance, self.seed) for b in asked]
            key, new_ones = f"{kind}>{target}>{relevance}", batches[0]
            found = [b for b in batches if b is not None]
            if relevance == "category" and new_ones is not None:
                self.classed.append(new_ones)
            pooled = relevance == self.relevance == "category"
            fewest = FEWEST_ALONE if pooled else FEWEST_QUERIES
            if new_ones is not None and new_ones.queries >= fewest:
                _fit_gate(self.model, key, found, self.report, self.seed, absent)
            else:
                left.append(target)
        return left

    def fit_undescribed(self, kind: str) -> None:
        """Gates of what nothing links, asked for by items of another modality that lost theirs."""
        m, seed = self.material, self.seed
        rows, things = undescribed.questions(m, kind, self._linked, seed)
        own = "text" if kind in TEXT_KINDS else kind
        others = [t for t in self._described if t != own]
        split = [t for t in others if f"{kind}>{t}>instance" in self.model.gates]
        if not len(rows) or not split:
            return
        bare = self._scorer(corpus.without_nodes(m.messages, np.append(rows, things)), rows)
        linked = corpus.linked(bare.walker.graph)
        batch = Batch.of_items(bare, m, rows, kind)
        for target in split:
            gallery = _gallery(m, target, m.visible & ~linked)
            asked = batch.among(gallery, m, "instance", seed)
            if asked is None or asked.queries < FEWEST_QUERIES:
                continue
            key, share = f"{kind}>{target}>{UNDESCRIBED}", self._described[target]
            absent = share / (1 - share)
            _fit_gate(self.model, key, [asked], self.report, seed, absent, by_share=False)
            if not self._apart(target):
                continue
            gallery = _gallery(m, target, m.visible)
            every = batch.among(gallery, m, "instance", seed, marked=True)
            if every is not None:
                self.model.meta.setdefault("lift", {})[key] = undescribed.lift(
                    gate(self.model, kind, target, "instance"),
                    self.model.columns,
                    every.parts,
                    every.right > 0,
                    every.owner,
                    every.known,
                )

    def fit_together(self, keys: Sequence[str]) -> None:
        """Fit gates that too little was asked of by what was asked by category in all directions.

        Of the parts only probabilities of categories mean the same everywhere.
        """
        same = np.array([c.rstrip("+") == PROBABILITIES for c in self.model.columns])
        asked = [replace(a, parts=a.parts * same) for a in self.classed]
        if same.any() and sum(a.queries for a in asked) >= FEWEST_QUERIES:
            for key in keys:
                _fit_gate(self.model, key, asked, self.report, self.seed)

    def weigh_blocks(self, kind: str, rows: Ints, new: Ints) -> None:
        """Choose by which blocks a query of this kind finds its like among its own modality.

        Words of a language without spaces overlap by chance, where its meaning does not. Walks
        begin at what is alike, so that this is settled before gates are.
        """
        m = self.material
        gallery = m.places.rows[corpus.modality_of(m.graph, rows[:1])[0]]
        gallery = np.setdiff1d(gallery[m.visible[gallery]], new)
        blocks = compared(self.raw)
        for relevance in RELEVANCES:
            right = corpus.relevance(m.graph, rows, gallery, relevance)
            asked = right.any(axis=1)
            if asked.sum() >= FEWEST_QUERIES:
                break
        else:
            return
        cosines = np.stack(
            [
                normalise(self.raw[b][rows[asked]]) @ normalise(self.raw[b][gallery]).T
                for b in blocks
            ]
        )
        chosen = choose(cosines, right[asked])
        if chosen is not None:
            weights = {b: float(w) for b, w in zip(blocks, chosen, strict=True)}
            self.model.meta.setdefault("likeness", {})[kind] = weights

    @cached_property
    def _whole(self) -> Scorer:
        return self._scorer(self.material.messages, np.empty(0, np.int64))

    @cached_property
    def _linked(self) -> Bools:
        return corpus.linked(self.material.messages)

    @cached_property
    def _described(self) -> dict[str, float]:
        return undescribed.described(self.material, self._linked)

    def _apart(self, target: str) -> bool:
        """Whether what nothing links comes among the others by odds; never tried with texts."""
        return target != "text" and target in self._described

    @cached_property
    def _in_category(self) -> Bools:
        """Validation items with a category: whether others are right nobody knows."""
        return self.material.validation & corpus.has_category(self.material.graph)

    @cached_property
    def _arrivals(self) -> Scorer:
        """Validation items as new arrivals, without any edge."""
        rows = np.flatnonzero(self.material.validation)
        return self._scorer(corpus.without_nodes(self.material.messages, rows), rows)

    def _scorer(self, graph: Graph, hidden: Ints) -> Scorer:
        return scorer_of(self.model, self.material, self.store, graph, self.raw, hidden)

    def _known(self, kind: str, rows: Ints) -> Batch:
        """The collection's own: items with their links; for texts a few words typed from them."""
        m = self.material
        if kind in TEXT_KINDS:
            seen = np.flatnonzero(m.validation & ~m.held & (m.kinds == kind))
            drawn = np.random.default_rng(self.seed).permutation(seen)[:MAX_KNOWN]
            rows = drawn if len(drawn) else rows
        rows = rows[:MAX_KNOWN]
        encoder = self.model.encoders.get("text")
        if encoder is None or int(rows[0]) not in self.material.texts:
            return Batch.of_items(self._whole, self.material, rows, kind, known=True)
        typed = [excerpt(self.material.texts[int(r)], seed=int(r)) for r in rows]
        features = encoder.encode([TextContent(text) for text in typed])
        raw = {b: scaled(b, x) for b, x in self.model.align("text", features).items()}
        queries = Queries("text", raw, typed, kind=kind)
        return Batch(self._whole, queries, self._whole.anchors(queries), rows, known=True)


def with_variants(material: Material, rows: Ints) -> Ints:
    """Queries that ask as if they were new, and what says the same in their language."""
    texts = material.places.rows.get("text", rows[:0])
    return np.union1d(rows, variants(material.graph, texts, material.langs, rows))


def siblings(material: Material, kind: str, rows: Ints) -> Ints:
    """All texts of a kind that describe what the first third of these queries asks for.

    Hidden with the queries, so that what nobody described in a language is asked for in it as well;
    none where all that is described has a text of this kind.
    """
    texts = material.places.rows.get("text", rows[:0])
    texts = texts[material.visible[texts]]
    thing = corpus.parallel(material.graph, np.arange(len(material.kinds)))
    mine = texts[material.kinds[texts] == kind]
    if not len(np.setdiff1d(thing[texts], np.append(thing[mine], -1))):
        return rows[:0]
    bare = thing[rows[: len(rows) // BARE]]
    return np.asarray(mine[np.isin(thing[mine], bare[bare >= 0])])


def _gallery(material: Material, modality: str, among: Bools) -> Ints:
    rows = material.places.rows[modality]
    return np.asarray(rows[among[rows]])


def _sample(material: Material, kind: str, seed: int) -> Ints:
    """Items to ask with, in random order; texts are those that no encoder has seen."""
    if kind in TEXT_KINDS:
        rows = np.flatnonzero(material.held & (material.kinds == kind))
    else:
        rows = material.places.rows[kind]
        rows = rows[material.validation[rows]]
    return np.random.default_rng(seed).permutation(rows)[:MAX_QUERIES]


def _labelled(material: Material, kind: str, rows: Ints, seed: int) -> Ints:
    """Those items that have a category; where texts are too few, others that encoders have seen.

    What a text's category is no encoder knows.
    """
    has = corpus.has_category(material.graph)
    rows = rows[has[rows]]
    if kind in TEXT_KINDS and len(rows) < FEW_LABELLED:
        seen = np.flatnonzero(material.validation & ~material.held & (material.kinds == kind) & has)
        more = np.random.default_rng(seed).permutation(seen)[: FEW_LABELLED - len(rows)]
        rows = np.concatenate([rows, more])
    return np.asarray(rows)


def _fit_gate(
    model: Model,
    key: str,
    found: Sequence[Asked],
    report: dict[str, JSON],
    seed: int,
    absent: float = 0.0,
    *,
    by_share: bool = True,
) -> None:
    """Fit and keep one gate; the first batch asks as new."""
    ranker: Ranker = registry.resolve("ranker", "fusion")()
    first = np.cumsum([0, *(a.queries for a in found)])
    ranker.fit(
        np.concatenate([a.parts for a in found]),
        np.concatenate([a.right for a in found]),
        np.concatenate([a.owner + n for a, n in zip(found, first, strict=False)]),
        np.concatenate([a.known for a in found]),
        absent=absent,
        by_share=by_share,
        optional=[
            [i for i, column in enumerate(model.columns) if column.endswith(HUBS)],
            [model.columns.index(PAGERANK)],
        ],
        seed=seed,
    )
    model.gates[key] = ranker
    one = np.eye(len(model.columns), dtype=np.float32)
    report[key] = {
        "queries": int(first[-1]),
        "gallery": found[0].gallery,
        "map": _named(model, ranker.judged["parts"]),
        "map_fused": round(ranker.judged["fused"], 4),
        "weights": _named(model, ranker.weigh(one, 0.0).diagonal()),
        "weights_known": _named(model, ranker.weigh(one, 1.0).diagonal()),
    }


def _named(model: Model, values: Any) -> dict[str, JSON]:
    return {name: round(float(v), 4) for name, v in zip(model.columns, values, strict=True)}
