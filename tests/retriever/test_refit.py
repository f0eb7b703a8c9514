"""When a candidate may be put in service, and by what it is judged."""

from __future__ import annotations

import numpy as np
import pytest

from graphretrieval.gnn.messages import Typed
from graphretrieval.gnn.propagate import PropagateRefiner
from graphretrieval.retriever.judge import NEW, Judge, Slice, refined_over
from graphretrieval.retriever.model import Model
from graphretrieval.retriever.refit import judged
from graphretrieval.types import Graph


def whole(difference: float) -> Slice:
    return Slice("all", 100, 0.5, 0.5 + difference, 0.01)


@pytest.mark.parametrize(
    ("part", "promoted"),
    [
        (Slice("text>image", 50, 0.6, 0.5, 0.01), False),
        (Slice("text>image", 50, 0.6, 0.585, 0.001), True),  # within twice the tolerance
        (Slice("text>image", 50, 0.6, 0.5, 0.1), True),  # as likely luck
        (Slice(NEW, 50, 0.6, 0.1, 0.01), True),  # what is new may be what is wrong
    ],
)
def test_a_slice_that_is_surely_worse_refuses_what_is_better_on_the_whole(
    part: Slice, promoted: bool
) -> None:
    may, why = judged([whole(0.1), part], 0.01)
    assert may == promoted
    assert why.startswith("not worse" if promoted else "worse on text>image")


@pytest.mark.parametrize(("difference", "promoted"), [(-0.009, True), (-0.011, False)])
def test_on_the_whole_no_luck_excuses_more_than_the_tolerance(
    difference: float, promoted: bool
) -> None:
    assert judged([whole(difference)], 0.01)[0] == promoted


def test_nobody_hears_who_asks_while_answers_are_sought() -> None:
    n = 40
    src, dst = np.arange(n // 2, dtype=np.int32), np.arange(n // 2, n, dtype=np.int32)
    zero, one = np.zeros(n // 2, np.int16), np.ones(n // 2, np.float32)
    kinds = np.repeat([0, 1], n // 2).astype(np.int16)
    ids = [f"n{i:02d}" for i in range(n)]
    graph = Graph(ids, ("text", "image"), kinds, ("DESCRIBES",), src, dst, zero, one)
    refiner = PropagateRefiner()
    refiner.depth_ = 2
    refiner.strength_ = {f"DESCRIBES:{way}": 1.0 for way in ("in:image>text", "out:text>image")}
    refiner.strength_ |= {"DESCRIBES:in:text>image": 1.0, "DESCRIBES:out:image>text": 1.0}
    model = Model(refiners={"b": refiner})  # type: ignore[dict-item]
    links = np.arange(n // 2)
    judge = Judge.of(graph, Typed.of(graph), links, np.zeros(n // 2, np.bool_))
    x = np.random.default_rng(0).standard_normal((n, 4)).astype(np.float32)
    assert not np.array_equal(refined_over(Typed.of(graph), model, {"b": x})["b"], x)
    np.testing.assert_array_equal(refined_over(judge.typed, model, {"b": x})["b"], x)
