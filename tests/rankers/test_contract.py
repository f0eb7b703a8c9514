"""What every registered ranker must do: parts that add up, an order no worse than its best part."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from graphretrieval import metrics, registry
from graphretrieval.protocols import Ranker
from graphretrieval.types import State

NAMES = registry.names("ranker")


@dataclass
class World:
    """Candidates of many queries: ``parts`` (n, p), which are right, and whose they are."""

    parts: np.ndarray
    right: np.ndarray
    queries: np.ndarray
    known: np.ndarray

    def ap(self, score: np.ndarray) -> np.ndarray:
        q = int(self.queries.max()) + 1
        return metrics.evaluate(score.reshape(q, -1), self.right.reshape(q, -1))["ap"]


def world(strength: tuple[float, ...], seed: int, queries: int = 120, items: int = 20) -> World:
    """Each part tells right from wrong by its strength; the scales of parts differ a lot."""
    rng = np.random.default_rng(seed)
    right = np.zeros((queries, items))
    right[np.arange(queries), rng.integers(0, items, queries)] = 1
    right = right.ravel()
    parts = [
        10.0 ** (i - 1) * (s * right + rng.normal(size=right.size)) for i, s in enumerate(strength)
    ]
    owner = np.repeat(np.arange(queries), items)
    known = np.repeat(rng.random(queries), items)
    return World(np.stack(parts, 1).astype(np.float32), right, owner, known.astype(np.float32))


def fitted(name: str, w: World, seed: int = 0) -> Ranker:
    ranker: Ranker = registry.resolve("ranker", name)()
    return ranker.fit(w.parts, w.right, w.queries, w.known, seed=seed)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_contributions_are_linear_in_the_parts_and_add_up_to_the_score(name: str) -> None:
    w = world((2, 1, 0), 0)
    ranker = fitted(name, w)
    x = ranker.weigh(w.parts, w.known)
    assert x.shape == w.parts.shape
    assert x.dtype == np.float32
    np.testing.assert_allclose(ranker.weigh(3 * w.parts, w.known), 3 * x, rtol=1e-4)
    both = ranker.weigh(w.parts + w.parts[::-1], np.full(len(x), 0.5, np.float32))
    alone = [ranker.weigh(p, 0.5) for p in (w.parts, w.parts[::-1])]
    np.testing.assert_allclose(both, alone[0] + alone[1], rtol=1e-3, atol=1e-4)


def test_one_number_for_how_known_a_query_is_serves_all_rows(name: str) -> None:
    w = world((2, 1), 0, queries=40)
    ranker = fitted(name, w)
    np.testing.assert_allclose(
        ranker.weigh(w.parts, 0.3),
        ranker.weigh(w.parts, np.full(len(w.parts), 0.3, np.float32)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "strength", [(2, 2, 2), (3, 0, 0), (0, 0, 3), (2, 1, 0), (4, 0.2, -3), (1, 0, 1)]
)
def test_the_fused_order_is_not_worse_than_the_best_part_on_new_queries(
    name: str, strength: tuple[float, ...], seed: int
) -> None:
    ranker = fitted(name, world(strength, seed))
    new = world(strength, 100 + seed, queries=200)
    fused = new.ap(ranker.weigh(new.parts, new.known).sum(axis=1))
    single = [new.ap(new.parts[:, i]) for i in range(len(strength))]
    best = max(single, key=np.mean)
    difference, lo, _, _ = metrics.paired(fused, best)
    assert difference > -0.01 or lo > -0.02


def test_parts_that_complete_each_other_are_better_than_each(name: str) -> None:
    ranker = fitted(name, world((2, 2, 2), 0))
    new = world((2, 2, 2), 9, queries=200)
    fused = new.ap(ranker.weigh(new.parts, new.known).sum(axis=1)).mean()
    assert fused > max(new.ap(new.parts[:, i]).mean() for i in range(3)) + 0.1
    judged = ranker.judged
    assert judged["fused"] > max(judged["parts"]) + 0.1
    assert judged["fused"] == pytest.approx(fused, abs=0.08)


def test_a_part_can_count_for_known_queries_only(name: str) -> None:
    w = world((1, 2), 0, queries=400)
    unknown = w.known < 0.5
    w.parts[unknown, 1] = np.random.default_rng(5).normal(size=unknown.sum())
    ranker = fitted(name, w)
    share = [
        float(x[1] / x.sum())
        for x in (ranker.weigh(np.array([[0.1, 1.0]], np.float32), k)[0] for k in (0.0, 1.0))
    ]
    assert share[0] < share[1]


def test_what_only_known_queries_have_takes_nothing_from_new_ones(name: str) -> None:
    """A walk from an item to its links is worth dozens of likenesses; a new item has no links."""
    old, new = world((1, 9), 0, queries=200), world((1, 0), 1, queries=200)
    old.known[:], new.known[:] = 1, 0
    old.parts[:, 1] *= 20
    new.parts[:, 1] = 0
    new.queries += 200
    both = World(*(np.concatenate([getattr(w, n) for w in (old, new)]) for n in _FIELDS))
    ranker = fitted(name, both)
    fresh = world((1, 0), 5)
    fresh.parts[:, 1] = 0
    score = ranker.weigh(fresh.parts, 0.0).sum(axis=1)
    assert fresh.ap(score).mean() == pytest.approx(fresh.ap(fresh.parts[:, 0]).mean(), abs=1e-6)


def test_the_rarer_an_answer_is_there_the_less_sure_it_is(name: str) -> None:
    w = world((3, 2), 0, queries=300)
    sure = []
    for absent in (0.0, 1.0, 5.0):
        ranker: Ranker = registry.resolve("ranker", name)()
        ranker.fit(w.parts, w.right, w.queries, w.known, absent=absent)
        sure.append(sureness(ranker, w).max(axis=1).mean())
    assert sure[0] > sure[1] + 0.05 > sure[2] + 0.1


def test_without_shares_one_candidate_is_as_sure_as_it_is_among_many(name: str) -> None:
    w = world((3, 2), 0, queries=300)
    said = {}
    for by_share in (True, False):
        ranker: Ranker = registry.resolve("ranker", name)()
        ranker.fit(w.parts, w.right, w.queries, w.known, by_share=by_share)
        scores = ranker.weigh(w.parts[w.queries == 0], 0.0).sum(axis=1)
        best = np.sort(scores)[::-1]
        said[by_share] = [float(confidence(ranker, best[:n], 0.0)[0]) for n in (1, len(best))]
    assert said[True][0] > said[True][1]
    assert said[False][0] == pytest.approx(said[False][1])


def confidence(ranker: Ranker, scores: np.ndarray, known: float) -> np.ndarray:
    """Calibrated probability that each of one query's candidates is right."""
    slope, level = ranker.log_odds(scores, known)
    assert slope >= 0
    return 1 / (1 + np.exp(-(slope * scores.astype(np.float64) + level)))


def sureness(ranker: Ranker, w: World, items: int = 20) -> np.ndarray:
    """Confidence ``(q, items)`` of every candidate."""
    score = ranker.weigh(w.parts, w.known).sum(axis=1).reshape(-1, items)
    known = w.known.reshape(-1, items)[:, 0]
    return np.stack([confidence(ranker, s, float(k)) for s, k in zip(score, known, strict=True)])


def test_confidence_is_a_probability_that_rises_with_the_score_and_is_about_right(
    name: str,
) -> None:
    ranker = fitted(name, world((3, 2), 0, queries=300))
    steps = confidence(ranker, np.linspace(-50, 50, 101, dtype=np.float32), 0.5)
    assert ((steps >= 0) & (steps <= 1)).all()
    assert (np.diff(steps) >= 0).all()
    new = world((3, 2), 7, queries=300)
    sure = sureness(ranker, new)
    shown = np.argsort(-sure, axis=1)[:, :5]  # hits as people see them
    right = np.take_along_axis(new.right.reshape(300, -1), shown, axis=1).ravel()
    sure = np.take_along_axis(sure, shown, axis=1).ravel()
    assert sure.mean() == pytest.approx(right.mean(), abs=0.03)
    bins = np.digitize(sure, [0.1, 0.5])
    for i in range(3):
        assert right[bins == i].mean() == pytest.approx(sure[bins == i].mean(), abs=0.1)


def test_the_first_hit_is_as_sure_as_it_is_often_right(name: str) -> None:
    """For known queries, where it mostly is, and for new ones, where it seldom is."""
    sharp, blunt = world((4,), 1, queries=300), world((1,), 2, queries=300)
    sharp.known[:], blunt.known[:] = 1, 0
    blunt.queries += 300
    both = World(*(np.concatenate([getattr(w, n) for w in (sharp, blunt)]) for n in _FIELDS))
    ranker = fitted(name, both)
    for seed, strength, known in ((5, (4,), 1), (6, (1,), 0)):
        new = world(strength, seed, queries=300)
        new.known[:] = known
        sure = sureness(ranker, new)
        first = sure.argmax(axis=1)
        right = new.right.reshape(300, -1)[np.arange(300), first].mean()
        assert sure.max(axis=1).mean() == pytest.approx(right, abs=0.12)


_FIELDS = ("parts", "right", "queries", "known")


def test_nothing_is_sure_by_chance_alone(name: str) -> None:
    ranker = fitted(name, world((4, 4), 0, queries=300))
    best = [
        sureness(ranker, world(strength, 3, queries=300)).max(axis=1)
        for strength in ((4, 4), (0, 0))
    ]
    assert np.median(best[0]) > 0.9
    assert np.median(best[1]) < 0.15


def test_the_state_is_json_and_brings_the_same_ranker_back(name: str) -> None:
    w = world((2, 1, 0), 0, queries=40)
    ranker = fitted(name, w)
    state = ranker.state()
    kept = State(dict(state.arrays), json.loads(json.dumps(state.settings)))
    again = type(ranker).from_state(kept)
    np.testing.assert_array_equal(again.weigh(w.parts, w.known), ranker.weigh(w.parts, w.known))
    score = ranker.weigh(w.parts, w.known).sum(axis=1)
    np.testing.assert_array_equal(confidence(again, score, 0.3), confidence(ranker, score, 0.3))
    assert again.judged == {}


def test_the_same_seed_learns_the_same_whatever_the_order_of_candidates(name: str) -> None:
    w = world((2, 1), 0, queries=60)
    order = np.random.default_rng(0).permutation(len(w.parts))
    mixed = World(w.parts[order], w.right[order], w.queries[order], w.known[order])
    a, b = (fitted(name, x).weigh(w.parts, w.known) for x in (w, mixed))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("queries", [0, 1, 2])
def test_hardly_anything_to_learn_from_still_ranks(name: str, queries: int) -> None:
    w = world((3, 0), 0, queries=max(queries, 1))
    cut = queries * 20
    ranker: Ranker = registry.resolve("ranker", name)()
    ranker.fit(w.parts[:cut], w.right[:cut], w.queries[:cut], w.known[:cut])
    x = ranker.weigh(w.parts, w.known)
    assert np.isfinite(x).all()
    assert (x.sum(axis=1) != 0).any()
    assert np.isfinite(confidence(ranker, x.sum(axis=1), 0.0)).all()


def test_queries_without_a_right_answer_teach_nothing(name: str) -> None:
    w = world((2, 1), 0, queries=60)
    more = world((0, 9), 1, queries=30)
    both = World(
        np.concatenate([w.parts, more.parts]),
        np.concatenate([w.right, 0 * more.right]),
        np.concatenate([w.queries, 60 + more.queries]),
        np.concatenate([w.known, more.known]),
    )
    a, b = (fitted(name, x).weigh(w.parts, w.known) for x in (w, both))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_a_part_that_is_always_zero_does_no_harm(name: str) -> None:
    w = world((2, 1, 0), 0, queries=60)
    w.parts[:, 2] = 0
    x = fitted(name, w).weigh(w.parts, w.known)
    assert np.isfinite(x).all()
    assert (x[:, 2] == 0).all()


def test_a_part_that_says_nothing_of_new_queries_has_no_weight(name: str) -> None:
    w = world((3.0, 0.0, 3.0), seed=11)
    alone = fitted(name, w).weigh(np.eye(3, dtype=np.float32), 0.0).diagonal()
    assert alone[1] == 0
    assert alone[0] > 0
    assert alone[2] > 0


@pytest.mark.parametrize(("strength", "heard"), [((2, 2), True), ((2, 0), False)])
def test_an_optional_part_is_heard_only_where_it_surely_helps(
    name: str, strength: tuple[float, ...], heard: bool
) -> None:
    w = world(strength, 0)
    ranker: Ranker = registry.resolve("ranker", name)()
    ranker.fit(w.parts, w.right, w.queries, w.known, optional=[[1]])
    added = ranker.weigh(np.eye(2, dtype=np.float32), 0.0).diagonal()
    assert added[0] > 0
    assert (added[1] > 0) == heard
    assert ranker.judged["parts"][1] == pytest.approx(w.ap(w.parts[:, 1]).mean(), abs=1e-6)


def test_optional_groups_are_heard_one_by_one(name: str) -> None:
    w = world((2, 0, 2), 0)
    ranker: Ranker = registry.resolve("ranker", name)()
    ranker.fit(w.parts, w.right, w.queries, w.known, optional=[[1], [2]])
    added = ranker.weigh(np.eye(3, dtype=np.float32), 0.0).diagonal()
    assert (added > 0).tolist() == [True, False, True]
