"""How sure proposals are: learned without what is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from graphretrieval import candidates, lifecycle, proposals
from graphretrieval.candidates import FEATURES, Curve, View
from graphretrieval.retriever import Retriever
from graphretrieval.types import DESCRIBES, RELATED_TO

from .world import descriptions


@pytest.fixture
def learned(kb: Retriever) -> Retriever:
    kb.store.upsert([], descriptions(range(60, 110)))
    assert lifecycle.refit(kb).promoted
    return kb


def test_how_sure_one_is_is_told_of_pairs_that_were_not_learned_from(
    learned: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(x: np.ndarray) -> set[bytes]:
        return {row.tobytes() for row in x.astype(np.float32)}

    fitted: list[set[bytes]] = []
    shared: list[float] = []
    fit, call = candidates._logistic, Curve.__call__

    def asked(self: Curve, features: np.ndarray) -> np.ndarray:
        mine = rows(features / self.scale)
        shared.append(len(mine & fitted[-1]) / len(mine))
        return call(self, features)

    monkeypatch.setattr(candidates, "_logistic", lambda x, *a: fitted.append(rows(x)) or fit(x, *a))
    monkeypatch.setattr(Curve, "__call__", asked)
    proposals.reliability(learned, DESCRIBES)
    assert len(shared) == 2
    assert max(shared) < 0.1


def test_an_accepted_link_teaches_by_what_spoke_for_it_before_it_was_there(
    learned: Retriever,
) -> None:
    p = proposals.propose(learned, type=DESCRIBES, limit=1)[0]
    view = View.of(learned)
    ends = (np.array([view.graph.row[end]]) for end in (p.src, p.dst))
    before = view.features(DESCRIBES, *ends)
    decision = proposals.accept(learned, p.id, "ada")
    after, verdict = candidates._decided(View.of(learned), DESCRIBES, [decision])
    np.testing.assert_allclose(after, before, atol=1e-3)
    assert verdict.tolist() == [True]


def test_what_was_rejected_one_way_is_not_proposed_the_other_where_both_say_the_same(
    learned: Retriever,
) -> None:
    view = View.of(learned)
    even = Curve(np.zeros(len(FEATURES) + 1), np.ones(len(FEATURES), np.float32), {})
    _, first = next(candidates.candidates(view, RELATED_TO, even, set()))
    left = candidates.candidates(view, RELATED_TO, even, {(first.dst, first.src)})
    assert first.id not in {p.id for _, p in left}
