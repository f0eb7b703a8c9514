"""How far new queries' weights lean towards the best part."""

from __future__ import annotations

import numpy as np
import pytest

from graphretrieval.rankers import fusion
from graphretrieval.rankers.fusion import FusionRanker
from tests.rankers.test_contract import world


def test_only_new_queries_lean_on_the_best_part(monkeypatch: pytest.MonkeyPatch) -> None:
    w = world((2, 1, 1), seed=0)
    weights = []
    for shares in ((0.0,), (0.75,)):
        monkeypatch.setattr(fusion, "SHARES", shares)
        monkeypatch.setattr(fusion, "better_on_average", lambda a, b: True)
        ranker = FusionRanker().fit(w.parts, w.right, w.queries, w.known)
        one = np.eye(3, dtype=np.float32) * ranker.scale_.astype(np.float32)
        weights.append([ranker.weigh(one, known).diagonal() for known in (0.0, 1.0)])
    (new, known), (leaning, same) = weights
    np.testing.assert_allclose(same, known, rtol=1e-4)
    best = np.eye(3)[0] * new.sum()
    np.testing.assert_allclose(leaning, 0.25 * new + 0.75 * best, rtol=1e-4)


def test_a_part_that_says_the_same_of_all_is_worth_no_more_than_the_worst_order() -> None:
    w = world((2, 0), seed=0)
    w.parts[:, 1] = 0
    ranker = FusionRanker().fit(w.parts, w.right, w.queries, w.known)
    assert ranker.judged["parts"][1] == pytest.approx(1 / 20)
    added = ranker.weigh(np.eye(2, dtype=np.float32), 0.0).diagonal()
    assert added[0] > 0
    assert added[1] == 0


def test_better_on_average_is_better_by_more_than_luck() -> None:
    gap = np.random.default_rng(0).normal(0, 1, 400)
    gap -= gap.mean()
    assert not fusion.better_on_average(gap + 0.02, np.zeros(400))
    assert fusion.better_on_average(gap + 0.1, np.zeros(400))
    assert not fusion.better_on_average(gap - 0.1, np.zeros(400))
