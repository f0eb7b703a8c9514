"""What `make bench` runs: each claim of speed beside what it is compared with, in one run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from graphretrieval.evaluation.planted import planted

NODES, QUICK = 50_000, 3_000


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmarks, print them, and write ``benchmarks.json`` into ``--out``."""
    parser = argparse.ArgumentParser(prog="python -m graphretrieval.evaluation.benchmarks")
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} nodes, to try it")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    found = {"planted": planted(QUICK if given.quick else NODES, given.seed)}
    text = json.dumps(found, ensure_ascii=False, indent=1)
    (given.out / "benchmarks.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
