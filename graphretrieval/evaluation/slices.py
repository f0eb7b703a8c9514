"""Parts of a test's queries, looked at apart: by what they are, or by what their answers are.

lang      the language of a text, without its variant
parallel  the same, but only texts of things that are asked for in more than one language: what is
          compared are languages, not what happens to be described in them
size      the size of the query's category: ``head`` from the median of the categories asked for up
direct    ``yes``: a link of single items, perhaps a hidden one, ties the query to a right answer;
          ``no``: its answers are two links away, or only share its category
alike     ``yes``: a right answer and a wrong one are nearest to each other in content, or one of
          them to the other, and as near as the nearest quarter of such neighbours are

Anything else is an attribute or property of nodes, such as ``source``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from graphretrieval.arrays import normalise
from graphretrieval.errors import QueryError
from graphretrieval.evaluation.results import Direction
from graphretrieval.retriever import corpus
from graphretrieval.types import IN_CATEGORY, Array, Bools, Graph, Ints, Node

LANG, PARALLEL, SIZE, DIRECT, ALIKE = "lang", "parallel", "size", "direct", "alike"
KEYS = (LANG, PARALLEL, SIZE, DIRECT, ALIKE)
# a mean of fewer queries says nothing
LEAST = 10
# of the items of a gallery, by how near their nearest neighbour is: the share that has look-alikes
NEAREST = 0.25
# items compared at once
PAGE = 1024

_Strings = npt.NDArray[np.str_]


def check(keys: Sequence[str], nodes: Iterable[Node]) -> None:
    """See that all can be sliced by.

    Raises:
        QueryError: a key is no known one, and no node has such a property.
    """
    left = {key for key in keys if key not in KEYS}
    if not left:
        return
    properties: set[str] = set()
    for node in nodes:
        properties |= node.properties.keys()
        left -= {key for key in left if key in node.properties or getattr(node, key, None)}
        if not left:
            return
    raise QueryError(
        f"there is no slice {sorted(left)[0]!r}, and no item has such a property",
        remedy=f"choose from {', '.join([*KEYS, *sorted(properties)])}",
    )


def slices(
    keys: Sequence[str],
    d: Direction,
    graph: Graph,
    nodes: Mapping[int, Node],
    content: Array,
) -> Iterator[tuple[str, Bools]]:
    """Names of slices, and which queries ``(q,)`` are in each.

    Args:
        keys: ``lang``, ``parallel``, ``size``, ``direct``, ``alike``, or any attribute or property
            of nodes, such as ``source``.
        d: the queries, the gallery and what is right.
        graph: with all its categories and links.
        nodes: by graph row.
        content: ``(g, d)`` features of the gallery, zeros where there are none.
    """
    for key in keys:
        values = _of(key, d, graph, nodes, content)
        for value in np.unique(values[values != ""]):
            mask = values == value
            if mask.sum() >= LEAST:
                yield f"{key}={value}", mask


def _of(
    key: str, d: Direction, graph: Graph, nodes: Mapping[int, Node], content: Array
) -> _Strings:
    """What each query ``(q,)`` is; empty where it is in no slice."""
    if key == SIZE:
        return _sizes(d.queries, graph)
    if key == PARALLEL:
        return _parallel(d, graph, nodes)
    if key == DIRECT:
        return _yes_or_no(d, _linked(d, graph))
    if key == ALIKE:
        return _yes_or_no(d, _look_alike(d, content))
    return _values(key, d.queries, nodes)


def _values(key: str, queries: Ints, nodes: Mapping[int, Node]) -> _Strings:
    said = []
    for row in queries.tolist():
        node = nodes[row]
        value = getattr(node, key, None) or node.properties.get(key) or ""
        said.append(str(value).split("_")[0] if key == LANG else str(value))
    return np.array(said)


def _parallel(d: Direction, graph: Graph, nodes: Mapping[int, Node]) -> _Strings:
    """Languages of the texts that have an answer and another language beside them."""
    lang = _values(LANG, d.queries, nodes)
    thing = corpus.parallel(graph, d.queries)
    asked = d.right.any(axis=1) & (thing >= 0) & (lang != "")
    each = np.unique(np.stack([thing, np.unique(lang, return_inverse=True)[1]])[:, asked], axis=1)
    things, languages = np.unique(each[0], return_counts=True)
    return np.where(asked & np.isin(thing, things[languages > 1]), lang, "")


def _sizes(queries: Ints, graph: Graph) -> _Strings:
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


def _yes_or_no(d: Direction, mask: Bools) -> _Strings:
    return np.where(d.right.any(axis=1), np.where(mask, "yes", "no"), "")


def _linked(d: Direction, graph: Graph) -> Bools:
    """Which queries ``(q,)`` one link of single items ties to a right answer."""
    edges, n = corpus.instance_edges(graph), len(graph.ids)
    links = csr_matrix((np.ones(len(edges)), (graph.src[edges], graph.dst[edges])), (n, n))
    near = (links + links.T)[d.queries][:, d.gallery]
    return np.asarray(near.multiply(d.right).toarray().any(axis=1), np.bool_)


def _look_alike(d: Direction, content: Array) -> Bools:
    """Which queries ``(q,)`` have a wrong item that looks like a right one."""
    first, near = _neighbours(content)
    twins = np.flatnonzero((near >= np.quantile(near, 1 - NEAREST)) & (near > 0))
    g = len(content)
    pairs = csr_matrix((np.ones(len(twins)), (twins, first[twins])), (g, g))
    beside = csr_matrix(d.right, dtype=np.float64) @ (pairs + pairs.T)  # (q, g)
    return np.asarray(((beside.toarray() > 0) & ~d.right).any(axis=1), np.bool_)


def _neighbours(content: Array) -> tuple[Ints, Array]:
    """The nearest other item of each ``(g,)``, and its cosine."""
    unit, g = normalise(content), len(content)
    first, near = np.empty(g, np.int64), np.empty(g, np.float32)
    for start in range(0, g, PAGE):
        scores = unit[start : start + PAGE] @ unit.T  # (page, g)
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -np.inf
        first[start + rows] = scores.argmax(axis=1)
        near[start + rows] = scores[rows, first[start + rows]]
    return first, near
