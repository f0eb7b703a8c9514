"""Words and character n-grams of any language, weighed as the textbook says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from graphretrieval.encoders.ngrams import MAX_CHARACTERS, Tfidf, grams


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Cat", ["=cat", " ca", "cat", "at ", " cat", "cat "]),
        ("the", []),
        ("ox", ["=ox", " ox", "ox ", " ox "]),
        ("老虎叫", ["老", "虎", "叫", "老虎", "虎叫", "老虎叫"]),
        ("虎a", ["虎", "=a"]),
        ("", []),
    ],
)
def test_a_text_is_made_of_these(text: str, found: list[str]) -> None:
    # "a" is a stop word and says nothing
    assert list(grams(text)) == [g for g in found if g != "=a"]


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    assert len(list(grams("虎" * 10 * MAX_CHARACTERS))) == 3 * MAX_CHARACTERS - 3


TEXTS = [
    "a red fire truck on the road",
    "a red car",
    "消防车在路上",
    "红色的汽车",
    "the truck and the car and the truck",
]


def test_rows_are_those_of_scikit_learn_but_for_the_hashing() -> None:
    ours = Tfidf().fit(TEXTS)
    theirs = TfidfVectorizer(analyzer=lambda t: list(grams(t)), sublinear_tf=True)
    gram = (ours @ ours.T).toarray()
    want = theirs.fit_transform(TEXTS)
    np.testing.assert_allclose(gram, (want @ want.T).toarray(), atol=1e-5)


def test_new_texts_are_weighed_as_learned_and_unknown_ones_are_zero() -> None:
    tfidf = Tfidf()
    rows = tfidf.fit(TEXTS)
    again = tfidf.transform([*TEXTS, "完全不同", "zzzz"])
    np.testing.assert_allclose(again[: len(TEXTS)].toarray(), rows.toarray(), atol=1e-6)
    assert again[len(TEXTS) :].nnz == 0


def test_columns_are_bounded_and_the_most_frequent_stay() -> None:
    tfidf = Tfidf(max_columns=10)
    assert tfidf.fit(TEXTS).shape == (5, 10)
    assert tfidf.transform(["car"]).nnz > 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_any_texts_give_finite_rows_of_at_most_unit_length(texts: list[str]) -> None:
    rows = Tfidf().fit(texts)
    lengths = np.sqrt(rows.multiply(rows).sum(axis=1))
    assert np.isfinite(lengths).all()
    assert np.all((np.abs(lengths - 1) < 1e-5) | (lengths == 0))
