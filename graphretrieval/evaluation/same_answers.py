"""Are the answers from Neo4j those of the embedded store? Asked with a collection's own words.

python -m graphretrieval.evaluation.same_answers museum.db neo4j://user@host --queries 200
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import numpy as np

from graphretrieval import config as settings
from graphretrieval.errors import QueryError
from graphretrieval.retriever import Retriever, open
from graphretrieval.types import JSON, SEARCHED

K = 10


def queries_of(kb: Retriever, n: int, seed: int = 0) -> list[tuple[str, str, str]]:
    """(kind, value, target): texts and nodes of the collection, to every modality in turn.

    Raises:
        QueryError: the collection holds no items.
    """
    rng = np.random.default_rng(seed)
    texts = [n for n in kb.store.nodes("text") if (n.text or "").strip()]
    items = [n.id for m in ("image", "audio") for n in kb.store.nodes(m)]
    if not texts and not items:
        raise QueryError("the collection holds no items", remedy="add some, and fit")
    out: list[tuple[str, str, str]] = []
    for i in range(n):
        target = SEARCHED[i % len(SEARCHED)]
        if texts and (i % 2 == 0 or not items):
            words = (texts[int(rng.integers(len(texts)))].text or "").split()
            out.append(("text", " ".join(words[: 1 + i % 8]), target))
        else:
            out.append(("node", items[int(rng.integers(len(items)))], target))
    return out


def compare(embedded: Retriever, there: Retriever, n: int = 200) -> dict[str, JSON]:
    """Share of queries with the same top 10 in the same order, and the mean overlap."""
    same, overlap = 0, []
    took: list[list[float]] = [[], []]
    asked = queries_of(embedded, n)
    for kind, value, target in asked:
        found = []
        for at, kb in enumerate((embedded, there)):
            started = time.perf_counter()
            words: dict[str, JSON] = {"text": value} if kind == "text" else {"node": value}
            answer = kb.search(**words, target=target, k=K)
            took[at].append(1000 * (time.perf_counter() - started))
            found.append([h.id for h in answer.hits])
        same += found[0] == found[1]
        shared = len({*found[0]} & {*found[1]})
        overlap.append(shared / len(found[0]) if found[0] else float(not found[1]))
    p50 = [round(float(np.median(t[5:] or t)), 1) for t in took]
    return {
        "queries": len(asked),
        "same_top10": same,
        "overlap": round(float(np.mean(overlap)), 4),
        "embedded_ms_p50": p50[0],
        "neo4j_ms_p50": p50[1],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both comparisons: by the exact index, and by Neo4j's own."""
    parser = argparse.ArgumentParser(prog="python -m graphretrieval.evaluation.same_answers")
    parser.add_argument("embedded")
    parser.add_argument("remote")
    parser.add_argument("--queries", type=int, default=200)
    given = parser.parse_args(arguments)
    config = settings.load()
    out = {}
    with open(given.embedded, config=config) as a:
        for index in ("exact", "store"):
            with open(given.remote, config=config.replace(index=index)) as b:
                out[index] = compare(a, b, given.queries)
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
