"""Categories of one parent borrow from each other where that says more of what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from graphretrieval.aligners.posteriors import PosteriorAligner
from graphretrieval.retriever.corpus import kin
from graphretrieval.stores.snapshot import of_rows
from graphretrieval.types import Array, Supervision

PARENTS, KINDS, DIM = 4, 5, 24
CATEGORIES = PARENTS * KINDS
FAMILIES = np.repeat(np.arange(PARENTS), KINDS)


def world(each: int, seed: int = 0) -> tuple[Array, Array]:
    """Items ``(n, d)`` and their categories: kinds of one parent are clouds near to each other."""
    centres = np.random.default_rng(7).normal(size=(PARENTS, DIM))
    centres = centres[FAMILIES] + np.random.default_rng(8).normal(0, 0.5, (CATEGORIES, DIM))
    y = np.repeat(np.arange(CATEGORIES), each)
    noise = np.random.default_rng(seed).normal(0, 1.1, (len(y), DIM))
    return (centres[y] + noise).astype(np.float32), y


def told(families: Array | None, each: int = 5) -> tuple[float, float]:
    """Mean log-likelihood of new items' categories, and of their parents."""
    x, y = world(each)
    known = {} if families is None else {"families": families}
    labels = {"image": np.eye(CATEGORIES, dtype=np.float32)[y]}
    aligner = PosteriorAligner().fit({"image": x}, Supervision(labels, **known))
    new, truth = world(60, seed=1)
    p = aligner.embed("image", new)
    of_parent = p.reshape(len(p), PARENTS, KINDS).sum(2)
    rows = np.arange(len(p))
    return (
        float(np.log(p[rows, truth]).mean()),
        float(np.log(of_parent[rows, FAMILIES[truth]]).mean()),
    )


def test_five_examples_of_a_category_tell_more_with_those_of_its_kin() -> None:
    alone, together = told(None), told(FAMILIES)
    assert together[0] > alone[0] + 0.03
    assert together[1] > alone[1] + 0.03


def test_wrong_kin_does_no_harm() -> None:
    wrong = np.random.default_rng(0).permutation(FAMILIES)
    assert told(wrong)[0] == pytest.approx(told(None)[0], abs=0.03)


def test_a_category_without_kin_borrows_nothing() -> None:
    assert told(np.arange(CATEGORIES)) == told(None)


def test_a_category_of_five_examples_is_told_from_those_of_hundreds() -> None:
    x, y = world(100)
    rare = 3
    keep = (y != rare) | (np.cumsum(y == rare) <= 5)
    labels = {"image": np.eye(CATEGORIES, dtype=np.float32)[y[keep]]}
    aligner = PosteriorAligner(per_category=20).fit(
        {"image": x[keep]}, Supervision(labels, families=FAMILIES)
    )
    new, truth = world(60, seed=1)
    p = aligner.embed("image", new[truth == rare])
    assert p[:, rare].mean() > 1 / CATEGORIES
    assert (p.argsort(axis=1)[:, -5:] == rare).any(axis=1).mean() > 0.6


def test_kin_are_the_kinds_of_one_parent() -> None:
    ids = ["cat:animals", "cat:birds", "cat:fish", "cat:owls", "cat:tools"]
    edges = [
        ("cat:birds", "SUBCATEGORY_OF", "cat:animals", 1.0),
        ("cat:fish", "SUBCATEGORY_OF", "cat:animals", 1.0),
        ("cat:owls", "SUBCATEGORY_OF", "cat:birds", 1.0),
    ]
    graph = of_rows(ids, ["category"] * 5, edges, 1)
    animals, birds, fish, owls, tools = kin(graph, np.arange(5))
    assert birds == fish == animals
    assert len({int(owls), int(tools), int(birds)}) == 3
