"""Learning: aligners on pairs and categories, refiners on hidden links, gates on hidden queries.

Nothing is judged on what it was fitted on. A part of the families (a picture with its captions and
sounds) is kept from the aligners; its edges are hidden while refiners and gates are chosen; at the
end the aligners are fitted once more on everything, with the choices kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval import registry, splits
from graphretrieval.config import Config
from graphretrieval.errors import NothingToLearn
from graphretrieval.folding import STOP_WORDS, is_han, telling, words
from graphretrieval.protocols import Aligner, Encoder, GraphStore, Progress, Ranker, silent
from graphretrieval.rankers.walks import Walker
from graphretrieval.retriever import corpus
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.model import (
    ALIKE,
    TEXT_KINDS,
    Model,
    Vectors,
    embed_nodes,
    scaled,
    vectors_of,
)
from graphretrieval.retriever.score import Anchors, Queries, Scorer
from graphretrieval.types import DESCRIBES, JSON, Array, Bools, Graph, Ints, TextContent

VALIDATION_SHARE = 0.15
# small collections keep more aside, so that there are some queries to judge by
LEAST_FAMILIES, LARGEST_SHARE = 30, 0.3
# hidden queries per direction: enough that a weight is known to a few per cent
MAX_QUERIES = 200
MAX_KNOWN = 60
# with fewer a better weight cannot be told from luck
FEWEST_QUERIES = 5
# candidates per query and column that a gate learns from
MAX_CANDIDATES = 60
# items they are chosen from: a weight does not change for more
MAX_GALLERY = 4000
# right answers that a query keeps among them: descriptions in dozens of languages say the same
MAX_RIGHT = 8
RELEVANCES = ("instance", "category")
WEIGHING = "weighing the parts"


@dataclass(frozen=True)
class Material:
    """All that learning starts from: the graph, features per modality, and the texts' words.

    ``graph`` is the truth that is learned from. ``messages`` has the edges that vectors are
    refined and paths walked over: the same, unless a control replaces them. ``texts[row]`` are
    the words of a text node, to be searched by; ``kinds[row]`` is
    the kind of a text, ``langs[row]`` its language; ``visible`` marks nodes that are in the
    collection as far as learning may know (test items of a protocol are not). ``paths`` is off
    in the control without them.
    """

    graph: Graph
    messages: Graph
    places: Places
    features: Mapping[str, Array]
    category_features: Array | None
    texts: Mapping[int, str]
    kinds: npt.NDArray[np.str_]
    langs: npt.NDArray[np.str_]
    visible: Bools
    paths: bool = True


@dataclass(frozen=True)
class Aligned:
    """Aligners fitted twice: ``draft`` without the validation part, ``final`` with everything."""

    draft: Mapping[str, Aligner]
    final: Mapping[str, Aligner]
    categories: tuple[str, ...]
    validation: Bools
    skipped: Mapping[str, str]


def learn(
    material: Material,
    encoders: Mapping[str, Encoder[Any]],
    store: GraphStore,
    config: Config,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Model:
    """Learn a model from what is visible.

    Raises:
        NothingToLearn: there are neither links nor categories between items.
    """
    started = time.perf_counter()
    aligned = align(material, encoders, config, seed=seed, progress=progress)
    model = weigh(aligned, material, encoders, store, config, seed=seed, progress=progress)
    model.meta["seconds"] = round(time.perf_counter() - started, 1)
    return model


def align(
    material: Material,
    encoders: Mapping[str, Encoder[Any]],
    config: Config,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Aligned:
    """Fit every aligner that can learn from this collection, without and with validation items.

    Raises:
        NothingToLearn: none can.
    """
    validation = _validation(material, seed)
    graph, places, features = _learnable(material)
    names = [name.strip() for name in str(config["aligners"]).split(",") if name.strip()]
    options, skipped = _text_parts(names, encoders.get("text"))
    names = [name for name in names if name not in skipped]
    fitted: list[dict[str, Aligner]] = []
    for marks in (validation, None):
        supervision, categories = corpus.supervision(graph, places, marks)
        fitted.append({})
        for i, name in enumerate(names):
            progress(i, len(names), "aligning" if marks is not None else "aligning on everything")
            aligner: Aligner = registry.resolve("aligner", name)(**options.get(name, {}))
            try:
                fitted[-1][name] = aligner.fit(features, supervision, seed=seed)
            except NothingToLearn as e:
                skipped[name] = str(e)
        progress(
            len(names), len(names), "aligning" if len(fitted) == 1 else "aligning on everything"
        )
    both = [name for name in names if name in fitted[0] and name in fitted[1]]
    if not both:
        raise NothingToLearn(
            "the collection has no links and no categories that aligners could learn from "
            f"({'; '.join(skipped.values())})",
            remedy="put media into folders by subject, add descriptions beside them, or link them",
        )
    return Aligned(
        {name: fitted[0][name] for name in both},
        {name: fitted[1][name] for name in both},
        tuple(graph.ids[i] for i in categories),
        validation,
        skipped,
    )


def _text_parts(
    names: Sequence[str], encoder: Any
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Which text columns the aligners that live in the texts' space take, and which need not.

    An encoder without a sentence model has one part for both, somebody else's perhaps none.
    """
    parts: Mapping[str, tuple[int, int]] = getattr(encoder, "parts", {})
    options: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}
    taken: dict[tuple[int, int] | None, str] = {}
    for name in names:
        part = getattr(registry.resolve("aligner", name), "part", None)
        if part is None:
            continue
        columns = parts.get(part)
        if columns in taken:
            skipped[name] = f"its space is that of {taken[columns]}"
            continue
        taken[columns] = name
        options[name] = {"columns": columns}
    return options, skipped


def weigh(
    aligned: Aligned,
    material: Material,
    encoders: Mapping[str, Encoder[Any]],
    store: GraphStore,
    config: Config,
    *,
    relevance: str = "instance",
    seed: int = 0,
    progress: Progress = silent,
) -> Model:
    """Choose refiners and gates on the validation part, then join them with the final aligners."""
    model = Model(dict(encoders), dict(aligned.draft), categories=aligned.categories)
    _fit_refiners(model, material, config, aligned.validation, seed, progress)
    report = fit_gates(
        model,
        material,
        store,
        aligned.validation,
        relevance=relevance,
        seed=seed,
        progress=progress,
    )
    model.aligners = dict(aligned.final)
    model.meta.update(
        seed=seed,
        revision=material.graph.revision,
        validation=report,
        skipped=dict(aligned.skipped),
        items={m: len(r) for m, r in material.places.rows.items()},
    )
    return model


def _validation(material: Material, seed: int) -> Bools:
    family = corpus.families(material.graph)
    items = material.visible & (material.places.at >= 0)
    count = max(1, len(np.unique(family[items])))
    share = min(LARGEST_SHARE, max(VALIDATION_SHARE, LEAST_FAMILIES / count))
    side = splits.grouped(family, (1 - share, share), seed)
    return np.asarray((side == 1) & material.visible, np.bool_)


def _learnable(material: Material) -> tuple[Graph, Places, dict[str, Array]]:
    """The visible items only, so that hidden ones cannot be learned from."""
    rows = {m: r[material.visible[r]] for m, r in material.places.rows.items()}
    rows = {m: r for m, r in rows.items() if len(r) and m in material.features}
    at = np.full(len(material.graph.ids), -1, np.int64)
    for r in rows.values():
        at[r] = np.arange(len(r))
    features = {m: material.features[m][material.visible[material.places.rows[m]]] for m in rows}
    keep = material.visible[material.graph.src] & material.visible[material.graph.dst]
    return material.graph.with_edges(keep), Places(rows, at), features


def _fit_refiners(
    model: Model,
    material: Material,
    config: Config,
    validation: Bools,
    seed: int,
    progress: Progress,
) -> None:
    graph = material.messages
    raw = embed(model, material)
    edges = graph.edges_of(DESCRIBES)
    hidden = edges[validation[graph.src[edges]] & validation[graph.dst[edges]]]
    hidden = _one_each(graph, hidden, seed)
    for i, (name, x) in enumerate(raw.items()):
        progress(i, len(raw), f"refining: {name}")
        refiner = registry.resolve("refiner", config["refiner"])()
        model.refiners[name] = refiner.fit(graph, x, hidden, seed=seed, progress=progress)


def _one_each(graph: Graph, edges: Ints, seed: int) -> Ints:
    """One description of each thing described: hiding them all would leave nothing to absorb."""
    shuffled = np.random.default_rng(seed).permutation(edges)
    _, first = np.unique(graph.dst[shuffled], return_index=True)
    return np.sort(shuffled[first])


def embed(model: Model, material: Material) -> dict[str, Array]:
    """Unscaled block vectors of all nodes of the material."""
    return embed_nodes(
        model, material.graph, material.places, material.features, material.category_features
    )


def fit_gates(
    model: Model,
    material: Material,
    store: GraphStore,
    validation: Bools,
    *,
    relevance: str = "instance",
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, JSON]:
    """Fit one ranker for each kind of query and target on hidden validation queries.

    By instance: the query's own edges are hidden, the rest of the collection is as it is. By
    category: all validation items stand without edges, as new arrivals do, and are the gallery.
    Directions with too few answers of the relevance asked for are fitted by the other. Gates that
    are wanted by instance, as search does, are also asked by items of the collection, whose own
    links are to come first, and by a few words typed from texts.

    Returns:
        For each gate what it was judged by: mean average precision of the fused order and of each
        column alone, on the queries it was fitted with.
    """
    raw = embed(model, material)
    report: dict[str, JSON] = {}
    p = len(model.columns)
    empty = np.empty(0, np.int64)
    alike: Ranker = registry.resolve("ranker", "fusion")()
    nothing = np.empty(0, np.float32)
    model.gates = {ALIKE: alike.fit(np.empty((0, p), np.float32), nothing, empty, nothing)}
    targets = [m for m in material.places.rows if m in material.features]
    kinds = [k for k in TEXT_KINDS if (material.kinds == k).any()]
    kinds += [m for m in targets if m != "text"]
    work = _Weighing(model, material, store, raw, validation, report, relevance, seed)
    for i, kind in enumerate(kinds):
        progress(i, len(kinds), WEIGHING)
        rows = _sample(material, kind, validation, seed)
        if len(rows):
            left = list(targets)
            for asked_for in (relevance, *(r for r in RELEVANCES if r != relevance)):
                left = work.fit(asked_for, kind, rows, left)
    progress(len(kinds), len(kinds), WEIGHING)
    return report


@dataclass
class _Weighing:
    """What all gates of a model are fitted from; ``relevance`` is what they are wanted for."""

    model: Model
    material: Material
    store: GraphStore
    raw: Mapping[str, Array]
    validation: Bools
    report: dict[str, JSON]
    relevance: str
    seed: int

    def fit(self, relevance: str, kind: str, rows: Ints, targets: Sequence[str]) -> list[str]:
        """Fit the gates of one kind of query; the targets for which there was too little."""
        if not targets:
            return []
        if relevance == "instance":
            hidden = np.union1d(rows, _twins(self.material, rows))
            alone = self._scorer(corpus.without_nodes(self.material.messages, hidden), hidden)
            asked = [_Batch.of_items(alone, self.material, rows)]
        else:
            asked = [_Batch.of_items(self._arrivals, self.material, rows)]
        if self.relevance == "instance":
            asked.append(self._known(rows))
        left = []
        for target in targets:
            among = self.validation if relevance == "category" else self.material.visible
            gallery = _gallery(self.material, target, among)
            found = [b.among(gallery, self.material, relevance, self.seed) for b in asked]
            key = f"{kind}>{target}>{relevance}"
            if not _fit_gate(self.model, key, found, self.report, self.seed):
                left.append(target)
        return left

    @cached_property
    def _whole(self) -> Scorer:
        return self._scorer(self.material.messages, np.empty(0, np.int64))

    @cached_property
    def _arrivals(self) -> Scorer:
        """Validation items as new arrivals, without any edge."""
        rows = np.flatnonzero(self.validation)
        return self._scorer(corpus.without_nodes(self.material.messages, rows), rows)

    def _scorer(self, graph: Graph, hidden: Ints) -> Scorer:
        return scorer_of(self.model, self.material, self.store, graph, self.raw, hidden)

    def _known(self, rows: Ints) -> _Batch:
        """The collection's own: items with their links; for texts a few words typed from them."""
        rows = rows[:MAX_KNOWN]
        encoder = self.model.encoders.get("text")
        if encoder is None or int(rows[0]) not in self.material.texts:
            return _Batch.of_items(self._whole, self.material, rows)
        typed = [excerpt(self.material.texts[int(r)], seed=int(r)) for r in rows]
        features = encoder.encode([TextContent(text) for text in typed])
        raw = {b: scaled(b, x) for b, x in self.model.align("text", features).items()}
        queries = Queries("text", raw, typed)
        return _Batch(self._whole, queries, self._whole.anchors(queries), rows)


def _gallery(material: Material, modality: str, among: Bools) -> Ints:
    rows = material.places.rows[modality]
    return np.asarray(rows[among[rows]])


def _sample(material: Material, kind: str, validation: Bools, seed: int) -> Ints:
    """Validation items to ask with, in random order."""
    modality = "text" if kind in TEXT_KINDS else kind
    rows = material.places.rows[modality]
    if modality == "text":
        rows = rows[material.kinds[rows] == kind]
    rows = np.random.default_rng(seed).permutation(rows[validation[rows]])
    if modality != "text":
        return rows[:MAX_QUERIES]
    # one text of each thing described, so that the others still describe it
    thing = corpus.parallel(material.graph, rows)
    _, first = np.unique(np.where(thing < 0, -1 - rows, thing), return_index=True)
    return rows[np.sort(first)[:MAX_QUERIES]]


def _twins(material: Material, rows: Ints) -> Ints:
    """Texts that say of the same thing, in a variant of the same language, nearly the same.

    What one says of a lion in zh_CN is left in zh_TW if only the query is hidden, which a new
    query would not find; five captions in one language are another matter.
    """
    texts = material.places.rows.get("text", rows[:0])
    thing = np.full(len(material.langs), -1)
    thing[texts] = corpus.parallel(material.graph, texts)
    said = {int(thing[r]): material.langs[r] for r in rows if thing[r] >= 0}
    near = texts[np.isin(thing[texts], list(said))]
    return np.array(
        [r for r in near if _is_variant(str(material.langs[r]), str(said[int(thing[r])]))], np.int64
    )


def _is_variant(a: str, b: str) -> bool:
    return a != b and a.split("_")[0] == b.split("_")[0] != ""


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


def node_queries(vectors: Vectors, rows: Ints, modality: str, texts: Mapping[int, str]) -> Queries:
    """Stored items as queries that bring nothing but their content."""
    said = [texts.get(int(r), "") for r in rows] if modality == "text" else None
    return Queries(modality, {b: x[rows] for b, x in vectors.raw.items()}, said, rows)


@dataclass(frozen=True)
class _Asked:
    """Scored candidates of held-out queries: what a gate is fitted on."""

    parts: Array = field(repr=False)  # (n, p)
    right: Array = field(repr=False)  # (n,)
    owner: Ints = field(repr=False)  # (n,)
    known: Array = field(repr=False)  # (n,)
    queries: int
    gallery: int


@dataclass(frozen=True)
class _Batch:
    """Queries made of items, with their anchors; ``rows`` are the items that stand behind them."""

    scorer: Scorer
    queries: Queries
    anchors: Anchors
    rows: Ints

    @classmethod
    def of_items(cls, scorer: Scorer, material: Material, rows: Ints) -> _Batch:
        """Items of one modality that ask by their content."""
        modality = corpus.modality_of(material.graph, rows[:1])[0]
        queries = node_queries(scorer.vectors, rows, modality, material.texts)
        return cls(scorer, queries, scorer.anchors(queries), rows)

    def among(self, gallery: Ints, material: Material, relevance: str, seed: int) -> _Asked | None:
        """Candidates for those queries that have right answers; None if too few have."""
        right = corpus.relevance(material.graph, self.rows, gallery, relevance)
        if len(gallery) > MAX_GALLERY:
            drawn = np.random.default_rng(seed).random(len(gallery)) < MAX_GALLERY / len(gallery)
            few = np.cumsum(right, axis=1) <= MAX_RIGHT
            drawn = (drawn & ~right.any(axis=0)) | (right & few).any(axis=0)
            gallery, right = gallery[drawn], right[:, drawn]
        asked = np.flatnonzero(right.any(axis=1))
        if len(asked) < FEWEST_QUERIES:
            return None
        parts = self.scorer.parts(self.queries, gallery, self.anchors)[asked]  # (q, g, p)
        right = right[asked]
        keep = _candidates(parts, right) & (gallery[None, :] != self.rows[asked][:, None])
        owner = np.nonzero(keep)[0].astype(np.int64)
        known = self.scorer.known(self.anchors)[asked][owner]
        truth = right[keep].astype(np.float32)
        return _Asked(parts[keep], truth, owner, known, len(asked), len(gallery))


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


def _fit_gate(
    model: Model,
    key: str,
    asked: Sequence[_Asked | None],
    report: dict[str, JSON],
    seed: int,
) -> bool:
    """Fit and keep one gate; whether there was enough to fit it on."""
    found = [a for a in asked if a is not None]
    if asked[0] is None:
        return False
    ranker: Ranker = registry.resolve("ranker", "fusion")()
    first = np.cumsum([0, *(a.queries for a in found)])
    ranker.fit(
        np.concatenate([a.parts for a in found]),
        np.concatenate([a.right for a in found]),
        np.concatenate([a.owner + n for a, n in zip(found, first, strict=False)]),
        np.concatenate([a.known for a in found]),
        seed=seed,
    )
    model.gates[key] = ranker
    one = np.eye(len(model.columns), dtype=np.float32)
    report[key] = {
        "queries": int(first[-1]),
        "gallery": asked[0].gallery,
        "map": _named(model, ranker.judged["parts"]),
        "map_fused": round(ranker.judged["fused"], 4),
        "weights": _named(model, ranker.weigh(one, 0.0).diagonal()),
        "weights_known": _named(model, ranker.weigh(one, 1.0).diagonal()),
    }
    return True


def _named(model: Model, values: Any) -> dict[str, JSON]:
    return {name: round(float(v), 4) for name, v in zip(model.columns, values, strict=True)}


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
