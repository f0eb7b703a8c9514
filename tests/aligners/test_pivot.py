from __future__ import annotations

import numpy as np
import pytest

from graphretrieval.aligners.pivot import PivotAligner
from graphretrieval.arrays import normalise
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.types import Supervision


def scene(n=300, seed=0, noise=0.1, texts=2):
    """Pictures, ``texts`` captions each, whose vectors are a noisy linear map of the picture's."""
    rng = np.random.default_rng(seed)
    image = rng.standard_normal((n, 12)).astype(np.float32)
    meaning = image @ rng.standard_normal((12, 6)) / 3
    owner = np.repeat(np.arange(n), texts)
    text = (meaning[owner] + noise * rng.standard_normal((n * texts, 6))).astype(np.float32)
    pairs = np.stack([np.arange(n * texts), owner], 1)
    return image, text, meaning, pairs


def test_without_a_metric_texts_stay_where_they_are():
    image, text, _, pairs = scene()
    wide = np.hstack([np.full((len(text), 2), 9, np.float32), text])
    pivot = PivotAligner(columns=(2, 8), metric=False).fit(
        {"image": image, "text": wide}, Supervision(pairs={("text", "image"): pairs})
    )
    assert pivot.dim == 6
    np.testing.assert_array_equal(pivot.embed("text", wide), text)


def test_with_a_metric_descriptions_of_one_thing_lie_nearer_together():
    image, text, _, pairs = scene()
    known, sup = {"image": image, "text": text}, Supervision(pairs={("text", "image"): pairs})
    gaps = []
    for metric in (False, True):
        pivot = PivotAligner(metric=metric).fit(known, sup)
        x = normalise(pivot.embed("text", text))
        gaps.append(float(((x[::2] * x[1::2]).sum(1).mean() - (x @ x.T).mean()) / (x @ x.T).std()))
    assert gaps[1] > gaps[0]


def test_a_second_fit_can_keep_the_choice_of_no_metric():
    image, text, _, pairs = scene()
    known, sup = {"image": image, "text": text}, Supervision(pairs={("text", "image"): pairs})
    one, none = PivotAligner().fit(known, sup), PivotAligner(metric=False).fit(known, sup)
    assert one.choices == {"metric": True}
    again = PivotAligner(**none.choices).fit(known, sup)
    np.testing.assert_array_equal(again.embed("text", text), text)


def test_pictures_are_mapped_to_where_the_metric_puts_their_texts():
    image, text, _, pairs = scene()
    sup = Supervision(pairs={("text", "image"): pairs})
    pivot = PivotAligner().fit({"image": image, "text": text}, sup)
    again = PivotAligner.from_state(pivot.state())
    for m, x in (("image", image), ("text", text)):
        np.testing.assert_array_equal(again.embed(m, x), pivot.embed(m, x))
    scores = normalise(pivot.embed("image", image)) @ normalise(pivot.embed("text", text)[::2]).T
    assert np.median((scores > np.diag(scores)[:, None]).sum(1)) <= 5


def test_a_map_is_the_normal_equations_solution():
    image, text, _, pairs = scene()
    pivot = PivotAligner(penalty=0.5, metric=False).fit(
        {"image": image, "text": text}, Supervision(pairs={("text", "image"): pairs})
    )
    x = image.astype(np.float64) - image.mean(0)
    t = text.astype(np.float64).reshape(300, 2, 6).mean(1)
    penalty = 0.5 * np.square(x).sum() / len(x)
    w = np.linalg.inv(x.T @ x + penalty * np.eye(12)) @ x.T @ t
    np.testing.assert_allclose(pivot.embed("image", image), x @ w, atol=1e-4)


def test_more_columns_than_rows_give_the_same_map():
    image, text, _, pairs = scene(n=40)
    rng = np.random.default_rng(1)
    wide = np.hstack([image, rng.standard_normal((40, 80))]).astype(np.float32)
    sup = Supervision(pairs={("text", "image"): pairs})
    pivot = PivotAligner(penalty=0.5, metric=False).fit({"image": wide, "text": text}, sup)
    x = wide.astype(np.float64) - wide.mean(0)
    t = text.astype(np.float64).reshape(40, 2, 6).mean(1)
    penalty = 0.5 * np.square(x).sum() / len(x)
    w = np.linalg.inv(x.T @ x + penalty * np.eye(92)) @ x.T @ t
    np.testing.assert_allclose(pivot.embed("image", wide), x @ w, atol=1e-4)


def test_unseen_pictures_find_their_meaning():
    image, text, meaning, pairs = scene()
    train = pairs[pairs[:, 1] < 200]
    pivot = PivotAligner().fit(
        {"image": image, "text": text}, Supervision(pairs={("text", "image"): train})
    )
    predicted = pivot.embed("image", image[200:])
    scores = predicted @ meaning[200:].T
    error = np.linalg.norm(predicted - meaning[200:]) / np.linalg.norm(meaning[200:])
    assert error < 0.2
    assert np.median((scores > np.diag(scores)[:, None]).sum(1)) <= 5


def test_the_noisier_the_pairs_the_stronger_the_penalty():
    chosen = []
    for noise in (0.01, 20.0):
        image, text, _, pairs = scene(n=150, noise=noise, texts=1)
        sup = Supervision(pairs={("text", "image"): pairs})
        pivot = PivotAligner().fit({"image": image, "text": text}, sup)
        chosen.append(pivot.penalties_["image"])
    assert chosen[0] < chosen[1]


def test_unsure_predictions_are_short():
    image, text, _, pairs = scene()
    rng = np.random.default_rng(0)
    known = {"image": image, "text": text, "audio": rng.standard_normal((300, 12))}
    shuffled = np.stack([rng.permutation(len(pairs))[:300], np.arange(300)], 1)
    sup = Supervision(pairs={("text", "image"): pairs, ("text", "audio"): shuffled})
    pivot = PivotAligner(penalty=1.0).fit(known, sup)
    sure, unsure = (np.linalg.norm(pivot.embed(m, known[m])) for m in ("image", "audio"))
    assert unsure < 0.5 * sure


def test_spoken_descriptions_learn_from_the_captions_of_what_they_describe():
    image, text, meaning, pairs = scene()
    rng = np.random.default_rng(2)
    audio = (meaning @ rng.standard_normal((6, 9))).astype(np.float32)
    rows = np.stack([np.arange(300), np.arange(300)], 1)
    sup = Supervision(pairs={("text", "image"): pairs, ("audio", "image"): rows[:200]})
    pivot = PivotAligner().fit({"image": image, "text": text, "audio": audio}, sup)
    predicted = pivot.embed("audio", audio[200:])
    scores = predicted @ meaning[200:].T
    assert np.median((scores > np.diag(scores)[:, None]).sum(1)) <= 5


def test_a_modality_without_pairs_gets_zeros():
    image, text, _, pairs = scene()
    known = {"image": image, "text": text, "audio": np.ones((5, 4), np.float32)}
    pivot = PivotAligner().fit(known, Supervision(pairs={("text", "image"): pairs}))
    np.testing.assert_array_equal(pivot.embed("audio", known["audio"]), np.zeros((5, 6)))


def test_pairs_without_texts_are_nothing_to_learn():
    image, _, _, _ = scene()
    rows = np.stack([np.arange(300), np.arange(300)], 1)
    with pytest.raises(NothingToLearn, match="DESCRIBES"):
        PivotAligner().fit(
            {"image": image, "audio": image}, Supervision(pairs={("audio", "image"): rows})
        )


def test_asking_before_fitting_is_refused():
    with pytest.raises(NotFitted, match="call fit"):
        PivotAligner().embed("text", np.ones((1, 2), np.float32))
