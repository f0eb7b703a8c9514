"""Learning: aligners on pairs and categories, refiners on hidden links, gates on hidden queries.

Nothing is judged on what it was fitted on. A part of the families (a picture with its captions and
sounds) is kept from the aligners; its edges are hidden while refiners and gates are chosen; at the
end the aligners are fitted once more on everything, with the choices kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphretrieval import registry, splits
from graphretrieval.config import Config
from graphretrieval.errors import NothingToLearn
from graphretrieval.protocols import Aligner, Encoder, GraphStore, Progress, Ranker, silent
from graphretrieval.rankers.walks import Walker
from graphretrieval.retriever import corpus
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.model import (
    ALIKE,
    Model,
    Vectors,
    embed_nodes,
    vectors_of,
)
from graphretrieval.retriever.score import Queries, Scorer
from graphretrieval.types import DESCRIBES, JSON, Array, Bools, Graph, Ints

VALIDATION_SHARE = 0.15
# small collections keep more aside, so that there are some queries to judge by
LEAST_FAMILIES, LARGEST_SHARE = 30, 0.3
# hidden queries per direction: enough that a weight is known to a few per cent
MAX_QUERIES = 200
# candidates per query and column that a gate learns from
MAX_CANDIDATES = 60


@dataclass(frozen=True)
class Material:
    """All that learning starts from: the graph, features per modality, and the texts' words.

    ``graph`` is the truth that is learned from. ``messages`` has the edges that vectors are
    refined and paths walked over: the same, unless a control replaces them. ``texts[row]`` are
    the words of a text node, to be searched by; ``visible`` marks nodes that are in the
    collection as far as learning may know (test items of a protocol are not). ``paths`` is off
    in the control without them.
    """

    graph: Graph
    messages: Graph
    places: Places
    features: Mapping[str, Array]
    category_features: Array | None
    texts: Mapping[int, str]
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
    options: dict[str, dict[str, Any]] = {}
    parts: Mapping[str, tuple[int, int]] = getattr(encoders.get("text"), "parts", {})
    if "meaning" in parts:  # an encoder of somebody else's may have no parts
        options["pivot"] = {"columns": parts["meaning"]}
    names = [name.strip() for name in str(config["aligners"]).split(",") if name.strip()]
    skipped: dict[str, str] = {}
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


def weigh(
    aligned: Aligned,
    material: Material,
    encoders: Mapping[str, Encoder[Any]],
    store: GraphStore,
    config: Config,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Model:
    """Choose refiners and gates on the validation part, then join them with the final aligners."""
    model = Model(dict(encoders), dict(aligned.draft), categories=aligned.categories)
    _fit_refiners(model, material, config, aligned.validation, seed, progress)
    report = fit_gates(model, material, store, aligned.validation, seed=seed, progress=progress)
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
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, JSON]:
    """Fit one ranker for each direction and relevance on hidden validation queries.

    By instance: the query's own edges are hidden, the rest of the collection is as it is. By
    category: all validation items stand without edges, as new arrivals do, and are the gallery.

    Returns:
        For each gate what it was judged by: mean reciprocal rank of the fused order and of each
        column alone, on the queries it was fitted with.
    """
    raw = embed(model, material)
    report: dict[str, JSON] = {}
    p = len(model.columns)
    empty = np.empty(0, np.int64)
    alike: Ranker = registry.resolve("ranker", "fusion")()
    model.gates = {ALIKE: alike.fit(np.empty((0, p), np.float32), np.empty(0, np.float32), empty)}
    modalities = [m for m in material.places.rows if m in material.features]
    for i, source in enumerate(modalities):
        progress(i, 2 * len(modalities), "weighing the parts")
        rows = _sample(material, source, validation, seed)
        if len(rows):
            lonely = corpus.without_nodes(material.messages, rows)
            scorer = scorer_of(model, material, store, lonely, raw, hidden=rows)
            for target in modalities:
                gallery = material.places.rows[target]
                gallery = gallery[material.visible[gallery]]
                key = f"{source}>{target}>instance"
                _fit_gate(model, scorer, material, key, rows, gallery, report, seed)
    arrivals = np.flatnonzero(validation)
    bare = corpus.without_nodes(material.messages, arrivals)
    scorer = scorer_of(model, material, store, bare, raw, hidden=arrivals)
    for i, source in enumerate(modalities):
        progress(len(modalities) + i, 2 * len(modalities), "weighing the parts")
        rows = _sample(material, source, validation, seed)
        for target in modalities:
            gallery = material.places.rows[target]
            gallery = gallery[validation[gallery]]
            key = f"{source}>{target}>category"
            _fit_gate(model, scorer, material, key, rows, gallery, report, seed)
    return report


def _sample(material: Material, modality: str, validation: Bools, seed: int) -> Ints:
    rows = material.places.rows[modality]
    rows = np.random.default_rng(seed).permutation(rows[validation[rows]])
    if modality != "text":
        return np.sort(rows[:MAX_QUERIES])
    # one text of each thing described, so that the others still describe it
    thing = corpus.parallel(material.graph, rows)
    _, first = np.unique(np.where(thing < 0, -1 - rows, thing), return_index=True)
    return np.sort(rows[np.sort(first)[:MAX_QUERIES]])


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
    words = [texts.get(int(r), "") for r in rows] if modality == "text" else None
    return Queries(modality, {b: x[rows] for b, x in vectors.raw.items()}, words, rows)


def _fit_gate(
    model: Model,
    scorer: Scorer,
    material: Material,
    key: str,
    rows: Ints,
    gallery: Ints,
    report: dict[str, JSON],
    seed: int,
) -> None:
    source, _, relevance = key.split(">")
    if not len(rows) or not len(gallery):
        return
    right = corpus.relevance(material.graph, rows, gallery, relevance)
    asked = right.any(axis=1)
    if asked.sum() < 5:  # too few to tell a better weight from luck
        return
    rows, right = rows[asked], right[asked]
    queries = node_queries(scorer.vectors, rows, source, material.texts)
    parts = scorer.parts(queries, gallery)  # (q, g, p)
    keep = _candidates(parts, right) & (gallery[None, :] != rows[:, None])
    owner, _ = np.nonzero(keep)
    ranker: Ranker = registry.resolve("ranker", "fusion")()
    ranker.fit(parts[keep], right[keep].astype(np.float32), owner.astype(np.int64), seed=seed)
    model.gates[key] = ranker
    weights = ranker.weigh(np.eye(parts.shape[2], dtype=np.float32)).diagonal()
    alone = ranker.judged["parts"]
    report[key] = {
        "queries": len(rows),
        "gallery": len(gallery),
        "map": dict(zip(model.columns, (round(x, 4) for x in alone), strict=True)),
        "map_fused": round(ranker.judged["fused"], 4),
        "weights": dict(zip(model.columns, (round(float(w), 4) for w in weights), strict=True)),
    }


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
