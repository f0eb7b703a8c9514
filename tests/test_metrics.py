"""Metrics against trec_eval, against the mean over all orders of ties, and by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, permutations

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval import metrics
from graphretrieval.errors import ConfigError, InputRefused

CUTS = (1, 3, 5)


def trec(scores: np.ndarray, relevance: np.ndarray) -> dict[str, list[float]]:
    """What trec_eval says of each query that has a right answer."""
    q, g = scores.shape
    wanted = {f"q{i}": {f"d{j}": int(relevance[i, j]) for j in range(g)} for i in range(q)}
    run = {f"q{i}": {f"d{j}": float(scores[i, j]) for j in range(g)} for i in range(q)}
    cuts = ",".join(map(str, CUTS))
    names = ("map", "recip_rank", f"P.{cuts}", f"recall.{cuts}", f"success.{cuts}")
    measures = {*names, f"ndcg_cut.{cuts}"}
    found = pytrec_eval.RelevanceEvaluator(wanted, measures).evaluate(run)
    asked = [f"q{i}" for i in range(q) if (relevance[i] > 0).any()]
    theirs = {"ap": "map", "mrr": "recip_rank"}
    for k in CUTS:
        theirs |= {f"precision@{k}": f"P_{k}", f"found@{k}": f"recall_{k}"}
        theirs |= {f"recall@{k}": f"success_{k}", f"ndcg@{k}": f"ndcg_cut_{k}"}
    return {ours: [found[i][name] for i in asked] for ours, name in theirs.items()}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("grades", [2, 4])
def test_untied_rankings_score_as_trec_eval_says(seed: int, grades: int) -> None:
    rng = np.random.default_rng(seed)
    q, g = int(rng.integers(1, 12)), int(rng.integers(6, 40))
    scores = rng.permuted(np.tile(np.arange(g, dtype=np.float64), (q, 1)), axis=1)
    relevance = rng.integers(0, grades, (q, g)) * (rng.random((q, g)) < 0.4)
    ours = metrics.evaluate(scores, relevance, CUTS)
    theirs = trec(scores, relevance)
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, atol=1e-6, err_msg=name)


def orders(scores: np.ndarray) -> Iterator[np.ndarray]:
    """Every order of items that agrees with the scores."""
    for order in permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            yield np.array(order)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_tied_items_score_the_mean_over_all_their_orders(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    scores = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)), float)
    gain = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    if not gain.any():
        gain[data.draw(st.integers(0, n - 1))] = 1
    place = -np.arange(n, dtype=np.float64)  # a strict order has scores of its own
    every = [metrics.evaluate(place[None], gain[o][None], (1, 3)) for o in orders(scores)]
    tied = metrics.evaluate(scores[None], gain[None], (1, 3))
    for name, value in tied.items():
        mean = np.mean([one[name][0] for one in every])
        np.testing.assert_allclose(value[0], mean, atol=1e-6, err_msg=name)


def test_a_ranking_worked_out_by_hand() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.6]])
    relevance = np.array([[0, 1, 0, 1]])
    found = metrics.summary(metrics.evaluate(scores, relevance, (1, 2, 4)))
    assert found["ap"] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert found["mrr"] == pytest.approx(1 / 2)
    assert (found["recall@1"], found["recall@2"]) == (0, 1)
    assert (found["found@2"], found["found@4"]) == (0.5, 1)
    assert found["precision@4"] == 0.5
    best = 1 + 1 / np.log2(3)
    assert found["ndcg@4"] == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / best)


def test_any_of_five_captions_counts_for_recall_at_k() -> None:
    relevance = np.zeros((1, 20))
    relevance[0, 3:8] = 1
    found = metrics.evaluate(-np.arange(20.0)[None], relevance, (1, 5))
    assert found["recall@5"][0] == 1  # two of five are there, and one would do
    assert found["found@5"][0] == pytest.approx(2 / 5)
    assert found["recall@1"][0] == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_no_figure_depends_on_the_order_of_the_gallery(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (4, 15)).astype(np.float32)
    relevance = rng.integers(0, 3, (4, 15))
    order = rng.permutation(15)
    a, b = (
        metrics.evaluate(s, r)
        for s, r in ((scores, relevance), (scores[:, order], relevance[:, order]))
    )
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=1e-6)


def test_queries_without_a_right_answer_are_left_out() -> None:
    scores = np.array([[1.0, 2.0], [1.0, 2.0], [-np.inf, 2.0]])
    relevance = np.array([[0, 0], [0, 1], [1, 0]])
    assert metrics.answerable(scores, relevance).tolist() == [False, True, False]
    assert metrics.evaluate(scores, relevance)["ap"].tolist() == [1.0]


def test_items_outside_a_querys_gallery_neither_help_nor_stand_in_the_way() -> None:
    scores = np.array([[3.0, -np.inf, 1.0, -np.inf]])
    relevance = np.array([[0, 1, 1, 0]])
    inside = metrics.evaluate(scores[:, [0, 2]], relevance[:, [0, 2]])
    for name, value in metrics.evaluate(scores, relevance).items():
        assert value[0] == pytest.approx(inside[name][0]), name


def test_no_answerable_query_is_no_score_and_no_crash() -> None:
    found = metrics.evaluate(np.ones((2, 3)), np.zeros((2, 3)))
    assert metrics.summary(found)["ap"] == 0.0
    assert metrics.map_at(np.ones((2, 3)), np.zeros((2, 3)), 2, "found") == 0.0


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputRefused, match="1 scores are not a number"):
        metrics.evaluate(np.array([[1.0, np.nan]]), np.array([[1, 0]]))


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(InputRefused, match="scores are"):
        metrics.evaluate(np.ones((2, 3)), np.ones((3, 2)))


def test_small_blocks_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores, relevance = rng.integers(0, 5, (9, 7)).astype(float), rng.integers(0, 2, (9, 7))
    whole = metrics.evaluate(scores, relevance)
    monkeypatch.setattr(metrics, "_CHUNK_CELLS", 14)
    for name, value in metrics.evaluate(scores, relevance).items():
        np.testing.assert_array_equal(value, whole[name])


# --- chance ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "right"), [(1, 1), (4, 1), (5, 2), (6, 3), (6, 6)])
def test_chance_is_the_mean_over_all_orders(n: int, right: int) -> None:
    relevance = np.array([[1] * right + [0] * (n - right)])
    every = [
        metrics.evaluate(-np.arange(float(n))[None], relevance[:, list(o)])["ap"][0]
        for o in permutations(range(n))
    ]
    assert metrics.chance_map(relevance)[0] == pytest.approx(np.mean(every), abs=1e-6)


def test_equal_scores_for_all_are_worth_exactly_chance() -> None:
    relevance = (np.random.default_rng(0).random((6, 40)) < 0.2).astype(int)
    found = metrics.evaluate(np.zeros((6, 40)), relevance)["ap"]
    np.testing.assert_allclose(found, metrics.chance_map(relevance), atol=1e-6)


# --- mAP at a cut ---------------------------------------------------------------------------


def test_the_divisor_alone_can_double_a_map() -> None:
    scores = -np.arange(10.0)[None]
    relevance = np.array([[1, 0, 0, 0, 0, 1, 1, 1, 1, 1]])
    assert metrics.map_at(scores, relevance, 4, "relevant") == pytest.approx(1 / 4)
    assert metrics.map_at(scores, relevance, 4, "found") == pytest.approx(1.0)


def test_a_cut_at_the_whole_gallery_is_map() -> None:
    rng = np.random.default_rng(1)
    scores, relevance = rng.random((8, 12)), rng.integers(0, 2, (8, 12))
    whole = metrics.evaluate(scores, relevance)["ap"].mean()
    for divisor in ("relevant", "found"):
        assert metrics.map_at(scores, relevance, 12, divisor) == pytest.approx(whole, abs=1e-6)


def test_an_unnamed_divisor_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose relevant or found"):
        metrics.map_at(np.ones((1, 1)), np.ones((1, 1)), 1, "k")


# --- intervals ------------------------------------------------------------------------------


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for i in range(200):
        lo, hi = metrics.bootstrap(rng.beta(2, 3, 60), seed=i, draws=400)
        held += lo <= 2 / 5 <= hi
    assert 178 <= held <= 199  # 95 % of 200, and what the percentile interval lacks at n = 60


def test_the_interval_is_as_wide_as_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    lo, hi = metrics.bootstrap(values, draws=4000)
    half = 1.96 * values.std() / np.sqrt(400)
    assert lo == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert hi == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_same_seed_draws_the_same_interval_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).random(50)
    once = metrics.bootstrap(values, seed=3)
    assert metrics.bootstrap(values, seed=3) == once
    assert metrics.bootstrap(values, seed=4) != once
    monkeypatch.setattr(metrics, "_CHUNK_CELLS", 500)
    assert metrics.bootstrap(values, seed=3) == once


def test_a_paired_test_sees_a_small_gain_for_every_query() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(100)
    difference, lo, hi, p = metrics.paired(hard + rng.normal(0.02, 0.02, 100), hard)
    assert lo < difference < hi
    assert difference == pytest.approx(0.02, abs=0.01)
    assert lo > 0
    assert p <= 0.01


def test_a_paired_test_sees_nothing_where_there_is_nothing() -> None:
    a = np.random.default_rng(0).random(50)
    assert metrics.paired(a, a) == (0.0, 0.0, 0.0, 1.0)


def test_p_is_never_below_what_the_draws_can_show() -> None:
    *_, p = metrics.paired(np.ones(20), np.zeros(20), draws=100)
    assert p == pytest.approx(2 / 100)


def test_no_values_have_no_interval() -> None:
    with pytest.raises(InputRefused, match="no values"):
        metrics.bootstrap(np.empty(0))


def test_an_item_among_everybodys_first_is_a_hub() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((200, 100))
    fair = metrics.hubness(scores)
    scores[:, :3] += 1
    assert metrics.hubness(scores) > fair + 3


def test_where_all_are_found_alike_there_is_no_hub() -> None:
    assert metrics.hubness(np.eye(20), k=1) == 0
    assert metrics.hubness(np.zeros((0, 5))) == 0
    assert metrics.hubness(np.zeros((3, 0))) == 0


def test_reliability_compares_what_is_said_with_what_is_right() -> None:
    said = np.array([0.0, 0.1, 0.1, 0.95, 1.0])
    right = np.array([False, True, False, True, True])
    told = metrics.reliability(said, right)
    assert [(b["from"], b["pairs"], b["said"], b["right"]) for b in told["bins"]] == [
        (0.0, 1, 0.0, 0.0),
        (0.1, 2, 0.1, 0.5),
        (0.9, 2, 0.975, 1.0),
    ]
    assert told["expected_calibration_error"] == pytest.approx((2 * 0.4 + 2 * 0.025) / 5)
    assert metrics.reliability(said[:0], right[:0]) == {
        "bins": [],
        "expected_calibration_error": 0.0,
        "pairs": 0,
    }


def test_a_paired_test_is_the_same_from_either_side() -> None:
    rng = np.random.default_rng(0)
    a = rng.random(60)
    b = a + rng.normal(0.03, 0.05, 60)
    there, back = metrics.paired(a, b), metrics.paired(b, a)
    assert there[0] == pytest.approx(-back[0])
    assert there[3] == back[3] <= 0.01
