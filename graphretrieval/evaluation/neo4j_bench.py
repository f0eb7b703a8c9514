"""Neo4j beside the embedded store on one graph in one run: load, 2-hop, paths, vectors, changes.

A graph with the skew of a real collection: out-degree 5, in-degree by a power law, vectors around
topics. Run it against a server of one's own (`graphretrieval neo4j start`), whose store is emptied.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphretrieval.arrays import adjacency, expand, normalise
from graphretrieval.errors import QueryError
from graphretrieval.indexes.exact import ExactIndex
from graphretrieval.protocols import GraphStore
from graphretrieval.stores import cypher, foreign, server
from graphretrieval.stores.bolt import Bolt
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.stores.replica import copy_into
from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import JSON, Array, Edge, Ints, Node, Space

NODES, DEGREE, DIM, TOPICS = 200_000, 5, 256, 2_000
NODE_BATCH, EDGE_BATCH = 5_000, 20_000
QUERIES, PATHS = 300, 200


@dataclass(frozen=True)
class Sample:
    """A generated graph with vectors ``(n, 256)``."""

    n: int
    src: Ints
    dst: Ints
    vectors: Array

    def nodes(self, start: int, stop: int) -> list[Node]:
        """Some of its nodes, with a text each."""
        return [
            Node(f"n{i:07d}", "text", title=f"item {i}", text=f"item {i} of topic {i % TOPICS}")
            for i in range(start, min(stop, self.n))
        ]

    def edges(self, start: int, stop: int) -> list[Edge]:
        """Some of its edges."""
        pairs = zip(self.src[start:stop].tolist(), self.dst[start:stop].tolist(), strict=True)
        return [Edge(f"n{s:07d}", "RELATED_TO", f"n{d:07d}") for s, d in pairs]


def generate(n: int, seed: int = 0) -> Sample:
    """Each node points at 5 others, popular ones more often; its vector lies near a topic's."""
    rng = np.random.default_rng(seed)
    src = np.repeat(np.arange(n), DEGREE)
    dst = np.minimum((n * rng.random(n * DEGREE) ** 2.2).astype(np.int64), n - 1)
    dst = rng.permutation(n)[dst]
    keys = np.unique(src * n + dst)
    src, dst = keys // n, keys % n
    keep = src != dst
    centres = normalise(rng.normal(size=(TOPICS, DIM)))
    noise = rng.normal(size=(n, DIM)).astype(np.float32) / np.float32(np.sqrt(DIM))
    return Sample(n, src[keep], dst[keep], normalise(centres[np.arange(n) % TOPICS] + noise))


def compare(bolt: Bolt, n: int = NODES, seed: int = 0) -> dict[str, JSON]:
    """All measurements; the database behind ``bolt`` is emptied first."""
    sample = generate(n, seed)
    _empty(bolt)
    there = Neo4jStore(bolt)
    out: dict[str, JSON] = {
        "nodes": n,
        "edges": len(sample.src),
        "neo4j": there.spaces.version(),
        "rust_ext": _has_rust(),
        "cpus": os.cpu_count(),
    }
    with tempfile.TemporaryDirectory(prefix="graphretrieval-bench-") as folder:
        here = SqliteStore(Path(folder) / "bench.db")
        out["load"] = {"sqlite": _load(here, sample), "neo4j": _load(there, sample)}
        out["load"]["neo4j"] |= _load_vectors(there, sample)
        out["two_hop_ms"] = _two_hop(here, there, sample, seed)
        out["paths_ms"] = _paths(here, there, sample, seed)
        out["vector_top10"] = _vectors(there, sample, seed)
        out["change_ms"] = _changes(here, there)
        out["copy_s"] = _copy(there, Path(folder) / "copy.db")
        out["foreign_scan_s"] = _scan(there, Path(folder) / "copy.db")
        here.close()
    there.close()
    return out


def _empty(bolt: Bolt) -> None:
    while bolt.run(cypher.wipe())[0]["n"]:
        pass
    for row in bolt.run(cypher.INDEXES):
        if row["type"] == "VECTOR":
            space, _, modality = str(row["name"])[::-1].partition("_rotcev_")
            bolt.run(cypher.drop_vector_index(space[::-1], modality[::-1]))


def _has_rust() -> bool:
    from importlib.util import find_spec

    return find_spec("neo4j._rust") is not None


def _load(store: GraphStore, sample: Sample) -> dict[str, JSON]:
    started = time.perf_counter()
    for at in range(0, sample.n, NODE_BATCH):
        store.upsert(sample.nodes(at, at + NODE_BATCH))
    nodes = time.perf_counter() - started
    started = time.perf_counter()
    for at in range(0, len(sample.src), EDGE_BATCH):
        store.upsert([], sample.edges(at, at + EDGE_BATCH))
    edges = time.perf_counter() - started
    return {
        "nodes_s": round(nodes, 2),
        "nodes_per_s": round(sample.n / nodes),
        "edges_s": round(edges, 2),
        "edges_per_s": round(len(sample.src) / edges),
    }


def _load_vectors(there: Neo4jStore, sample: Sample) -> dict[str, JSON]:
    """Vectors are written while no index follows them, then indexed at once."""
    space = Space("bench", DIM, "bench", 1.0, ("text",))
    ids = [f"n{i:07d}" for i in range(sample.n)]
    there.spaces.register(space)
    started = time.perf_counter()
    there.spaces.put(space, ids, sample.vectors)
    vectors = time.perf_counter() - started
    started = time.perf_counter()
    there.spaces.index(space)
    there.spaces.use("bench")
    return {
        "vectors_s": round(vectors, 2),
        "vectors_per_s": round(sample.n / vectors),
        "vector_index_s": round(time.perf_counter() - started, 2),
    }


def _two_hop(here: SqliteStore, there: Neo4jStore, sample: Sample, seed: int) -> dict[str, JSON]:
    graph = here.export()
    out = adjacency(graph, direction="out")
    asked = np.random.default_rng(seed + 1).integers(0, sample.n, QUERIES)

    def by_array(row: int) -> set[str]:
        _, at = expand(out.indptr, np.array([row]))
        first = out.indices[at]
        _, at = expand(out.indptr, first)
        return {graph.ids[int(i)] for i in np.unique(out.indices[at])}

    def by_cypher(row: int) -> set[str]:
        return set(there.two_hop(f"n{row:07d}"))

    same = all(by_array(int(r)) == by_cypher(int(r)) for r in asked[:20])
    return {
        "sqlite_csr": _timed(by_array, asked.tolist()),
        "neo4j": _timed(by_cypher, asked.tolist()),
        "equal": same,
    }


def _paths(here: SqliteStore, there: Neo4jStore, sample: Sample, seed: int) -> dict[str, JSON]:
    pairs = np.random.default_rng(seed + 2).integers(0, sample.n, (PATHS, 2))
    names = [(f"n{a:07d}", f"n{b:07d}") for a, b in pairs.tolist() if a != b]

    def by(store: GraphStore) -> Callable[[tuple[str, str]], Any]:
        return lambda pair: store.paths([pair[0]], [pair[1]], max_hops=4)[0]

    same = sum(by(here)(p) == by(there)(p) for p in names[:50])
    return {
        "sqlite_csr": _timed(by(here), names),
        "neo4j": _timed(by(there), names),
        "equal_of_50": same,
    }


def _vectors(there: Neo4jStore, sample: Sample, seed: int) -> dict[str, JSON]:
    rng = np.random.default_rng(seed + 3)
    queries = sample.vectors[rng.integers(0, sample.n, QUERIES)]
    queries = normalise(queries + rng.normal(size=queries.shape).astype(np.float32) / 32)
    exact = ExactIndex().build(sample.vectors)
    found: list[set[str]] = []

    def by_index(q: Array) -> None:
        found.append({i for i, _ in there.vector_search("bench", q[None], 10, modality="text")[0]})

    by_index(queries[0])  # the plan
    found.clear()
    neo4j_ms = _timed(by_index, list(queries), warm=0)
    truth = [{f"n{int(r):07d}" for r in exact.search(q[None], 10)[1][0]} for q in queries]
    recall = float(np.mean([len(a & b) / 10 for a, b in zip(found, truth, strict=True)]))
    exact_ms = _timed(lambda q: exact.search(q[None], 10), list(queries[:50]))
    return {"exact": {**exact_ms, "recall": 1.0}, "neo4j": {**neo4j_ms, "recall": round(recall, 4)}}


def _changes(here: SqliteStore, there: Neo4jStore) -> dict[str, JSON]:
    def write(store: GraphStore) -> Callable[[int], int]:
        return lambda i: store.upsert(
            [Node(f"new{i}", "text", text=f"new {i}")],
            [Edge(f"new{i}", "RELATED_TO", f"n{j:07d}") for j in range(3)],
        )

    return {"sqlite": _timed(write(here), range(100)), "neo4j": _timed(write(there), range(100))}


def _copy(there: Neo4jStore, path: Path) -> float:
    local = SqliteStore(path)
    started = time.perf_counter()
    copy_into(there, local)
    local.close()
    return round(time.perf_counter() - started, 2)


def _scan(there: Neo4jStore, path: Path) -> dict[str, JSON]:
    """How long it takes to see what others edited, where they edited nothing, and one thing."""
    local = SqliteStore(path)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        if foreign.notice(there, local) or foreign.notice_edges(there, local):
            raise QueryError("something was noticed, though nobody edited anything")
        seconds.append(round(time.perf_counter() - started, 2))
    polls = _timed(lambda _: there.bolt.bookmark(), range(200))
    local.close()
    return {"scan_s": seconds, "poll_ms": polls}


def _timed(call: Callable[[Any], Any], items: Sequence[Any], warm: int = 20) -> dict[str, JSON]:
    """Milliseconds of single calls: median and 99th percentile."""
    for item in items[:warm]:
        call(item)
    took = []
    for item in items:
        started = time.perf_counter()
        call(item)
        took.append(1000 * (time.perf_counter() - started))
    return {
        "p50": round(float(np.percentile(took, 50)), 3),
        "p99": round(float(np.percentile(took, 99)), 3),
    }


def run(cache: Path, n: int = NODES, *, heap_mb: int = 2048) -> dict[str, JSON]:
    """Start a server in a temporary folder, measure, and stop it."""
    import socket

    def free() -> int:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return int(s.getsockname()[1])

    with tempfile.TemporaryDirectory(prefix="graphretrieval-neo4j-") as folder:
        home = Path(folder)
        made = server.start(
            home, cache, bolt_port=free(), http_port=free(), heap_mb=heap_mb, page_cache_mb=1024
        )
        try:
            address = f"bolt://{made.bolt}"
            return compare(Bolt(address, (made.user, server.password(home)), quick=30), n)
        finally:
            server.stop(home)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures as JSON."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m graphretrieval.evaluation.neo4j_bench")
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/graphretrieval").expanduser())
    given = parser.parse_args(arguments)
    print(json.dumps(run(given.cache, given.nodes), indent=1))


if __name__ == "__main__":
    main()
