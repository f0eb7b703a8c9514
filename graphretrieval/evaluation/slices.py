"""Parts of a test's queries, looked at apart: by language, source, or how common a category is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from graphretrieval.types import IN_CATEGORY, Bools, Graph, Ints, Node

#: By the size of the query's category: ``head`` from the median of the categories asked for up.
SIZE = "size"
#: By the language of a text, without its variant.
LANG = "lang"
# a mean of fewer queries says nothing
LEAST = 10


def slices(
    keys: Sequence[str], queries: Ints, graph: Graph, nodes: Mapping[int, Node]
) -> Iterator[tuple[str, Bools]]:
    """Names of slices, and which queries ``(q,)`` are in each.

    Args:
        keys: ``lang``, ``size``, or any attribute or property of nodes, such as ``source``.
        queries: graph rows.
        graph: with all its categories.
        nodes: by graph row.
    """
    for key in keys:
        values = _sizes(queries, graph) if key == SIZE else _values(key, queries, nodes)
        for value in np.unique(values[values != ""]):
            mask = values == value
            if mask.sum() >= LEAST:
                yield f"{key}={value}", mask


def _values(key: str, queries: Ints, nodes: Mapping[int, Node]) -> npt.NDArray[np.str_]:
    said = []
    for row in queries.tolist():
        node = nodes[row]
        value = getattr(node, key, None) or node.properties.get(key) or ""
        said.append(str(value).split("_")[0] if key == LANG else str(value))
    return np.array(said)


def _sizes(queries: Ints, graph: Graph) -> npt.NDArray[np.str_]:
    """``head`` or ``tail`` by the most populous category of each query; empty without one."""
    edges = graph.edges_of(IN_CATEGORY)
    members = np.bincount(graph.dst[edges], minlength=len(graph.ids))
    largest = np.zeros(len(graph.ids), np.int64)
    np.maximum.at(largest, graph.src[edges], members[graph.dst[edges]])
    size = largest[queries]
    mine = np.isin(graph.src[edges], queries)
    asked = members[np.unique(graph.dst[edges[mine]])]
    middle = np.median(asked) if len(asked) else 0
    return np.where(size == 0, "", np.where(size >= middle, "head", "tail"))
