"""Intervals are as wide as chance: a query that asks twice is one piece of evidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from graphretrieval import metrics
from graphretrieval.evaluation.results import (
    COMPARED,
    Answered,
    Direction,
    compared,
    comparisons,
    measured,
    pooled,
    summary,
)
from graphretrieval.types import Array, Ints


def answered(
    values: Array, queries: Ints | None = None, source: str = "image", part: str = "all"
) -> Answered:
    rows = np.arange(len(values)) if queries is None else queries
    return Answered(source, part, rows, {name: np.asarray(values, np.float32) for name in COMPARED})


def p_of(gaps: Sequence[Answered], runs: int = 1) -> float:
    """That of a comparison in which the other control scores nothing."""
    none = [answered(np.zeros(len(g.queries)), g.queries, g.source) for g in gaps]
    found = compared("full", "none", "ap", {"full": [gaps] * runs, "none": [none] * runs})
    return float(found["p"])


@pytest.mark.parametrize("seeds", [1, 2])
def test_where_nothing_differs_few_comparisons_of_dependent_directions_seem_sure(
    seeds: int,
) -> None:
    rng = np.random.default_rng(0)
    worlds, n = 400, 100
    low = 0
    for _ in range(worlds):
        gaps = []
        for s, source in enumerate(("image", "text", "audio")):
            rows = s * n + np.arange(n)
            common = rng.normal(size=n)
            for _ in range(2):  # one node asks two galleries, and is as lucky in both
                value = np.sqrt(0.8) * common + np.sqrt(0.2) * rng.normal(size=n)
                gaps.append(answered(value, rows, source))
        low += p_of(gaps, seeds) < 0.05
    assert 0.025 < low / worlds < 0.08


def test_questions_of_one_node_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    value, rows = rng.normal(0.2, 1, 80), np.arange(80)
    once = summary([[answered(value)]])
    rows_of = [{"method": "m", "relevance": "instance", "n_query": 80}] * 4
    gallery = {"hubness@10": 0.0, "chance_map": 0.1, "n_gallery": 9}
    _, four = pooled([answered(value, rows)] * 4, [{**row, **gallery} for row in rows_of])
    assert four is not None
    assert len(four.queries) == 320
    assert summary([[four]])["ci95"] == pytest.approx(once["ci95"], abs=1e-9)


def test_an_interval_of_one_direction_is_the_bootstraps() -> None:
    value = np.random.default_rng(0).random(50).astype(np.float32)
    found = summary([[answered(value)]])
    assert found["ci95"] == pytest.approx(metrics.bootstrap(value), abs=1e-9)
    assert found["mean_map"] == pytest.approx(value.mean(), abs=1e-6)


def test_seeds_with_the_same_queries_make_no_interval_narrower_and_others_do() -> None:
    rng = np.random.default_rng(0)
    first, second = (answered(rng.random(100), i * 100 + np.arange(100)) for i in range(2))

    def width(*runs: Answered) -> float:
        lo, hi = summary([[run] for run in runs])["ci95"]
        return float(hi - lo)

    assert width(first, first) == pytest.approx(width(first), abs=1e-9)
    assert width(first, second) == pytest.approx(width(first) / np.sqrt(2), rel=0.2)


def test_a_direction_that_hardly_anybody_asks_has_an_interval_too() -> None:
    few = answered(np.array([0.9]), np.array([7]))
    many = answered(np.linspace(0, 1, 40))
    lo, hi = summary([[many, few]])["ci95"]
    assert 0 < lo < summary([[many, few]])["mean_map"] < hi < 1


def test_parts_of_a_direction_count_in_no_mean_and_are_compared_apart() -> None:
    value, rows = np.linspace(0, 1, 60), np.arange(60)
    whole = answered(value)
    parts = [
        answered(value[mine], rows[mine], part=part)
        for part, mine in (("described", rows >= 20), ("undescribed", rows < 20))
    ]
    assert summary([[whole, *parts]]) == summary([[whole]])
    runs = {"full": [[whole, *parts]], "no_graph": [[answered(0 * value), *parts]]}
    found = {(c["metric"], c["slice"]): c for c in comparisons(runs)}
    assert list(found) == [
        (metric, part)
        for part in ("all", "described", "undescribed")
        for metric in ("map", "mrr", "recall@10")
    ]
    assert found["map", "all"]["difference"] == pytest.approx(0.5, abs=1e-6)
    assert found["map", "described"]["difference"] == 0


def test_languages_count_where_there_are_several() -> None:
    both = [answered(np.full(9, x), part=lang) for lang, x in (("en", 0.2), ("zh", 0.6))]
    parts = [answered(np.full(9, x), part=p) for p, x in (("described", 1), ("undescribed", 0))]
    assert summary([[*both, *parts]])["mean_map"] == pytest.approx(0.4, abs=1e-6)


def test_chance_and_size_are_those_of_what_each_query_is_asked_among() -> None:
    # an item is known to have 100 others, which are left out; one right answer, 20 wrong ones
    rng = np.random.default_rng(0)
    right = np.zeros((4000, 121), np.bool_)
    right[:, 0] = True
    scores = rng.random(right.shape).astype(np.float32)
    scores[:, 1:101] = -np.inf
    d = Direction("image", "text", np.arange(4000), np.arange(121), right)
    row, _ = measured("instance", d, "default", scores)
    assert row["n_gallery"] == 21
    assert row["chance_map"] == pytest.approx(np.mean(1 / np.arange(1, 22)), rel=1e-5)
    assert row["map"] == pytest.approx(row["chance_map"], rel=0.05)


def test_galleries_of_several_sizes_and_queries_without_an_answer() -> None:
    right = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]], np.bool_)
    scores = np.zeros((3, 4), np.float32)
    scores[0, 2:] = scores[1, 1] = scores[2, 0] = -np.inf
    d = Direction("image", "text", np.array([7, 8, 9]), np.arange(4), right)
    row, found = measured("instance", d, "default", scores)
    assert found.queries.tolist() == [7, 8]  # nothing right is left for the third
    assert (row["n_query"], row["n_gallery"]) == (2, 2)
    one, two = (np.mean(1 / np.arange(1, n + 1)) for n in (2, 3))
    assert row["chance_map"] == pytest.approx((one + two) / 2, abs=1e-6)


def test_a_difference_is_how_much_better_the_first_is_from_either_side() -> None:
    rng = np.random.default_rng(0)
    better, worse = rng.normal(0.55, 0.1, 80), rng.normal(0.5, 0.1, 80)
    runs = {"full": [[answered(better)]], "rewired": [[answered(worse)]]}
    found, back = (
        compared(*ends, "ap", runs) for ends in (("full", "rewired"), ("rewired", "full"))
    )
    assert found["difference"] == pytest.approx(float((better - worse).mean()), abs=1e-6)
    lo, hi = found["ci95"]
    assert 0 < lo < found["difference"] < hi
    assert back["difference"] == pytest.approx(-found["difference"])
    assert back["ci95"] == pytest.approx([-hi, -lo])
    assert back["p"] == found["p"] < 0.05
