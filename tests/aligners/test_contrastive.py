from __future__ import annotations

import numpy as np
import pytest
import torch

from graphretrieval.aligners.contrastive import ContrastiveAligner
from graphretrieval.aligners.objectives import contrast, symmetric, within
from graphretrieval.errors import NotFitted
from graphretrieval.types import Supervision


def unit(n, d, seed):
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32))
    return torch.nn.functional.normalize(x, dim=1)


def test_contrast_is_the_formula_term_by_term():
    a, b = unit(4, 3, 0), unit(5, 3, 1)
    positive = torch.tensor(np.random.default_rng(2).random((4, 5)) > 0.5)
    positive[3] = False  # nothing belongs to the last: it does not count
    terms = []
    for i in range(3):
        scores = np.exp(7.0 * (b @ a[i]).numpy().astype(float))
        logs = [np.log(scores[j] / scores.sum()) for j in range(5) if positive[i, j]]
        terms.append(-np.mean(logs))
    got = contrast(a, b, positive, torch.tensor(7.0))
    assert float(got) == pytest.approx(np.mean(terms), rel=1e-4)


def test_one_positive_is_cross_entropy_in_both_directions():
    a, b = unit(6, 4, 0), unit(6, 4, 1)
    logits, target = 5.0 * a @ b.T, torch.arange(6)
    entropy = torch.nn.functional.cross_entropy
    expected = 0.5 * (entropy(logits, target) + entropy(logits.T, target))
    got = symmetric(a, b, torch.eye(6, dtype=torch.bool), torch.tensor(5.0))
    assert float(got) == pytest.approx(float(expected), rel=1e-5)


def test_nothing_is_its_own_positive():
    x = unit(5, 3, 0)
    positive = torch.zeros((5, 5), dtype=torch.bool)
    positive[0, 1] = positive[1, 0] = True
    alone = within(x, positive, torch.tensor(3.0))
    with_self = within(x, positive | torch.eye(5, dtype=torch.bool), torch.tensor(3.0))
    assert float(alone) == pytest.approx(float(with_self))
    scores = np.exp(3.0 * (x @ x.T).numpy().astype(float))
    np.fill_diagonal(scores, 0)
    expected = -np.mean(
        [np.log(scores[0, 1] / scores[0].sum()), np.log(scores[1, 0] / scores[1].sum())]
    )
    assert float(alone) == pytest.approx(expected, rel=1e-4)


def scene(n=400, seed=0):
    """Three views of eight signals that no linear map of one coordinate shows."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((n, 8))
    return {
        m: ((signal + 0.3 * rng.standard_normal((n, 8))) @ rng.standard_normal((8, 16))).astype(
            np.float32
        )
        for m in ("audio", "image", "text")
    }


def recall_at_1(aligner, views, a, b, rows):
    x, y = aligner.embed(a, views[a][rows]), aligner.embed(b, views[b][rows])
    return float(((x @ y.T).argmax(1) == np.arange(len(rows))).mean())


def test_pairs_bring_unseen_items_together_also_across_the_pairs():
    views = scene()
    rows = np.stack([np.arange(400), np.arange(400)], 1)[:300]
    sup = Supervision(pairs={("text", "image"): rows[:200], ("text", "audio"): rows[100:]})
    aligner = ContrastiveAligner(size=32, hidden=64, steps=120).fit(views, sup)
    fresh = np.arange(300, 400)
    assert recall_at_1(aligner, views, "text", "image", fresh) > 0.4  # chance .01
    assert recall_at_1(aligner, views, "image", "audio", fresh) > 0.2


def test_vectors_are_of_unit_length():
    views = scene(n=100)
    rows = np.stack([np.arange(100), np.arange(100)], 1)
    aligner = ContrastiveAligner(size=8, hidden=0, steps=20).fit(
        views, Supervision(pairs={("text", "image"): rows})
    )
    np.testing.assert_allclose(
        np.linalg.norm(aligner.embed("image", views["image"]), axis=1), 1, rtol=1e-5
    )
    assert not aligner.embed("audio", views["audio"]).any()  # no pairs: not fitted


def test_training_leaves_torchs_own_randomness_alone():
    views = scene(n=100)
    rows = np.stack([np.arange(100), np.arange(100)], 1)
    sup = Supervision(pairs={("text", "image"): rows})
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    ContrastiveAligner(size=8, hidden=8, steps=5).fit(views, sup)
    assert torch.equal(torch.rand(3), expected)


def test_noise_is_given_up_early():
    rng = np.random.default_rng(0)
    views = {m: rng.standard_normal((200, 10)).astype(np.float32) for m in ("image", "text")}
    rows = np.stack([np.arange(200), np.arange(200)], 1)
    aligner = ContrastiveAligner(size=8, hidden=32, steps=2000).fit(
        views, Supervision(pairs={("text", "image"): rows})
    )
    assert aligner.steps_ < 1000


def test_asking_before_fitting_is_refused():
    with pytest.raises(NotFitted, match="call fit"):
        ContrastiveAligner().embed("image", np.ones((1, 2), np.float32))
