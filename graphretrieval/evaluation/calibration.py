"""How sure the first hits are said to be, and how often they are right.

What ``evaluate --calibration --out ROWS.json`` measured, as Markdown with a chart:

    python -m graphretrieval.evaluation.calibration ROWS.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from graphretrieval import metrics
from graphretrieval.arrays import top_k
from graphretrieval.evaluation.results import POOLED, Direction
from graphretrieval.types import JSON, Array, Bools

#: How many of each query's hits are looked at: its best one, and what people look at first.
TOPS = (1, 5)


@dataclass(frozen=True)
class Told:
    """What is said of the first hits of a direction's queries that have a right answer."""

    direction: Direction
    said: Array = field(repr=False)  # (q, 5)
    right: Bools = field(repr=False)  # (q, 5)

    @classmethod
    def of(cls, d: Direction, scores: Array, sure: Array) -> Told:
        """From scores and confidences of the whole gallery, both ``(q, g)``."""
        asked = d.right.any(axis=1)
        _, columns = top_k(scores[asked], max(TOPS))
        said = np.take_along_axis(sure[asked], columns, axis=1)
        return cls(d, said, np.take_along_axis(d.right[asked], columns, axis=1))


def calibration(told: Sequence[Told]) -> Iterator[dict[str, JSON]]:
    """Rows of each direction, then of all together, for the best hit and for the first five.

    All together are those that are no parts of others, so that no question counts twice.
    """
    for t in told:
        d = t.direction
        yield from _rows({"source": d.source, "target": d.target, "slice": d.slice}, [t])
    whole = [t for t in told if t.direction.whole]
    if whole:
        yield from _rows({"source": "any", "target": "any", "slice": POOLED}, whole)


def _rows(about: dict[str, JSON], parts: Sequence[Told]) -> Iterator[dict[str, JSON]]:
    for top in TOPS:
        said = np.concatenate([t.said[:, :top].ravel() for t in parts])
        right = np.concatenate([t.right[:, :top].ravel() for t in parts])
        told = metrics.reliability(said, right)
        yield {**about, "top": top, **told, "by_luck": round(_luck(said), 4)}


def _luck(said: Array) -> float:
    """The calibration error expected of so many confidences ``(n,)`` if each were true.

    E|Σ (right − said)| of a bin is about √(2/π · Σ said (1 − said)), if its hits are independent.
    """
    spread = np.bincount(metrics.bin_of(said), said.astype(np.float64) * (1 - said), metrics.BINS)
    return float(np.sqrt(2 / np.pi * spread).sum() / max(1, len(said)))


def markdown(row: Mapping[str, Any]) -> str:
    """One row as a table and a chart of its bins."""
    bins = row["bins"]
    hits = "best hits" if row["top"] == 1 else f"first {row['top']} hits"
    table = [
        f"| {_short(b['from'], 1)} – {_short(b['to'], 1)} | {b['pairs']} "
        f"| {_short(b['said'])} | {_short(b['right'])} |"
        for b in bins
    ]
    chart = [
        f'title "{hits}: said (x) and right (bars), line: perfect calibration"',
        f'x-axis "said" [{", ".join(_short(b["said"], 2) for b in bins)}]',
        'y-axis "right" 0 --> 1',
        f"bar [{', '.join(_short(b['right']) for b in bins)}]",
        f"line [{', '.join(_short(b['said']) for b in bins)}]",
    ]
    lines = [
        f"| said | {hits} | mean said | right |",
        "|---|---|---|---|",
        *table,
        "",
        "```mermaid",
        "xychart-beta",
        *(f"  {line}" for line in chart),
        "```",
        "",
        f"Expected calibration error {_short(row['expected_calibration_error'])} "
        f"({row['pairs']} {hits}; luck alone would make {_short(row['by_luck'])}).",
    ]
    return "\n".join(lines)


def _short(x: float, places: int = 3) -> str:
    return f"{x:.{places}f}".removeprefix("0") if x else "0"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what a file of results says of all directions together with the true graph."""
    parser = argparse.ArgumentParser(prog="python -m graphretrieval.evaluation.calibration")
    parser.add_argument("rows", type=Path, help="what evaluate --calibration --out wrote")
    rows = json.loads(parser.parse_args(arguments).rows.read_text("utf-8"))["calibration"]
    whole = [r for r in rows if (r["control"], r["slice"], r["seed"]) == ("full", POOLED, 0)]
    print("\n\n".join(map(markdown, whole)))


if __name__ == "__main__":
    main()
