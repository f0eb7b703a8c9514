"""A hidden link's other end is sought among others, not among the one who asks and its friends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from graphretrieval.gnn.messages import Typed
from graphretrieval.retriever import judge
from graphretrieval.retriever.judge import Judge
from graphretrieval.types import Array, Graph

PAIRS = 30


class Alike:
    """A gate to which all columns are worth the same."""

    def weights(self, columns: int, known: float) -> Array:
        return np.ones(columns, np.float32)


@pytest.fixture(autouse=True)
def alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "gate", lambda *_: Alike())


MODEL: Any = SimpleNamespace(aligners={"b": None}, refiners={}, columns=("b", "b+"))


def near_pairs(seed: int = 0) -> Array:
    """Pictures of which i and i + 30 are nearly the same ``(60, 16)``."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((PAIRS, 16))
    return np.concatenate([x, x + 0.01 * rng.standard_normal(x.shape)]).astype(np.float32)


def linked(src: list[int], dst: list[int], n: int = 2 * PAIRS, modality: Any = None) -> Graph:
    """Links of one relation, of pictures if nothing else is said."""
    return Graph(
        [f"i{k:02d}" for k in range(n)],
        ("audio", "image"),
        np.ones(n, np.int16) if modality is None else np.asarray(modality, np.int16),
        ("RELATED_TO",),
        np.array(src, np.int32),
        np.array(dst, np.int32),
        np.zeros(len(src), np.int16),
        np.ones(len(src), np.float32),
    )


def ranks(graph: Graph, x: Array, links: list[int], new: list[int] | None = None) -> Array:
    fresh = np.zeros(len(graph.src), np.bool_)
    fresh[new or []] = True
    asked = Judge.of(graph, Typed.of(graph), np.array(links), fresh)
    return asked.reciprocal_ranks(MODEL, {"b": x})


def test_the_node_that_asks_is_not_in_its_own_way() -> None:
    graph = linked(list(range(PAIRS)), list(range(PAIRS, 2 * PAIRS)))
    np.testing.assert_allclose(ranks(graph, near_pairs(), list(range(PAIRS))), 1)


def test_one_modality_is_judged_as_two_are() -> None:
    pairs = list(range(PAIRS)), list(range(PAIRS, 2 * PAIRS))
    half = np.repeat([0, 1], PAIRS)
    found = [
        ranks(linked(*pairs, modality=m), near_pairs(), list(range(PAIRS))) for m in (None, half)
    ]
    np.testing.assert_allclose(*found)


@pytest.mark.parametrize(("new", "rank"), [([], 1.0), ([PAIRS], 0.5)])
def test_known_partners_are_no_wrong_answers_and_what_new_links_say_is(
    new: list[int], rank: float
) -> None:
    # picture 60 is nearer to picture 0, or to 30, than these two are to each other
    x = near_pairs()
    x = np.concatenate([x, x[[0]] + x[[PAIRS]]])
    graph = linked([*range(PAIRS), 0], [*range(PAIRS, 2 * PAIRS), 60], 2 * PAIRS + 1)
    other = linked([*range(PAIRS), PAIRS], [*range(PAIRS, 2 * PAIRS), 60], 2 * PAIRS + 1)
    asks = int(Judge.of(graph, Typed.of(graph), np.array([0]), np.zeros(31, np.bool_)).asks[0])
    known = graph if asks == 0 else other
    assert ranks(known, x, [0], new) == pytest.approx(rank)
