"""Wrong graphs on purpose: what a result with the true graph must be better than.

full      everything as it is
no_graph  no edge is used for refining or walking
no_gnn    paths, but vectors are not refined
no_path   refined vectors, but no walks
rewired   each relation's targets permuted at random: same degrees, no meaning
dropped   half of the edges are missing
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphretrieval.config import Config
from graphretrieval.retriever.material import Material
from graphretrieval.types import Graph

CONTROLS = ("full", "no_graph", "no_gnn", "no_path", "rewired", "dropped")
DROPPED_SHARE = 0.5


def controlled(
    material: Material, config: Config, control: str, seed: int
) -> tuple[Material, Config]:
    """The material and settings of one control; what aligners learn from is never changed."""
    graph = material.messages
    if control == "no_graph":
        return replace(material, messages=graph.with_edges(np.empty(0, np.int64))), config
    if control == "no_gnn":
        return material, config.replace(refiner="none")
    if control == "no_path":
        return replace(material, paths=False), config
    if control == "rewired":
        return replace(material, messages=rewired(graph, seed)), config
    if control == "dropped":
        keep = np.random.default_rng(seed).random(len(graph.src)) >= DROPPED_SHARE
        return replace(material, messages=graph.with_edges(keep)), config
    return material, config


def rewired(graph: Graph, seed: int) -> Graph:
    """Each relation's edges with their targets permuted at random."""
    dst = graph.dst.copy()
    rng = np.random.default_rng(seed)
    for code in range(len(graph.relations)):
        mine = np.flatnonzero(graph.relation == code)
        dst[mine] = dst[rng.permutation(mine)]
    return replace(graph, dst=dst)
