"""What `make bench` runs: each claim of speed beside what it is compared with, in one run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from graphretrieval.errors import ServerError
from graphretrieval.evaluation import neo4j_bench
from graphretrieval.evaluation.planted import planted

NODES, QUICK = 50_000, 3_000


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmarks, print them, and write ``benchmarks.json`` into ``--out``."""
    parser = argparse.ArgumentParser(prog="python -m graphretrieval.evaluation.benchmarks")
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} nodes, to try it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--neo4j",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also Neo4j beside the embedded store; needs Java and Maven",
    )
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    found = {"planted": planted(QUICK if given.quick else NODES, given.seed)}
    if given.neo4j:
        cache = Path("~/.cache/graphretrieval").expanduser()
        try:
            found["neo4j"] = neo4j_bench.run(cache, QUICK if given.quick else neo4j_bench.NODES)
            print(json.dumps(found["neo4j"], indent=1))
        except ServerError as e:
            print(f"Neo4j was not measured: {e}")
    text = json.dumps(found, ensure_ascii=False, indent=1)
    (given.out / "benchmarks.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
