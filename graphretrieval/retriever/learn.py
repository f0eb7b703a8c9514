"""Learning: aligners on pairs and categories, refiners on hidden links, gates on hidden queries.

Nothing is judged on what it was fitted on. A part of the families (a picture with its captions and
sounds) is kept from the aligners; its edges are hidden while refiners and gates are chosen; at the
end the aligners are fitted once more on everything, with the choices kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphretrieval import registry
from graphretrieval.config import Config
from graphretrieval.errors import NothingToLearn
from graphretrieval.protocols import Aligner, Encoder, GraphStore, Progress, silent
from graphretrieval.retriever import corpus
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.gates import fit_gates
from graphretrieval.retriever.hubs import ASKERS
from graphretrieval.retriever.material import Material, embed
from graphretrieval.retriever.model import TEXT_KINDS, Model
from graphretrieval.retriever.similar import heard
from graphretrieval.types import DESCRIBES, Array, Graph, Ints


@dataclass(frozen=True)
class Aligned:
    """Aligners fitted twice: ``draft`` without the validation part, ``final`` with everything."""

    draft: Mapping[str, Aligner]
    final: Mapping[str, Aligner]
    categories: tuple[str, ...]
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
    graph, places, features = _learnable(material)
    names = [name.strip() for name in str(config["aligners"]).split(",") if name.strip()]
    options, skipped = _text_parts(names, encoders.get("text"))
    names = [name for name in names if name not in skipped]
    fitted: list[dict[str, Aligner]] = []
    for marks, held in ((material.validation, material.held), (None, None)):
        supervision, categories = corpus.supervision(graph, places, marks, held)
        fitted.append({})
        for i, name in enumerate(names):
            progress(i, len(names), "aligning" if marks is not None else "aligning on everything")
            aligner: Aligner = registry.resolve("aligner", name)(**options.get(name, {}))
            try:
                fitted[-1][name] = aligner.fit(features, supervision, seed=seed)
                # the fit on everything keeps them
                options[name] = {**options.get(name, {}), **getattr(aligner, "choices", {})}
            except NothingToLearn as e:
                skipped[name] = str(e)
        progress(
            len(names), len(names), "aligning" if len(fitted) == 1 else "aligning on everything"
        )
    both = [name for name in names if name in fitted[0] and name in fitted[1]]
    if not both:
        raise NothingToLearn(
            "the collection has no links and no categories that aligners could learn from",
            remedy="put media into folders by subject, add descriptions beside them, or link them "
            f"({'; '.join(f'{name}: {reason}' for name, reason in skipped.items())})",
        )
    return Aligned(
        {name: fitted[0][name] for name in both},
        {name: fitted[1][name] for name in both},
        tuple(graph.ids[i] for i in categories),
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
    model, raw = _drafted(aligned, material, encoders, seed)
    if config["similar"]:
        material = heard(material, raw, progress)
    _fit_refiners(model, material, raw, config, seed, progress)
    report = fit_gates(
        model,
        material,
        raw,
        store,
        relevance=relevance,
        seed=seed,
        progress=progress,
    )
    model.aligners = dict(aligned.final)
    model.meta.update(
        seed=seed,
        settings=config.learned_with(),
        revision=material.graph.revision,
        validation=report,
        skipped=dict(aligned.skipped),
        items={m: len(r) for m, r in material.places.rows.items()},
    )
    return model


def refined(
    aligned: Aligned,
    material: Material,
    encoders: Mapping[str, Encoder[Any]],
    config: Config,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[Model, dict[str, Array]]:
    """A model of draft aligners, with refiners chosen on the validation part; its raw vectors."""
    model, raw = _drafted(aligned, material, encoders, seed)
    _fit_refiners(model, material, raw, config, seed, progress)
    return model, raw


def _drafted(
    aligned: Aligned, material: Material, encoders: Mapping[str, Encoder[Any]], seed: int
) -> tuple[Model, dict[str, Array]]:
    model = Model(dict(encoders), dict(aligned.draft), categories=aligned.categories)
    model.askers = _askers(material, seed)
    return model, embed(model, material)


def _askers(material: Material, seed: int) -> dict[str, tuple[str, ...]]:
    """For each kind of query items that stand for what people ask, none to make choices by."""
    ids, rng = material.graph.ids, np.random.default_rng(seed)
    free = material.visible & ~material.validation
    rows = {m: r for m, r in material.places.rows.items() if m != "text"}
    rows |= {kind: np.flatnonzero(material.kinds == kind) for kind in TEXT_KINDS}
    return {
        kind: tuple(ids[i] for i in np.sort(rng.permutation(r[free[r]])[:ASKERS]))
        for kind, r in rows.items()
    }


def _learnable(material: Material) -> tuple[Graph, Places, dict[str, Array]]:
    """The visible items only, so that hidden ones cannot be learned from, and only with content."""
    shown = material.visible.copy()
    for m, x in material.features.items():
        shown[material.places.rows[m]] &= x.any(axis=1)
    rows = {m: r[shown[r]] for m, r in material.places.rows.items()}
    rows = {m: r for m, r in rows.items() if len(r) and m in material.features}
    at = np.full(len(material.graph.ids), -1, np.int64)
    for r in rows.values():
        at[r] = np.arange(len(r))
    features = {m: material.features[m][shown[material.places.rows[m]]] for m in rows}
    keep = shown[material.graph.src] & shown[material.graph.dst]
    return material.graph.with_edges(keep), Places(rows, at), features


def _fit_refiners(
    model: Model,
    material: Material,
    raw: Mapping[str, Array],
    config: Config,
    seed: int,
    progress: Progress,
) -> None:
    graph = material.messages
    edges = graph.edges_of(DESCRIBES)
    kept = material.validation
    hidden = edges[kept[graph.src[edges]] & kept[graph.dst[edges]]]
    hidden = _one_each(graph, hidden, seed)
    for i, (name, x) in enumerate(raw.items()):
        progress(i, len(raw), "refining")
        kind = registry.resolve("refiner", config["refiner"])
        options: dict[str, Any] = {}
        if config["checkpoints"] and getattr(kind, "resumes", False):
            options["checkpoint"] = Path(config["checkpoints"]) / f"{name}.refiner"
        refiner = kind(**options)
        model.refiners[name] = refiner.fit(graph, x, hidden, seed=seed, progress=progress)
    progress(len(raw), len(raw), "refining")


def _one_each(graph: Graph, edges: Ints, seed: int) -> Ints:
    """One description of each thing described: hiding them all would leave nothing to absorb."""
    shuffled = np.random.default_rng(seed).permutation(edges)
    _, first = np.unique(graph.dst[shuffled], return_index=True)
    return np.sort(shuffled[first])
