"""Fisher vectors against the formula written out in loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.encoders.fisher import Codebook, fisher_vector, learn_codebook

rng = np.random.default_rng(0)
CLOUDS = np.vstack([rng.normal(c, 0.3, (300, 6)) for c in (-2, 0, 3)]).astype(np.float32)


def by_the_formula(x: np.ndarray, book: Codebook) -> np.ndarray:
    z = (x - book.mean) @ book.project
    k, d = book.means.shape
    density = np.zeros((len(z), k))
    for i in range(k):
        square = (z - book.means[i]) ** 2 / book.variances[i]
        density[:, i] = np.log(book.weights[i]) - 0.5 * (square + np.log(book.variances[i])).sum(1)
    gamma = np.exp(density - density.max(1, keepdims=True))
    gamma /= gamma.sum(1, keepdims=True)
    u, v = np.zeros((k, d)), np.zeros((k, d))
    for i in range(k):
        step = (z - book.means[i]) / np.sqrt(book.variances[i])
        u[i] = (gamma[:, i, None] * step).sum(0) / np.sqrt(book.weights[i])
        v[i] = (gamma[:, i, None] * (step**2 - 1)).sum(0) / np.sqrt(2 * book.weights[i])
    out = np.concatenate([u.ravel(), v.ravel()]) / len(z)
    out = np.sign(out) * np.sqrt(np.abs(out))
    return out / np.linalg.norm(out)


def test_equals_the_published_formula() -> None:
    book = learn_codebook(CLOUDS, parts=4, axes=5, seed=1)
    x = rng.normal(0.5, 1.5, (50, 6)).astype(np.float32)
    np.testing.assert_allclose(fisher_vector(x, book), by_the_formula(x, book), atol=2e-4)


def test_the_mixture_finds_three_clouds() -> None:
    book = learn_codebook(CLOUDS, parts=3, axes=6, seed=0)
    np.testing.assert_allclose(np.sort(book.weights), [1 / 3] * 3, atol=0.02)


def test_same_seed_gives_the_same_codebook() -> None:
    a, b = (learn_codebook(CLOUDS, parts=5, axes=4, seed=7) for _ in range(2))
    np.testing.assert_array_equal(a.means, b.means)
    np.testing.assert_array_equal(a.project, b.project)


def test_the_place_columns_are_only_scaled() -> None:
    x = np.hstack([CLOUDS, rng.uniform(-0.5, 0.5, (900, 2)).astype(np.float32)])
    book = learn_codebook(x, parts=3, axes=4, place=2, seed=0)
    assert book.project.shape == (8, 6)
    assert (book.project[:6, 4:] == 0).all()
    assert (book.project[6:, :4] == 0).all()


def test_nothing_seen_is_a_row_of_zeros() -> None:
    book = learn_codebook(CLOUDS, parts=3, axes=4, seed=0)
    assert not fisher_vector(np.empty((0, 6), np.float32), book).any()


def test_bags_shifted_alike_have_like_vectors() -> None:
    book = learn_codebook(CLOUDS, parts=3, axes=6, seed=0)
    up, also_up, down = (
        fisher_vector(CLOUDS[start::2] + np.float32(by), book)
        for start, by in ((0, 0.2), (1, 0.2), (0, -0.2))
    )
    assert up @ also_up > 0.3
    assert up @ down < 0


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 70), st.floats(0, 1e4), st.integers(0, 99))
def test_is_finite_on_any_sample(n: int, parts: int, scale: float, seed: int) -> None:
    x = (np.random.default_rng(seed).normal(size=(n, 5)) * scale).astype(np.float32)
    book = learn_codebook(x, parts=parts, axes=3, seed=0)
    out = fisher_vector(x, book)
    assert np.isfinite(out).all()
    assert np.linalg.norm(out) == pytest.approx(1, abs=1e-4) or not out.any()
