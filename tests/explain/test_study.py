"""The study of deletions compares held-out queries' hits, of more splits where one has too few."""

from __future__ import annotations

import pytest

from graphretrieval.evaluation.protocols import Plan
from graphretrieval.explain import study as studies
from graphretrieval.explain.study import Case, Study, study
from graphretrieval.retriever import Retriever

PLAN = Plan("connected", lang="en")


def test_one_split_is_enough_for_few_hits(kb: Retriever) -> None:
    found = study(kb, PLAN, hits=3)
    assert len(found.cases) == 3
    assert found.splits == 1
    said = found.to_json()
    assert said["hits"] == 3
    assert 0 <= said["largest gap of parts and score"] < 1e-6
    assert all(case.edges > 1 and case.rank >= 1 for case in found.cases)


def test_more_splits_are_drawn_where_one_has_too_few_queries(
    kb: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "SPLITS", 1)
    one = study(kb, PLAN, hits=10_000)
    monkeypatch.setattr(studies, "SPLITS", 2)
    both = study(kb, PLAN, hits=len(one.cases) + 1)
    assert both.splits == 2
    assert len(both.cases) == len(one.cases) + 1


def test_studies_of_two_splits_add_up() -> None:
    case = Case("q", "h", "image", 2, 3, 1, 4, 1, 0.5, 0.1, 0.5, 0.0)
    both = Study((case,), 1, 2, 3.0) + Study((case, case), 10, 20, 30.0)
    assert both == Study((case,) * 3, 11, 22, 33.0, splits=2)
