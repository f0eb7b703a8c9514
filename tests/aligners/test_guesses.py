"""Guessed categories: links count as far as their ends agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.aligners.guesses import agreement, guesses, trust

PAIR = ("text", "image")


def posteriors(truth: np.ndarray, sharp: float, seed: int) -> np.ndarray:
    """Rows that mostly say the truth."""
    logits = np.random.default_rng(seed).normal(size=(len(truth), 5))
    logits[np.arange(len(truth)), truth] += sharp
    e = np.exp(logits)
    return np.asarray(e / e.sum(1, keepdims=True), np.float32)


@pytest.mark.parametrize("right", [0.0, 0.3, 0.7, 1.0])
def test_agreement_is_the_share_of_links_within_a_category(right: float) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 3000)
    p = {"text": posteriors(truth, 2.5, 1), "image": posteriors(truth, 1.0, 2)}
    labels = {m: np.where(np.arange(3000)[:, None] < 300, np.eye(5)[truth], 0) for m in p}
    of = [np.flatnonzero(truth == c) for c in range(5)]
    other = (truth + rng.integers(1, 5, 3000)) % 5
    ends = np.where(rng.random(3000) < right, truth, other)
    pairs = {PAIR: np.stack([np.arange(3000), [rng.choice(of[c]) for c in ends]], 1)}
    assert agreement(p, labels, pairs)[PAIR] == pytest.approx(right, abs=0.08)


def test_nothing_is_known_of_links_without_labels_to_compare() -> None:
    p = {m: np.full((4, 2), 0.5, np.float32) for m in PAIR}
    none = {m: np.zeros((4, 2), np.float32) for m in PAIR}
    pairs = {PAIR: np.array([[0, 0], [1, 1]])}
    assert agreement(p, none, pairs) == {PAIR: 0.0}


def test_a_picture_takes_what_its_captions_say_and_labels_stay() -> None:
    p = {"image": np.full((3, 2), 0.5, np.float32), "text": np.array([[0.9, 0.1], [0.8, 0.2]])}
    labels = {"image": np.array([[0, 0], [0, 0], [0, 1.0]]), "text": np.zeros((2, 2))}
    pairs = {PAIR: np.array([[0, 0], [1, 0], [1, 2]])}
    out = guesses(p, labels, pairs, {PAIR: 1.0})
    assert out["image"][0, 0] > 0.85
    np.testing.assert_allclose(out["image"][1], [0.5, 0.5], atol=1e-6)
    np.testing.assert_array_equal(out["image"][2], [0, 1])
    assert out["text"][1, 0] < 0.5  # the labelled picture is surer than its caption


def test_links_that_do_not_agree_say_nothing() -> None:
    p = {"image": np.array([[0.6, 0.4]]), "text": np.array([[0.01, 0.99]])}
    labels = {m: np.zeros((1, 2)) for m in PAIR}
    out = guesses(p, labels, {PAIR: np.array([[0, 0]])}, {PAIR: 0.0})
    np.testing.assert_allclose(out["image"], p["image"], atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 999), st.floats(0, 1))
def test_guesses_are_probabilities(c: int, n: int, seed: int, agree: float) -> None:
    rng = np.random.default_rng(seed)
    p = {m: rng.dirichlet(np.full(c, 0.05), n).astype(np.float32) for m in PAIR}
    labels = {m: (rng.random((n, c)) < 0.2).astype(np.float32) for m in PAIR}
    pairs = {PAIR: rng.integers(0, n, (n, 2))}
    for m, out in guesses(p, labels, pairs, {PAIR: agree}).items():
        assert out.shape == (n, c)
        assert (out >= 0).all()
        np.testing.assert_allclose(out.sum(1), 1, atol=1e-5)
        counted = rng.random(n) < 0.7
        count = trust(out, labels[m], counted)
        assert not count[~counted].any()
        assert (count >= 0).all()
