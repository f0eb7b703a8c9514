"""Queries are looked at apart by what they are and how common their category is."""

from __future__ import annotations

import numpy as np

from graphretrieval.evaluation.slices import LEAST, slices
from graphretrieval.stores.snapshot import of_rows
from graphretrieval.types import Graph, Node

COMMON, RARE = 3 * LEAST, LEAST + 2
N = COMMON + RARE


def world() -> tuple[Graph, dict[int, Node]]:
    """Texts of a common and a rare category, in two languages, of two sources and one of none."""
    ids = [f"t{i:03d}" for i in range(N)] + ["u-common", "u-rare"]
    modalities = ["text"] * N + ["category"] * 2
    edges = [
        (f"t{i:03d}", "IN_CATEGORY", "u-common" if i < COMMON else "u-rare", 1.0) for i in range(N)
    ]
    nodes = {
        i: Node(
            f"t{i:03d}",
            "text",
            lang="zh_CN" if i % 2 else "zh_TW" if i % 4 else "en",
            properties={"source": "museum" if i < LEAST else "web"} if i else {},
        )
        for i in range(N)
    }
    return of_rows(ids, modalities, edges, 1), nodes


def named(*keys: str) -> dict[str, int]:
    graph, nodes = world()
    return {k: int(m.sum()) for k, m in slices(keys, np.arange(N), graph, nodes)}


def test_common_and_rare_categories_are_head_and_tail() -> None:
    graph, nodes = world()
    found = dict(slices(["size"], np.arange(N), graph, nodes))
    np.testing.assert_array_equal(np.flatnonzero(found["size=head"]), np.arange(COMMON))
    np.testing.assert_array_equal(np.flatnonzero(found["size=tail"]), np.arange(COMMON, N))


def test_variants_of_a_language_are_one() -> None:
    found = named("lang")
    assert set(found) == {"lang=zh", "lang=en"}
    assert sum(found.values()) == N


def test_a_property_is_a_slice_and_too_few_queries_are_none() -> None:
    assert named("source") == {"source=web": N - LEAST}  # nine of the museum say nothing


def test_what_no_node_has_is_no_slice() -> None:
    assert named("colour") == {}
