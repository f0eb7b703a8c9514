"""Wrong graphs on purpose: what a result with the true graph must be better than.

full      everything as it is
no_graph  no edge is used for refining or walking
no_gnn    paths, but vectors are not refined
no_path   refined vectors, but no walks
rewired   each relation's targets permuted at random: same degrees, no meaning
dropped   half of the edges are missing

and, where missing links are ranked, ``no_cooccurrence``: ends that occur together say nothing.

Noise is what a real graph has of its own: some edges lead somewhere else (rewired 10 % to 50 %),
or an item is made known by false edges from everywhere (poisoned, 1 % of each relation's edges).
What aligners learn from is changed only where labels are few, as these travel along edges.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphretrieval.config import Config
from graphretrieval.retriever import corpus
from graphretrieval.retriever.material import Material
from graphretrieval.types import Graph

CONTROLS = ("full", "no_graph", "no_gnn", "no_path", "rewired", "dropped")
NO_COOCCURRENCE = "no_cooccurrence"
DROPPED_SHARE = 0.5
_REWIRED = {"rewired 10%": 0.1, "rewired 30%": 0.3, "rewired 50%": 0.5}
POISONED = "poisoned 1%"
POISONED_SHARE = 0.01
NOISE = (*_REWIRED, POISONED)


def controlled(
    material: Material, config: Config, control: str, seed: int
) -> tuple[Material, Config]:
    """The material and settings of one control, or of one kind of noise."""
    graph = material.messages
    if control == "no_graph":
        return replace(material, messages=graph.with_edges(np.empty(0, np.int64))), config
    if control == "no_gnn":
        return material, config.replace(refiner="none")
    if control == "no_path":
        return replace(material, paths=False), config
    if control == NO_COOCCURRENCE:
        return replace(material, cooccurrence=False), config
    if control == "rewired":
        return replace(material, messages=rewired(graph, seed)), config
    if control in _REWIRED:
        return replace(material, messages=rewired(graph, seed, _REWIRED[control])), config
    if control == POISONED:
        return replace(material, messages=poisoned(graph, seed)), config
    if control == "dropped":
        keep = np.random.default_rng(seed).random(len(graph.src)) >= DROPPED_SHARE
        return replace(material, messages=graph.with_edges(keep)), config
    return material, config


def learned_from(material: Material, truth: Material) -> Material:
    """A control's material where aligners learn from the same wrong links that carry messages.

    Categories stay as they are; the same material where the control leaves the messages alone.
    """
    changed = material.messages
    if changed is truth.messages:
        return material
    others = np.ones(len(material.graph.src), np.bool_)
    others[corpus.instance_edges(material.graph)] = False
    kept, links = material.graph.with_edges(others), corpus.instance_edges(changed)
    both = replace(
        kept,
        src=np.concatenate([kept.src, changed.src[links]]),
        dst=np.concatenate([kept.dst, changed.dst[links]]),
        relation=np.concatenate([kept.relation, changed.relation[links]]),
        weight=np.concatenate([kept.weight, changed.weight[links]]),
    )
    return replace(material, graph=both)


def rewired(graph: Graph, seed: int, share: float = 1.0) -> Graph:
    """A share of each relation's edges with their targets permuted at random."""
    dst = graph.dst.copy()
    rng = np.random.default_rng(seed)
    for code in range(len(graph.relations)):
        mine = np.flatnonzero(graph.relation == code)
        if share < 1:
            mine = np.sort(rng.permutation(mine)[: round(share * len(mine))])
        dst[mine] = dst[rng.permutation(mine)]
    return replace(graph, dst=dst)


def poisoned(graph: Graph, seed: int, share: float = POISONED_SHARE) -> Graph:
    """More edges of each relation, from random sources of it, all to one of its targets."""
    rng = np.random.default_rng(seed)
    false = [
        (rng.choice(graph.src[mine], round(share * len(mine))), rng.choice(graph.dst[mine]), code)
        for code in range(len(graph.relations))
        if len(mine := np.flatnonzero(graph.relation == code))
    ]
    more = [len(src) for src, _, _ in false]
    return replace(
        graph,
        src=np.concatenate([graph.src, *(src for src, _, _ in false)]),
        dst=np.append(graph.dst, np.repeat([dst for _, dst, _ in false], more)).astype(np.int32),
        relation=np.append(graph.relation, np.repeat([code for _, _, code in false], more)).astype(
            np.int16
        ),
        weight=np.append(graph.weight, np.ones(sum(more))).astype(np.float32),
    )
