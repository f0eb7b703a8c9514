"""The benchmark beside the embedded store measures what it says, on a small graph."""

from __future__ import annotations

import numpy as np

from graphretrieval.evaluation import neo4j_bench
from graphretrieval.stores.bolt import Bolt
from tests.conftest import Server


def test_both_stores_give_the_same_on_a_small_graph(empty_neo4j: Server) -> None:
    bolt = Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20)
    found = neo4j_bench.compare(bolt, 400)
    assert found["neo4j"] == empty_neo4j.version
    assert found["two_hop_ms"]["equal"]
    assert found["paths_ms"]["equal_of_50"] == 50
    assert found["vector_top10"]["neo4j"]["recall"] >= 0.98
    assert found["load"]["neo4j"]["nodes_per_s"] > 0


def test_the_graph_is_skewed_simple_and_repeatable() -> None:
    a, b = neo4j_bench.generate(2_000, seed=1), neo4j_bench.generate(2_000, seed=1)
    assert np.array_equal(a.src, b.src)
    assert np.array_equal(a.vectors, b.vectors)
    assert len(np.unique(a.src * a.n + a.dst)) == len(a.src)
    assert not np.any(a.src == a.dst)
    degree = np.bincount(a.dst, minlength=a.n)
    assert degree.max() > 10 * degree.mean()
    np.testing.assert_allclose(np.linalg.norm(a.vectors, axis=1), 1, atol=1e-5)
