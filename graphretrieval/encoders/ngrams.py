"""Texts as hashed words and character n-grams, weighed by TF-IDF; any language, no segmenter.

Words and their inner n-grams (3 and 4 characters) for scripts with spaces; single characters,
pairs and triples of Han runs. Hashed (Weinberger et al. 2009), so that no vocabulary is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval.folding import STOP_WORDS, is_han, words

BUCKETS = 1 << 20
# a text's first thousands of characters say what it is about
MAX_CHARACTERS = 4000


def grams(text: str) -> Iterator[str]:
    """What a text is made of."""
    for word in words(text[:MAX_CHARACTERS]):
        if is_han(word):
            for size in (1, 2, 3):
                yield from (word[i : i + size] for i in range(len(word) - size + 1))
        elif word not in STOP_WORDS:
            yield f"={word}"
            padded = f" {word} "
            for size in (3, 4):
                yield from (padded[i : i + size] for i in range(len(padded) - size + 1))


class Tfidf:
    """Sparse rows at unit length over the buckets seen in training.

    ``idf_[b]`` is the weight of column b, ``column_[bucket]`` its column or −1.
    """

    def __init__(self, *, max_columns: int = 40_000) -> None:
        self.max_columns = max_columns

    def fit(self, texts: Sequence[str]) -> Any:
        """Learn columns and weights; return the texts' rows ``(n, columns)``."""
        counts = self._counts(texts)
        seen = np.asarray((counts > 0).sum(axis=0)).ravel()
        often = np.argsort(-seen, kind="stable")[: self.max_columns]
        telling = often[seen[often] >= (2 if len(texts) > 50 else 1)]
        # texts without a word still have a column, so that all that follows has one
        self.buckets_ = np.sort(telling) if len(telling) else often[:1]
        self.idf_ = np.log((1 + len(texts)) / (1 + seen[self.buckets_])).astype(np.float32) + 1
        return self._weighed(counts[:, self.buckets_])

    def transform(self, texts: Sequence[str]) -> Any:
        """Rows ``(n, columns)`` of other texts."""
        from scipy.sparse import csr_matrix

        counts = self._counts(texts)
        # choosing columns of the matrix would go through all of them, for a text of few
        column = np.searchsorted(self.buckets_, counts.indices)
        column[column == len(self.buckets_)] = 0
        known = self.buckets_[column] == counts.indices
        indptr = np.concatenate([[0], np.cumsum(known)])[counts.indptr]
        shape = (len(texts), len(self.buckets_))
        return self._weighed(csr_matrix((counts.data[known], column[known], indptr), shape))

    def _counts(self, texts: Sequence[str]) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer

        hashing = HashingVectorizer(
            analyzer=grams, n_features=BUCKETS, alternate_sign=False, norm=None, dtype=np.float32
        )
        return hashing.transform(texts)

    def _weighed(self, counts: Any) -> Any:
        from sklearn.preprocessing import normalize

        rows = counts.tocsr(copy=True)
        rows.data = 1 + np.log(rows.data)
        return normalize(rows.multiply(self.idf_).tocsr(), copy=False)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What was learned."""
        return {"buckets": self.buckets_.astype(np.int32), "idf": self.idf_}
