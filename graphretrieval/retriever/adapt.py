"""Warm start: the model in service, corrected by new links and a replay of old ones.

Encoders, gates and strengths stay as they are. In every space that is compared by cosine each
modality that is linked to texts (or, without them, to others) is mapped a little nearer to what its
items are linked to. The old links count for as much as there are of them, however few are replayed,
and how far the map may go is chosen on pairs kept from it: not at all is one of the choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from graphretrieval.aligners.adapted import AdaptedAligner, corrections, mapped
from graphretrieval.arrays import normalise
from graphretrieval.protocols import Aligner
from graphretrieval.retriever import corpus
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.model import PROBABILITIES, Model
from graphretrieval.types import JSON, Array, Graph, Ints, Modality

# old pairs learned from again for each new one, and at least
REPLAY, LEAST_REPLAY = 5, 5_000
# λ from nearly still to free
STRENGTHS = (10.0, 1.0, 0.1, 0.01)
# pairs that the choice is made by, and what they are ranked among
HELD_SHARE, MOST_HELD, GALLERY = 0.2, 500, 1_000
# with fewer pairs of two modalities nothing is learned between them
FEWEST_PAIRS = 20


@dataclass(frozen=True)
class Adapted:
    """The candidate: its model, the raw vectors it gives, and what was chosen where."""

    model: Model
    raw: Mapping[str, Array] = field(repr=False)
    report: Mapping[str, JSON] = field(default_factory=dict)


def adapt(
    model: Model, graph: Graph, raw: Mapping[str, Array], new: Ints, old: Ints, seed: int
) -> Adapted:
    """A candidate from the model in service.

    Args:
        model: the champion; it is left as it is.
        graph: at the newest revision.
        raw: its unscaled block vectors of all nodes.
        new: positions of the edges that the champion has not learned from.
        old: positions of those it has.
        seed: chooses what is replayed and what is kept aside.
    """
    rng = np.random.default_rng(seed)
    new, old = (_joining(graph, edges) for edges in (new, old))
    replayed = old[rng.permutation(len(old))[: max(LEAST_REPLAY, REPLAY * len(new))]]
    worth = len(old) / max(1, len(replayed))
    edges = np.concatenate([new, replayed])
    weight = np.concatenate([np.ones(len(new)), np.full(len(replayed), worth)]).astype(np.float32)
    movers, anchors = _ends(graph, edges)
    aligners: dict[str, Aligner] = {}
    vectors: dict[str, Array] = {}
    report: dict[str, JSON] = {"new_links": len(new), "replayed": len(replayed), "maps": {}}
    for block, x in raw.items():
        maps: dict[str, Array] = {}
        for modality in Places.of(graph).rows if block != PROBABILITIES else ():
            code = graph.modalities.index(modality)
            mine = np.flatnonzero(graph.modality[movers] == code)
            found = _map(x, movers[mine], anchors[mine], weight[mine], rng)
            if found is not None:
                maps[modality], report["maps"][f"{block}:{modality}"] = found
        aligners[block] = _corrected(model.aligners[block], maps)
        vectors[block] = _moved(x, graph, maps)
    out = replace(
        model,
        encoders=dict(model.encoders),
        aligners=aligners,
        refiners=dict(model.refiners),
        gates=dict(model.gates),
        meta=dict(model.meta),
    )
    return Adapted(out, vectors, report)


def _joining(graph: Graph, edges: Ints) -> Ints:
    """Those edges that tie items of two modalities together."""
    single = np.zeros(len(graph.src), np.bool_)
    single[corpus.instance_edges(graph)] = True
    edges = edges[single[edges]]
    item = Places.of(graph).at >= 0
    src, dst = graph.src[edges], graph.dst[edges]
    return np.asarray(edges[item[src] & item[dst] & (graph.modality[src] != graph.modality[dst])])


def _ends(graph: Graph, edges: Ints) -> tuple[Ints, Ints]:
    """Which end is moved, and where to: texts stay where they are."""
    src, dst = graph.src[edges].astype(np.int64), graph.dst[edges].astype(np.int64)
    texts = graph.modality[src] == (
        graph.modalities.index(Modality.TEXT) if Modality.TEXT in graph.modalities else -1
    )
    return np.where(texts, dst, src), np.where(texts, src, dst)


def _map(
    x: Array, movers: Ints, anchors: Ints, weight: Array, rng: np.random.Generator
) -> tuple[Array, JSON] | None:
    """``I + W`` for one modality in one space, and how it was chosen; None if still is best."""
    there = np.any(x[movers], axis=1) & np.any(x[anchors], axis=1)
    movers, anchors, weight = movers[there], anchors[there], weight[there]
    if len(movers) < FEWEST_PAIRS:
        return None
    side = rng.random(len(movers)) < min(HELD_SHARE, MOST_HELD / len(movers))
    if not side.any() or side.all():
        return None
    a, b = normalise(x[movers]), normalise(x[anchors])
    gallery = np.unique(np.concatenate([movers[side], rng.permutation(movers)[:GALLERY]]))
    answer = np.searchsorted(gallery, movers[side])
    items = normalise(x[gallery])
    before = _log_ranks(b[side], items, answer)
    best: tuple[float, Array, JSON] | None = None
    for strength, w in corrections(a[~side], b[~side], weight[~side], STRENGTHS):
        gain = before - _log_ranks(b[side], normalise(mapped(items, w)), answer)
        gained, unsure = float(gain.mean()), float(gain.std() / np.sqrt(len(gain)))
        if gained > 2 * unsure and (best is None or gained > best[0]):
            best = gained, w, {"strength": strength, "log_rank_gain": round(gained, 4)}
    return None if best is None else (best[1], best[2])


def _log_ranks(queries: Array, items: Array, answer: Ints) -> Array:
    scores = queries @ items.T
    own = scores[np.arange(len(scores)), answer][:, None]
    return np.asarray(np.log(0.5 + (scores > own).sum(1) + 0.5 * (scores == own).sum(1)))


def _corrected(aligner: Aligner, maps: Mapping[str, Array]) -> Aligner:
    if not maps:
        return aligner
    base = aligner if isinstance(aligner, AdaptedAligner) else AdaptedAligner(aligner)
    return base.corrected(maps)


def _moved(x: Array, graph: Graph, maps: Mapping[str, Array]) -> Array:
    """The corrected aligner's vectors, from those of the one before."""
    if not maps:
        return x
    out = x.copy()
    for modality, w in maps.items():
        rows = graph.rows_of(modality)
        out[rows] = mapped(x[rows], w)
    return out
