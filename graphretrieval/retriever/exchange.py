"""The graph for other libraries: networkx and torch-geometric, loaded only when asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from graphretrieval.types import Array, Graph, Node

if TYPE_CHECKING:
    import networkx
    import torch_geometric.data


def to_networkx(graph: Graph, nodes: Iterable[Node]) -> networkx.MultiDiGraph:
    """A MultiDiGraph: node attributes as in :class:`Node`, edges keyed by their relation."""
    import networkx

    out = networkx.MultiDiGraph(revision=graph.revision)
    names = [f.name for f in fields(Node) if f.name != "id"]
    for node in nodes:
        values = {name: getattr(node, name) for name in names}
        out.add_node(node.id, **{k: v for k, v in values.items() if v is not None})
    for s, d, r, w in zip(graph.src, graph.dst, graph.relation, graph.weight, strict=True):
        out.add_edge(graph.ids[s], graph.ids[d], key=graph.relations[r], weight=float(w))
    return out


def to_pyg(
    graph: Graph, vectors: Mapping[str, Array] | None = None
) -> torch_geometric.data.HeteroData:
    """Heterogeneous data: a node type for each modality, an edge type for each triple.

    Args:
        graph: the graph.
        vectors: modality → ``(n_modality, dim)``, rows as ``graph.rows_of(modality)``.

    Returns:
        ``data[modality].ids``, ``.x`` where vectors are given; ``data[a, RELATION, b].edge_index``
        ``(2, m)`` and ``.edge_weight`` ``(m,)``.
    """
    import torch
    from torch_geometric.data import HeteroData

    data = HeteroData()
    at = np.zeros(len(graph.ids), np.int64)
    for modality in graph.modalities:
        rows = graph.rows_of(modality)
        at[rows] = np.arange(len(rows))
        data[modality].num_nodes = len(rows)
        data[modality].ids = [graph.ids[i] for i in rows]
        if vectors is not None and modality in vectors:
            data[modality].x = torch.from_numpy(np.ascontiguousarray(vectors[modality]))
    kinds = np.stack([graph.modality[graph.src], graph.relation, graph.modality[graph.dst]], 1)
    for a, r, b in np.unique(kinds, axis=0).tolist():
        mine = np.flatnonzero((kinds == (a, r, b)).all(axis=1))
        store = data[graph.modalities[a], graph.relations[r], graph.modalities[b]]
        ends = np.stack([at[graph.src[mine]], at[graph.dst[mine]]])
        store.edge_index = torch.from_numpy(ends)
        store.edge_weight = torch.from_numpy(np.asarray(graph.weight[mine], np.float32).copy())
    return data
