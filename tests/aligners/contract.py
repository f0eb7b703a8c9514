"""What every aligner must do; a plugin's tests can run it on their own class."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

from graphretrieval.errors import NothingToLearn
from graphretrieval.types import Supervision

SIZES = {"audio": 90, "image": 120, "text": 150}
WIDTHS = {"audio": 7, "image": 12, "text": 9}


def collection(seed=0, labels=True, pairs=True):
    """Three modalities that see the same five categories; texts describe pictures and sounds."""
    rng = np.random.default_rng(seed)
    category = {m: rng.integers(0, 5, n) for m, n in SIZES.items()}
    hidden = rng.standard_normal((5, 6))
    features = {}
    for m, n in SIZES.items():
        item = hidden[category[m]] + 0.3 * rng.standard_normal((n, 6))
        features[m] = (item @ rng.standard_normal((6, WIDTHS[m]))).astype(np.float32)
    links = {}
    for target, p in (("image", 100), ("audio", 50)):
        text = rng.permutation(SIZES["text"])[:p]
        same = category["text"][text][:, None] == category[target][None, :]
        item = np.array([rng.choice(np.flatnonzero(row)) for row in same])
        links["text", target] = np.stack([text, item], 1)
    one_hot = {m: np.eye(5, dtype=np.float32)[c] for m, c in category.items()}
    supervision = Supervision(
        one_hot if labels else {},
        links if pairs else {},
        names=tuple("abcde") if labels else (),
    )
    return features, supervision, category


@functools.cache
def fitted(cls):
    """The aligner on the collection; fitted once, since no test changes it."""
    features, supervision, _ = collection()
    return cls().fit(features, supervision, seed=3)


class AlignerContract:
    """Inherit, and give a fixture ``cls``: the aligner's class."""

    def test_vectors_have_the_declared_shape(self, cls):
        features, _, _ = collection()
        aligner = fitted(cls)
        for m, x in features.items():
            v = aligner.embed(m, x)
            assert v.shape == (len(x), aligner.dim)
            assert v.dtype == np.float32
            assert np.isfinite(v).all()

    def test_fit_returns_the_aligner_and_leaves_its_input_alone(self, cls):
        features, supervision, _ = collection()
        before = {m: x.copy() for m, x in features.items()}
        aligner = cls()
        assert aligner.fit(features, supervision) is aligner
        for m, x in features.items():
            np.testing.assert_array_equal(x, before[m])

    def test_the_same_seed_gives_the_same_vectors(self, cls):
        features, supervision, _ = collection()
        one, two = fitted(cls), cls().fit(features, supervision, seed=3)
        for m, x in features.items():
            np.testing.assert_array_equal(one.embed(m, x), two.embed(m, x))

    def test_the_state_brings_the_same_vectors_back(self, cls):
        features, _, _ = collection()
        aligner = fitted(cls)
        state = aligner.state()
        json.dumps(dict(state.settings))
        assert all(isinstance(a, np.ndarray) for a in state.arrays.values())
        again = cls.from_state(state)
        assert again.dim == aligner.dim
        for m, x in features.items():
            np.testing.assert_array_equal(again.embed(m, x), aligner.embed(m, x))

    def test_a_modality_never_seen_gets_zeros(self, cls):
        aligner = fitted(cls)
        v = aligner.embed("video", np.ones((4, 3), np.float32))
        np.testing.assert_array_equal(v, np.zeros((4, aligner.dim), np.float32))

    def test_no_rows_give_no_vectors(self, cls):
        aligner = fitted(cls)
        empty = np.empty((0, WIDTHS["image"]), np.float32)
        assert aligner.embed("image", empty).shape == (0, aligner.dim)

    def test_nothing_known_is_nothing_to_learn(self, cls):
        features, supervision, _ = collection(labels=False, pairs=False)
        with pytest.raises(NothingToLearn, match=r"\. [A-Za-z]"):  # with a remedy
            cls().fit(features, supervision)

    def test_an_items_vector_does_not_depend_on_its_neighbours_in_the_array(self, cls):
        features, _, _ = collection()
        aligner = fitted(cls)
        for m, x in features.items():
            order = np.random.default_rng(1).permutation(len(x))
            np.testing.assert_allclose(
                aligner.embed(m, x[order]), aligner.embed(m, x)[order], atol=1e-3
            )

    def test_items_of_one_category_are_nearer_than_others(self, cls):
        features, _, category = collection()
        aligner = fitted(cls)
        image, text = (
            aligner.embed("image", features["image"]),
            aligner.embed("text", features["text"]),
        )
        scores = text @ image.T
        same = category["text"][:, None] == category["image"][None, :]
        assert scores[same].mean() > scores[~same].mean() + 0.5 * scores.std()

    def test_what_is_known_of_validation_rows_alone_is_nothing_to_learn(self, cls):
        features, supervision, _ = collection()
        marks = {m: np.ones(n, np.bool_) for m, n in SIZES.items()}
        held = Supervision(supervision.labels, supervision.pairs, marks, names=supervision.names)
        with pytest.raises(NothingToLearn):
            cls().fit(features, held)
