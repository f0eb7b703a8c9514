"""Forgetting: caches, models, nested fragments and files that others share."""

from __future__ import annotations

import numpy as np

from graphretrieval import lifecycle
from graphretrieval.retriever import Retriever
from graphretrieval.retriever.features import cache_of, content_key
from graphretrieval.types import PART_OF, Edge, FileStamp, Node

from .test_privacy import told  # noqa: F401


def test_features_of_what_was_forgotten_are_cached_no_longer(told: Retriever) -> None:  # noqa: F811
    cache = cache_of(told.config)
    keys = [content_key(n) for n in told.store.get(["letter#0", "img001"]) if n]
    cache.store("an encoder", keys, np.ones((2, 3), np.float32))
    certificate = lifecycle.forget(told, ["letter"])
    gone, left = cache.lookup("an encoder", keys)
    assert gone is None
    assert left is not None
    assert certificate["removed"]["cached_features"] >= 1


def test_a_stripped_model_keeps_no_vector_that_had_absorbed_what_was_forgotten(
    told: Retriever,  # noqa: F811
) -> None:
    before = told.bundles.load("v1")
    assert before is not None
    assert before[1].refined
    lifecycle.forget(told, ["letter"])
    for version in told.bundles.versions():
        found = told.bundles.load(version)
        assert found is not None
        assert found[1].raw
        assert not found[1].refined


def test_fragments_of_fragments_are_forgotten_with_their_source(told: Retriever) -> None:  # noqa: F811
    parts = [
        Node("letter/p1", "source"),
        Node("letter/p1#0", "text", text="topic1 deep", lang="en"),
    ]
    edges = [Edge("letter/p1", PART_OF, "letter"), Edge("letter/p1#0", PART_OF, "letter/p1")]
    told.store.upsert(parts, edges)
    lifecycle.forget(told, ["letter"])
    assert told.store.get(["letter/p1", "letter/p1#0"]) == [None, None]


def test_a_file_of_which_something_is_left_is_not_read_again(told: Retriever) -> None:  # noqa: F811
    nodes = [Node(f"row{i}", "text", "/shared/rows.csv", text=f"topic1 row {i}") for i in range(2)]
    told.store.upsert(nodes, [], [FileStamp("/shared/rows.csv", 1, 1, "x")])
    lifecycle.forget(told, ["row0"])
    assert "/shared/rows.csv" in told.store.files()
    lifecycle.forget(told, ["row1"])
    assert "/shared/rows.csv" not in told.store.files()
