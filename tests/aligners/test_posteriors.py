"""Posteriors as a common space: honest probabilities, awkward labels, saved and loaded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.aligners import least_squares
from graphretrieval.aligners.posteriors import PosteriorAligner, _choose, _folds
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.types import Supervision


def world(
    n: int = 90, categories: int = 3, noise: float = 0.4, seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Two modalities in which each category is a cloud of its own."""
    rng = np.random.default_rng(seed)
    features, labels, truth = {}, {}, {}
    for modality, dim in (("image", 8), ("text", 5)):
        centres = rng.normal(size=(categories, dim))
        y = np.arange(n) % categories
        features[modality] = (centres[y] + rng.normal(0, noise, (n, dim))).astype(np.float32)
        labels[modality] = np.eye(categories, dtype=np.float32)[y]
        truth[modality] = y
    return features, labels, truth


def test_posteriors_sum_to_one_and_find_the_category_across_modalities() -> None:
    features, labels, truth = world()
    seen = {m: x[:60] for m, x in features.items()}
    aligner = PosteriorAligner().fit(seen, Supervision({m: x[:60] for m, x in labels.items()}))
    a, b = (aligner.embed(m, features[m][60:]) for m in ("image", "text"))
    assert a.dtype == np.float32
    assert a.shape == (30, aligner.dim) == (30, 3)
    np.testing.assert_allclose(a.sum(1), 1, atol=1e-5)
    assert (truth["text"][60:][(a @ b.T).argmax(1)] == truth["image"][60:]).mean() > 0.9


def test_probabilities_are_calibrated() -> None:
    """Where the clouds overlap, the mean confidence of fresh rows is their share of hits."""
    features, labels, truth = world(n=1200, noise=1.2)
    seen = {m: x[:400] for m, x in features.items()}
    aligner = PosteriorAligner().fit(seen, Supervision({m: x[:400] for m, x in labels.items()}))
    p = aligner.embed("image", features["image"][400:])
    hits = (p.argmax(1) == truth["image"][400:]).mean()
    assert 0.5 < hits < 0.98
    assert p.max(1).mean() == pytest.approx(hits, abs=0.05)


def test_comes_back_exactly_from_its_state() -> None:
    features, labels, _ = world()
    aligner = PosteriorAligner(rows=80).fit(features, Supervision(labels))
    back = PosteriorAligner.from_state(aligner.state())
    for modality, x in features.items():
        np.testing.assert_array_equal(back.embed(modality, x), aligner.embed(modality, x))
    assert (back.dim, back.rows) == (3, 80)


def test_the_same_seed_gives_the_same_space() -> None:
    features, labels, _ = world()
    a, b = (PosteriorAligner().fit(features, Supervision(labels), seed=3) for _ in range(2))
    np.testing.assert_array_equal(
        a.embed("text", features["text"]), b.embed("text", features["text"])
    )


def test_rows_kept_aside_are_not_learned_from_not_even_by_guessing() -> None:
    features, labels, _ = world()
    held = {m: np.arange(90) >= 60 for m in labels}
    few = {m: np.where(np.arange(90)[:, None] % 3 > 0, x, 0) for m, x in labels.items()}
    pairs = {("text", "image"): np.stack([np.arange(90), np.arange(90)], 1)}
    moved = {m: np.where(held[m][:, None], -x, x) for m, x in features.items()}
    a = PosteriorAligner().fit(features, Supervision(few, pairs, held))
    b = PosteriorAligner().fit(moved, Supervision(few, pairs, held))
    for modality, x in features.items():
        np.testing.assert_array_equal(a.embed(modality, x), b.embed(modality, x))


def test_a_category_with_one_item_in_a_modality_has_probability_zero_there() -> None:
    features, labels, _ = world()
    wide = {m: np.hstack([x, np.zeros((90, 1), np.float32)]) for m, x in labels.items()}
    wide["image"][0] = [0, 0, 0, 1]
    aligner = PosteriorAligner().fit(features, Supervision(wide))
    assert aligner.dim == 4
    assert not aligner.embed("image", features["image"])[:, 3].any()


def test_an_item_of_two_categories_pulls_towards_both() -> None:
    features, labels, _ = world()
    both = {m: x.copy() for m, x in labels.items()}
    both["image"][labels["image"][:, 0] > 0] = [1, 1, 0]
    p = PosteriorAligner().fit(features, Supervision(both)).embed("image", features["image"])
    first = p[labels["image"][:, 0] > 0].mean(0)
    assert first[0] == pytest.approx(0.5, abs=0.15)
    assert first[1] == pytest.approx(0.5, abs=0.15)


def test_a_modality_without_categories_gets_zeros() -> None:
    features, labels, _ = world()
    aligner = PosteriorAligner().fit(features, Supervision({"image": labels["image"]}))
    assert not aligner.embed("text", features["text"]).any()
    assert not aligner.embed("audio", np.ones((4, 7), np.float32)).any()
    assert aligner.embed("image", features["image"][:0]).shape == (0, 3)


def test_many_categories_are_projected_so_that_inner_products_are_nearly_kept() -> None:
    features, labels, _ = world(n=120, categories=20, noise=0.2)
    full = PosteriorAligner().fit(features, Supervision(labels))
    cut = PosteriorAligner(widest=18).fit(features, Supervision(labels))
    assert (full.dim, cut.dim) == (20, 18)
    a, b = (full.embed(m, x) for m, x in features.items())
    c, d = (cut.embed(m, x) for m, x in features.items())
    assert np.corrcoef((a @ b.T).ravel(), (c @ d.T).ravel())[0, 1] > 0.9
    back = PosteriorAligner.from_state(cut.state())
    np.testing.assert_array_equal(back.embed("text", features["text"]), d)
    np.testing.assert_array_equal(a @ full.embed_categories().T, a)
    likeliest = (c @ back.embed_categories().T).argmax(1)
    assert (likeliest == a.argmax(1)).mean() > 0.8


def test_left_out_scores_equal_refitting_without_the_fold() -> None:
    rng = np.random.default_rng(0)
    z, t = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(40, 2))
    folds = np.arange(40) % 4
    spectrum = least_squares._decompose(z, z, 0.3)
    quick = least_squares._left_out(spectrum, t, folds, 0.1)
    k = np.exp(-0.3 * ((z[:, None] - z[None]) ** 2).sum(2))
    for fold in range(4):
        out, rest = folds == fold, folds != fold
        inverse = np.linalg.inv(k[np.ix_(rest, rest)] + 0.1 * np.eye(rest.sum()))
        np.testing.assert_allclose(quick[out], k[np.ix_(out, rest)] @ inverse @ t[rest], atol=1e-3)


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4)).astype(np.float32)
    targets = np.eye(2)[rng.integers(0, 2, 40)]
    root = np.sqrt(1.0 + (np.arange(40) < 10))[:, None]
    spectrum = least_squares._decompose(x, x, 0.3, root)
    weighed = least_squares._solve(spectrum, targets * root, 0.1)
    rows = np.concatenate([np.arange(40), np.arange(10)])
    k = least_squares._kernel(x, x, 0.3).astype(np.float64)
    phi = k[rows]
    repeated = np.linalg.solve(phi.T @ phi + 0.1 * k, phi.T @ targets[rows])
    np.testing.assert_allclose(k @ weighed, k @ repeated, atol=1e-3)


def test_landmarks_come_close_to_the_whole_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels, _ = world(n=300)
    monkeypatch.setattr(least_squares, "WIDTHS", least_squares.WIDTHS_MANY)
    whole = PosteriorAligner().fit(features, Supervision(labels))
    monkeypatch.setattr(least_squares, "LANDMARKS", 120)
    cut = PosteriorAligner().fit(features, Supervision(labels))
    assert len(cut.classifiers_["image"].landmarks) == 120
    a, b = (x.embed("image", features["image"]) for x in (whole, cut))
    assert np.abs(a - b).mean() < 0.03


def test_linked_items_are_left_out_together_and_categories_dealt_evenly() -> None:
    groups = np.repeat(np.arange(40), 3)
    label = np.repeat(np.arange(4), 30)
    folds = _folds(groups, label, np.random.default_rng(0))
    assert all(len(set(folds[groups == g])) == 1 for g in range(40))
    assert all(np.bincount(folds[label == c], minlength=10).max() == 3 for c in range(4))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(1, 6), st.integers(4, 60))
def test_a_sample_keeps_within_its_bounds_and_loses_no_category(
    seed: int, each: int, limit: int
) -> None:
    rng = np.random.default_rng(seed)
    member = rng.random((100, 4)) < [0.9, 0.5, 0.1, 0.03]
    rows = _choose(member, each, limit, rng)
    assert (np.diff(rows) > 0).all()
    assert len(rows) <= min(limit, 4 * each)
    assert (member[rows].any(0) == member.any(0)).all()


@pytest.mark.parametrize("labels", [{}, {"image": np.zeros((90, 3), np.float32)}])
def test_refuses_to_learn_without_categories(labels: dict[str, np.ndarray]) -> None:
    with pytest.raises(NothingToLearn, match="no modality has two categories"):
        PosteriorAligner().fit(world()[0], Supervision(labels))


@pytest.mark.parametrize("ask", ["embed", "state", "dim"])
def test_says_that_it_was_not_fitted(ask: str) -> None:
    aligner = PosteriorAligner()
    with pytest.raises(NotFitted, match="before it learned any category"):
        {
            "embed": lambda: aligner.embed("image", np.ones((1, 3), np.float32)),
            "state": aligner.state,
            "dim": lambda: aligner.dim,
        }[ask]()


def few_labels(
    noise: float = 1.6,
) -> tuple[Supervision, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Pictures that are hard to tell apart with easy texts, and four labels a category."""
    features, labels, truth = world(n=300, noise=noise, categories=4)
    features["text"] = world(n=300, noise=0.2, categories=4)[0]["text"]
    rare = {m: np.where(np.arange(300)[:, None] < 16, x, 0) for m, x in labels.items()}
    pairs = {("text", "image"): np.stack([np.arange(200), np.arange(200)], 1)}
    return Supervision(rare, pairs), features, truth


def hits(aligner: PosteriorAligner, features: dict[str, np.ndarray], truth: np.ndarray) -> float:
    new = slice(200, 300)
    return float((aligner.embed("image", features["image"][new]).argmax(1) == truth[new]).mean())


def test_pictures_learn_their_categories_from_the_texts_that_describe_them() -> None:
    known, features, truth = few_labels()
    alone = PosteriorAligner().fit(features, Supervision(known.labels))
    linked = PosteriorAligner().fit(features, known)
    assert hits(linked, features, truth["image"]) > hits(alone, features, truth["image"]) + 0.05


def test_wrong_links_do_little_harm() -> None:
    known, features, truth = few_labels()
    pairs = known.pairs["text", "image"].copy()
    pairs[:, 1] = np.random.default_rng(0).permutation(pairs[:, 1])
    alone = PosteriorAligner().fit(features, Supervision(known.labels))
    wrong = PosteriorAligner().fit(features, Supervision(known.labels, {("text", "image"): pairs}))
    assert hits(wrong, features, truth["image"]) > hits(alone, features, truth["image"]) - 0.05


@pytest.mark.parametrize("categories", [0, 1])
def test_without_two_categories_there_is_nothing_to_learn(categories: int) -> None:
    features, labels, _ = world()
    few = {m: x[:, :categories] for m, x in labels.items()}
    with pytest.raises(NothingToLearn, match="two categories"):
        PosteriorAligner().fit(features, Supervision(few))


def test_a_rare_category_is_not_taken_for_a_common_one_beside_it() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], (200, 10))
    x = (rng.normal(0, 1, (210, 2)) + 2.0 * y[:, None]).astype(np.float32)
    labels = {"image": np.eye(2, dtype=np.float32)[y]}
    aligner = PosteriorAligner().fit({"image": x}, Supervision(labels))
    new = (rng.normal(0, 1, (2000, 2)) + 2.0).astype(np.float32)
    found = (aligner.embed("image", new).argmax(1) == 1).mean()
    assert found > 0.6  # .52 where every row counts alike
    many = rng.normal(0, 1, (2000, 2)).astype(np.float32)
    assert (aligner.embed("image", many).argmax(1) == 0).mean() > 0.9
