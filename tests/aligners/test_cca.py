from __future__ import annotations

import numpy as np
import pytest
from scipy.io import loadmat

from graphretrieval.aligners.cca import CcaAligner
from graphretrieval.arrays import normalise
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.types import Supervision


def mean_average_precision(scores, asks, answers):
    hit = answers[np.argsort(-scores, axis=1, kind="stable")] == asks[:, None]
    precision = np.cumsum(hit, axis=1) / np.arange(1, hit.shape[1] + 1)
    return float(((precision * hit).sum(1) / hit.sum(1)).mean())


def paired(n, *modalities):
    rows = np.stack([np.arange(n), np.arange(n)], 1)
    keys = [(a, b) for i, a in enumerate(modalities) for b in modalities[i + 1 :]]
    return Supervision(pairs=dict.fromkeys(keys, rows))


def test_plain_cca_reproduces_the_published_wikipedia_figures(data):
    # Rasiwasia et al. 2010, correlation matching: .249 image → text, .196 text → image
    folder = data / "features" / "wikipedia_sift_lda"
    mat = loadmat(folder / "wikiData.mat")
    lines = (folder / "testset_txt_img_cat.list").read_text().split("\n")
    label = np.array([int(line.split()[-1]) for line in lines if line])
    features = {"image": mat["I_tr"], "text": mat["T_tr"]}
    cca = CcaAligner(dims=7, ridge=1e-3, power=0.0).fit(features, paired(2173, "image", "text"))
    image, text = (
        normalise(cca.embed(m, mat[k])) for m, k in (("image", "I_te"), ("text", "T_te"))
    )
    assert mean_average_precision(image @ text.T, label, label) == pytest.approx(0.249, abs=0.01)
    assert mean_average_precision(text @ image.T, label, label) == pytest.approx(0.196, abs=0.01)


def two_views(seed=0, n=500):
    """Two views of two shared signals, with correlations that a direct solution also gives."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 2))
    x = np.hstack([shared[:, :1] + 0.3 * rng.standard_normal((n, 1)), rng.standard_normal((n, 3))])
    y = np.hstack([shared + rng.standard_normal((n, 2)), rng.standard_normal((n, 2))])
    x[:, 1] += shared[:, 1]
    return x @ rng.standard_normal((4, 4)), y @ rng.standard_normal((4, 4))


def test_two_views_give_the_textbooks_canonical_correlations():
    x, y = two_views()
    cca = CcaAligner(dims=3, ridge=1e-9, power=0.0).fit({"a": x, "b": y}, paired(500, "a", "b"))
    # by QR: the cosines of the principal angles between the centred column spaces
    qx, qy = (np.linalg.qr(v - v.mean(0))[0] for v in (x, y))
    expected = np.linalg.svd(qx.T @ qy)[1][:3]
    np.testing.assert_allclose(cca.correlations_, expected, atol=1e-4)
    u, v = cca.embed("a", x), cca.embed("b", y)
    got = [np.corrcoef(u[:, i], v[:, i])[0, 1] for i in range(3)]
    np.testing.assert_allclose(got, expected, atol=1e-4)
    np.testing.assert_allclose(np.cov(u.T, bias=True), np.eye(3), atol=1e-3)


def test_power_scales_directions_by_their_correlation():
    x, y = two_views()
    views, pairs = {"a": x, "b": y}, paired(500, "a", "b")
    plain = CcaAligner(dims=3, ridge=1e-3, power=0.0).fit(views, pairs)
    scaled = CcaAligner(dims=3, ridge=1e-3, power=2.0).fit(views, pairs)
    np.testing.assert_allclose(
        scaled.embed("a", x), plain.embed("a", x) * plain.correlations_**2, atol=1e-5
    )


def test_a_third_view_joined_to_one_is_found_from_the_other():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((600, 3))
    views = {
        m: (signal + 0.3 * rng.standard_normal((600, 3))) @ rng.standard_normal((3, 5))
        for m in "abc"
    }
    half = np.arange(600)[:, None].repeat(2, 1)
    # a–b and b–c are paired in different rows; a–c never is
    sup = Supervision(pairs={("a", "b"): half[:250], ("c", "b"): half[250:500]})
    direct = Supervision(pairs={("a", "c"): half[:500]})
    found = []
    for supervision in (sup, direct):
        cca = CcaAligner(dims=3, ridge=1e-2).fit(views, supervision)
        a, c = (normalise(cca.embed(m, views[m][500:])) for m in "ac")
        found.append(((a @ c.T).argmax(1) == np.arange(100)).mean())
    assert found[1] > 0.1  # chance .01
    assert found[0] > 0.7 * found[1]


def test_labels_alone_join_modalities_by_class_means():
    rng = np.random.default_rng(0)
    category = {m: rng.integers(0, 4, 200) for m in "ab"}
    hidden = rng.standard_normal((4, 4))
    views = {
        m: (hidden[category[m]] + 0.3 * rng.standard_normal((200, 4))) @ rng.standard_normal((4, 6))
        for m in "ab"
    }
    sup = Supervision(labels={m: np.eye(4, dtype=np.float32)[category[m]] for m in "ab"})
    cca = CcaAligner().fit(views, sup)
    scores = normalise(cca.embed("a", views["a"])) @ normalise(cca.embed("b", views["b"])).T
    assert mean_average_precision(scores, category["a"], category["b"]) > 0.8


def test_dims_and_ridge_are_chosen_on_held_rows():
    x, y = two_views(n=200)
    noisy = np.hstack([x, np.random.default_rng(1).standard_normal((200, 60))])
    cca = CcaAligner().fit({"a": noisy, "b": y}, paired(200, "a", "b"))
    assert cca.chosen_["ridge"] > 1e-3  # 64 columns, 170 rows: little ridge would fit the noise
    assert 1 <= cca.chosen_["dims"] <= 4


def test_a_modality_without_variation_is_left_out():
    x, y = two_views(n=120)
    views = {"a": x, "b": y, "c": np.ones((120, 5))}
    cca = CcaAligner(dims=2, ridge=1e-2).fit(views, paired(120, "a", "b", "c"))
    without = CcaAligner(dims=2, ridge=1e-2).fit({"a": x, "b": y}, paired(120, "a", "b"))
    np.testing.assert_array_equal(cca.embed("a", x), without.embed("a", x))
    assert not cca.embed("c", views["c"]).any()
    again = CcaAligner.from_state(cca.state())
    np.testing.assert_array_equal(again.embed("b", y), cca.embed("b", y))


def test_what_was_joined_through_a_modality_without_variation_is_not_joined():
    x, y = two_views(n=60)
    rows = np.arange(60)[:, None].repeat(2, 1)
    through = Supervision(pairs={("a", "c"): rows, ("b", "c"): rows})
    with pytest.raises(NothingToLearn, match=r"the items of \['c'\] do not"):
        CcaAligner().fit({"a": x, "b": y, "c": np.ones((60, 5))}, through)


@pytest.mark.parametrize("n", [1, 30])
def test_items_that_do_not_differ_teach_nothing(n):
    views = {"a": np.ones((n, 4)), "b": np.zeros((n, 3))}
    with pytest.raises(NothingToLearn, match="leave CCA out"):
        CcaAligner().fit(views, paired(n, "a", "b"))


def test_asking_before_fitting_is_refused():
    with pytest.raises(NotFitted, match="call fit"):
        _ = CcaAligner().dim
    with pytest.raises(NotFitted, match="call fit"):
        CcaAligner().state()
