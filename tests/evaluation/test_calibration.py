"""What is said of the first hits is compared with how often they are right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from graphretrieval.evaluation import calibration as told
from graphretrieval.evaluation.results import Direction
from graphretrieval.types import JSON


def direction(right: np.ndarray, **more: str) -> Direction:
    q, g = right.shape
    return Direction("text", "image", np.arange(q), np.arange(g), right, **more)


def rows_of(d: Direction, sure: np.ndarray) -> Iterator[dict[str, JSON]]:
    """Rows where the surest hit is the first."""
    return told.calibration([told.Told.of(d, sure, sure)])


def test_the_best_hit_and_the_first_five_are_told_apart() -> None:
    sure = np.tile(np.float32([0.95, 0.65, 0.45, 0.25, 0.05, 0.01]), (4, 1))
    right = np.zeros((4, 6), np.bool_)
    right[:3, 0] = right[:2, 1] = right[3, 5] = True
    best, five, *pooled = rows_of(direction(right), sure)
    assert best["bins"] == [{"from": 0.9, "to": 1.0, "pairs": 4, "said": 0.95, "right": 0.75}]
    assert best["expected_calibration_error"] == pytest.approx(0.2)
    assert [(b["said"], b["right"]) for b in five["bins"]] == [
        (0.05, 0.0),
        (0.25, 0.0),
        (0.45, 0.0),
        (0.65, 0.5),
        (0.95, 0.75),
    ]
    assert (best["top"], best["pairs"], five["top"], five["pairs"]) == (1, 4, 5, 20)
    assert five["expected_calibration_error"] == pytest.approx(
        (0.05 + 0.25 + 0.45 + 0.15 + 0.2) / 5
    )
    assert [row["source"] for row in pooled] == ["any", "any"]


def test_scores_say_which_hits_are_first_and_queries_without_an_answer_are_left_out() -> None:
    scores = np.float32([[1, 2, 3], [3, 2, 1]])
    sure = np.float32([[0.1, 0.2, 0.3], [0.9, 0.9, 0.9]])
    right = np.array([[False, False, True], [False, False, False]])
    best, five, *_ = told.calibration([told.Told.of(direction(right), scores, sure)])
    assert best["bins"] == [
        {"from": 0.3, "to": 0.4, "pairs": 1, "said": pytest.approx(0.3), "right": 1.0}
    ]
    assert five["pairs"] == 3  # there are no more


def test_directions_are_pooled_once() -> None:
    right = np.ones((3, 2), np.bool_)
    sure = np.ones((3, 2), np.float32)
    found = [told.Told.of(direction(right, slice=s), sure, sure) for s in ("all", "described")]
    rows = list(told.calibration(found))
    assert [row["pairs"] for row in rows if row["top"] == 1] == [3, 3, 3]
    apart = [told.Told.of(direction(right, slice=s), sure, sure) for s in ("en", "zh")]
    assert [r["pairs"] for r in told.calibration(apart) if r["slice"] == "pooled"] == [6, 12]
    apart += [told.Told.of(direction(right, slice="undescribed"), sure, sure)]
    assert [r["pairs"] for r in told.calibration(apart) if r["slice"] == "pooled"] == [6, 12]


def test_true_confidences_are_off_by_luck_alone() -> None:
    rng = np.random.default_rng(0)
    said = rng.random((2000, 1)).astype(np.float32)
    off, luck = [], []
    for _ in range(20):
        right = rng.random((2000, 1)) < said
        # every query has an answer, which may be a second item that nobody finds
        both = np.concatenate([right, ~right], 1)
        sure = np.concatenate([said, np.zeros_like(said)], 1)
        best = next(rows_of(direction(both), sure))
        off.append(best["expected_calibration_error"])
        luck.append(best["by_luck"])
    assert np.mean(off) == pytest.approx(np.mean(luck), rel=0.15)


def test_a_file_of_results_becomes_a_table_and_a_chart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = np.array([[True, False]] * 4 + [[False, True]] * 4)
    sure = np.array([[0.5, 0.0]] * 7 + [[1.0, 0.0]], np.float32)
    rows = [
        {**row, "control": control, "seed": 0}
        for control in ("full", "no_graph")
        for row in rows_of(direction(right), sure)
    ]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"calibration": rows}), "utf-8")
    told.main([str(file)])
    out = capsys.readouterr().out
    assert out.count("xychart-beta") == 2  # of the true graph: the best hit, and the first five
    assert "| .5 – .6 | 7 | .500 | .571 |\n| .9 – 1.0 | 1 | 1.000 | 0 |" in out
    assert '  x-axis "said" [.50, 1.00]\n' in out
    assert "  bar [.571, 0]\n  line [.500, 1.000]\n" in out
    assert "Expected calibration error .188 (8 best hits; luck alone would make" in out
