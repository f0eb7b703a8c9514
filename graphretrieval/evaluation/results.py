"""What an evaluation comes to: rows of figures, their means, and what is surely better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphretrieval import metrics, render
from graphretrieval.types import JSON, Array, Bools, Ints

FUSED = "default"
#: The slice of all directions together.
POOLED = "pooled"
#: What is compared between controls, query by query.
COMPARED = ("ap", "mrr", "recall@10")
#: A row, and what each of its queries scored where it counts among the means.
Row = tuple[dict[str, JSON], Mapping[str, Array] | None]
#: One number for each query of each direction.
Directions = Sequence[Array]
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
) -> tuple[dict[str, JSON], dict[str, Array]]:
    """A direction's row, and each metric of its queries."""
    values = metrics.evaluate(scores, d.right)
    kept = d.right.any(axis=1)
    row: dict[str, JSON] = {
        "method": method,
        "relevance": relevance,
        "source": d.source,
        "target": d.target,
        "slice": d.slice,
        **_means_of(values),
        "hubness@10": metrics.hubness(scores[kept]),
        "chance_map": float(metrics.chance_map(d.right[kept]).mean()),
        "n_query": int(kept.sum()),
        "n_gallery": len(d.gallery),
    }
    return row, values


def _means_of(values: Mapping[str, Array]) -> dict[str, JSON]:
    return {"map" if name == "ap" else name: float(v.mean()) for name, v in values.items()}


def summary(values: Sequence[Directions]) -> dict[str, JSON]:
    """Mean over seeds and directions of mean AP, and its bootstrap interval over queries."""
    lo, hi = metrics.interval(_means(values))
    return {"mean_map": float(np.mean([v.mean() for s in values for v in s])), "ci95": [lo, hi]}


def compared(
    a: str, b: str, metric: str, scores: Mapping[str, Sequence[Directions]]
) -> dict[str, JSON]:
    """Paired bootstrap over queries of the difference of means over seeds and directions."""
    gaps = [
        [x - y for x, y in zip(one, other, strict=True)]
        for one, other in zip(scores[a], scores[b], strict=True)
    ]
    means = _means(gaps)
    return {
        "a": a,
        "b": b,
        "metric": "map" if metric == "ap" else metric,
        "difference": float(np.mean([g.mean() for s in gaps for g in s])),
        "ci95": list(metrics.interval(means)),
        "p": metrics.two_sided(means),
    }


def _means(values: Sequence[Directions]) -> Array:
    """Means over seeds and directions of resampled means over queries, ``(draws,)``.

    Seeds draw the same queries: the same ones asked again are no further evidence.
    """
    drawn = [metrics.resampled_means(v, seed=i) for s in values for i, v in enumerate(s)]
    return np.asarray(np.mean(drawn, axis=0), np.float32)


def pooled(values: Sequence[Mapping[str, Array]], rows: Sequence[Mapping[str, Any]]) -> Row:
    """All questions as one direction; what is chance or of a gallery is a mean over them."""
    together = {name: np.concatenate([v[name] for v in values]) for name in values[0]}
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
    return row, together


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
        render.print_rows(result.paired, ("metric", "a", "b", "difference", "ci95", "p"))
    if result.calibration:
        _print_calibration(result.calibration)


def _print_calibration(rows: Sequence[dict[str, JSON]]) -> None:
    """The calibration error of each direction, then the bins of all together, as things are."""
    columns = ["control", "seed", "source", "target", "slice", "top", "pairs"]
    render.print_rows(rows, [*columns, "expected_calibration_error", "by_luck"])
    pooled = [row for row in rows if (row["control"], row["slice"]) == ("full", POOLED)]
    bins = [{**row, **b} for row in pooled for b in row["bins"]]
    render.print_rows(bins, ("seed", "top", "from", "to", "pairs", "said", "right"))
