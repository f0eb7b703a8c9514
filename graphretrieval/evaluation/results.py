"""What an evaluation comes to: rows of figures, their means, and what is surely better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphretrieval import metrics, render
from graphretrieval.metrics import Floats
from graphretrieval.types import JSON, Array, Bools, Ints

FUSED = "default"
#: The slice of all directions together.
POOLED = "pooled"
#: What is compared between controls, query by query.
COMPARED = ("ap", "mrr", "recall@10")
#: Slices of questions that are asked in another slice as well: what was stripped, and what was not.
DESCRIBED, UNDESCRIBED = "described", "undescribed"
PARTS = (DESCRIBED, UNDESCRIBED)
#: How often queries are drawn anew.
DRAWS = 1000
# cells of a table of draws that are held at once
_CELLS = 2_000_000
# what a pooled row has the mean of
_OF_GALLERY = ("hubness@10", "chance_map", "n_gallery")


@dataclass(frozen=True)
class Direction:
    """Queries of one modality over a gallery of another, and which answers are right."""

    source: str
    target: str
    queries: Ints = field(repr=False)
    gallery: Ints = field(repr=False)
    right: Bools = field(repr=False)
    slice: str = "all"

    @property
    def whole(self) -> bool:
        """Whether its questions count: a part's are asked in another direction, too."""
        return self.slice not in PARTS


@dataclass(frozen=True)
class Answered:
    """What each query of a direction that has an answer scored, and which nodes asked."""

    source: str
    slice: str
    queries: Ints = field(repr=False)  # (q,) graph rows, of which one may ask several times
    values: Mapping[str, Array] = field(repr=False)  # (q,) by each metric


#: A row, and what is behind it where means or comparisons are made of it.
Row = tuple[dict[str, JSON], Answered | None]
#: The directions of each seed.
Runs = Sequence[Sequence[Answered]]


@dataclass(frozen=True)
class Result:
    """Rows per direction and control, and what they add up to."""

    data: str
    protocol: Mapping[str, JSON]
    rows: list[dict[str, JSON]]
    summary: dict[str, dict[str, JSON]]
    paired: list[dict[str, JSON]]
    calibration: list[dict[str, JSON]]
    seconds: float
    peak_mb: float

    def to_json(self) -> dict[str, JSON]:
        """The result as ``evaluate --out`` writes it."""
        return {
            "data": self.data,
            "protocol": dict(self.protocol),
            "rows": self.rows,
            "summary": self.summary,
            "paired": self.paired,
            "calibration": self.calibration,
            "seconds": round(self.seconds, 1),
            "peak_mb": round(self.peak_mb, 1),
        }


def measured(
    relevance: str, d: Direction, method: str, scores: Array
) -> tuple[dict[str, JSON], Answered]:
    """A direction's row, and each metric of its queries.

    What scores −inf is not in a query's gallery: chance and size are those of what is left.
    """
    values = metrics.evaluate(scores, d.right)
    kept = metrics.answerable(scores, d.right)
    there = scores[kept] > -np.inf
    size = there.sum(axis=1)
    row: dict[str, JSON] = {
        "method": method,
        "relevance": relevance,
        "source": d.source,
        "target": d.target,
        "slice": d.slice,
        **_means_of(values),
        "hubness@10": metrics.hubness(scores[kept]),
        "chance_map": _chance(size, (d.right[kept] & there).sum(axis=1)),
        "n_query": int(kept.sum()),
        "n_gallery": round(float(size.mean())) if len(size) else len(d.gallery),
    }
    return row, Answered(d.source, d.slice, d.queries[kept], values)


def _chance(size: Ints, right: Ints) -> float:
    """Mean expected AP of a random order of so many items ``(q,)``, so many of them right."""
    each = [metrics.chance_map(np.arange(n) < right[size == n][:, None]) for n in np.unique(size)]
    return float(np.mean(np.concatenate(each))) if each else 0.0


def _means_of(values: Mapping[str, Array]) -> dict[str, JSON]:
    return {"map" if name == "ap" else name: float(v.mean()) for name, v in values.items()}


def summary(runs: Runs) -> dict[str, JSON]:
    """Mean over seeds and directions of mean AP, and its bootstrap interval over queries.

    Parts of directions count in no mean.
    """
    asked = [(d.source, d.queries, d.values["ap"]) for d in _of(runs, None)]
    lo, hi = metrics.interval(_means(asked))
    return {"mean_map": float(np.mean([v.mean() for *_, v in asked])), "ci95": [lo, hi]}


def comparisons(runs: Mapping[str, Runs]) -> list[dict[str, JSON]]:
    """The true graph against each control by each metric: all questions, then those of each part.

    Args:
        runs: of each control, the same directions for all.
    """
    there = {d.slice for run in runs["full"] for d in run}
    return [
        compared("full", other, name, runs, part)
        for part in (None, *(p for p in PARTS if p in there))
        for name in COMPARED
        for other in runs
        if other != "full"
    ]


def compared(
    a: str, b: str, metric: str, runs: Mapping[str, Runs], part: str | None = None
) -> dict[str, JSON]:
    """Paired bootstrap over queries of the difference of means over seeds and directions.

    Of all questions, or of those of one part.
    """
    gaps = [
        (x.source, x.queries, x.values[metric] - y.values[metric])
        for x, y in zip(_of(runs[a], part), _of(runs[b], part), strict=True)
    ]
    means = _means(gaps)
    return {
        "a": a,
        "b": b,
        "metric": "map" if metric == "ap" else metric,
        "slice": part or "all",
        "difference": float(np.mean([gap.mean() for *_, gap in gaps])),
        "ci95": list(metrics.interval(means)),
        "p": metrics.two_sided(means),
    }


def _of(runs: Runs, part: str | None) -> list[Answered]:
    """The directions of one part, or all those that are no parts."""
    each = [d for run in runs for d in run]
    return [d for d in each if (d.slice == part if part else d.slice not in PARTS)]


# a direction's source, the queries (q,) and a number for each (q,)
_Asked = tuple[str, Ints, Array]


def _means(asked: Sequence[_Asked]) -> Floats:
    """Means over directions of means over the queries drawn ``(draws,)``.

    What one picture finds among texts and among sounds hangs together, and the same query asked
    with another seed is no further evidence: the queries of a source are drawn once for all that
    they ask. A direction that none of those drawn asks is left out of that draw.
    """
    sources = dict.fromkeys(source for source, *_ in asked)
    each = [
        _redrawn([(rows, v) for source, rows, v in asked if source == mine], seed)
        for seed, mine in enumerate(sources)
    ]
    return np.asarray(np.nanmean(np.concatenate(each, axis=1), axis=1), np.float64)


def _redrawn(asked: Sequence[tuple[Ints, Array]], seed: int) -> Floats:
    """Mean of each direction in each draw of one source's queries ``(draws, k)``; NaN of none."""
    nodes = np.unique(np.concatenate([rows for rows, _ in asked]))
    n = len(nodes)
    at = [np.searchsorted(nodes, rows) for rows, _ in asked]
    count = np.stack([np.bincount(i, minlength=n) for i in at], axis=1)  # (n, k)
    total = np.stack(
        [np.bincount(i, v, minlength=n) for i, (_, v) in zip(at, asked, strict=True)], axis=1
    )
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // n)
    out = []
    for first in range(0, DRAWS, step):
        drawn = rng.integers(0, n, (min(step, DRAWS - first), n))
        cell = drawn + n * np.arange(len(drawn))[:, None]
        often = np.bincount(cell.ravel(), minlength=drawn.size).reshape(drawn.shape)
        size = often @ count  # (draws, k)
        out.append(np.where(size > 0, often @ total / np.maximum(size, 1), np.nan))
    return np.concatenate(out)


def pooled(found: Sequence[Answered], rows: Sequence[Mapping[str, Any]]) -> Row:
    """All questions as one direction; what is chance or of a gallery is a mean over them."""
    names = found[0].values
    together = {name: np.concatenate([d.values[name] for d in found]) for name in names}
    count = np.array([row["n_query"] for row in rows])
    of = {k: float(np.average([row[k] for row in rows], weights=count)) for k in _OF_GALLERY}
    row: dict[str, JSON] = {
        **{name: rows[0][name] for name in ("method", "relevance")},
        "source": "any",
        "target": "any",
        "slice": POOLED,
        **_means_of(together),
        **of,
        "n_query": int(count.sum()),
        "n_gallery": round(of["n_gallery"]),
    }
    return row, Answered("any", POOLED, np.concatenate([d.queries for d in found]), together)


def print_result(result: Result) -> None:
    """The rows as a table, then each control's mean and what the graph is worth."""
    columns = ["control", "method", "source", "target", "slice", "map", "recall@1", "recall@10"]
    columns += ["precision@10", "ndcg@10", "mrr", "chance_map", "n_query", "n_gallery"]
    render.print_rows(result.rows, columns)
    summary = [
        {"control": c, "mean mAP": s["mean_map"], "95 % from": s["ci95"][0], "to": s["ci95"][1]}
        for c, s in result.summary.items()
    ]
    render.print_rows(summary, ("control", "mean mAP", "95 % from", "to"))
    if result.paired:
        render.print_rows(result.paired, ("metric", "slice", "a", "b", "difference", "ci95", "p"))
    if result.calibration:
        _print_calibration(result.calibration)


def _print_calibration(rows: Sequence[dict[str, JSON]]) -> None:
    """The calibration error of each direction, then the bins of all together, as things are."""
    columns = ["control", "seed", "source", "target", "slice", "top", "pairs"]
    render.print_rows(rows, [*columns, "expected_calibration_error", "by_luck"])
    pooled = [row for row in rows if (row["control"], row["slice"]) == ("full", POOLED)]
    bins = [{**row, **b} for row in pooled for b in row["bins"]]
    render.print_rows(bins, ("seed", "top", "from", "to", "pairs", "said", "right"))
