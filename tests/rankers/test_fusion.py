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
