"""Texts in any language → meaning and words: a sentence model where it knows the language, and
cross-lingual LSA for all, so that a Chinese query lies where its English twin does.

LSA over parallel texts (Dumais et al. 1997): the SVD is taken of documents that join all the
descriptions of one thing, so that words of all languages share its axes. Where a sentence model is
there, other languages are mapped into its space by ridge regression on parallel descriptions; the
map's output is left as short as it is unsure. Where a Chinese dictionary is there too, a Chinese
text starts from what the sentence model makes of its glosses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from graphretrieval.arrays import normalise
from graphretrieval.encoders import glosses
from graphretrieval.encoders.minilm import SentenceModel, locate
from graphretrieval.encoders.ngrams import Tfidf
from graphretrieval.folding import is_han, tokens
from graphretrieval.protocols import Progress, silent
from graphretrieval.types import Array, Ints, State, TextContent

# ridge penalties tried on held-out groups, as shares of the mean squared length of a column
PENALTIES = (1e-2, 1e-1, 1.0, 3.0, 10.0)
# Chinese texts beside English ones that a correction of their own is learned from
FEWEST = 50
# axes of a singular value below this share of the first are left out: where a collection speaks of
# few things they only tell its languages apart (measured: 68 bilingual captions of 18 things have
# 17 axes above .47 and the rest below .031; 254 pictures' real captions have 253 above .06)
RANK = 0.04
# documents up to which the axes are exact: a decomposition of this size takes about a second
EXACT = 2000
VERSION = "text-4"


class TextEncoder:
    """``encode`` gives ``[meaning | words]``; :attr:`parts` says which columns are which.

    Args:
        model: sentence model: ``auto``, ``none``, a folder or a cached hub name.
        components: columns of the LSA space.
        dictionary: Chinese glosses: ``auto`` (where installed) or ``none``.
    """

    modality = "text"

    def __init__(
        self, *, model: str = "auto", components: int = 384, dictionary: str = "auto"
    ) -> None:
        self.model = model
        self.components = components
        self.dictionary = dictionary
        self._sentences: SentenceModel | None = None

    @property
    def parts(self) -> dict[str, tuple[int, int]]:
        """Columns of the meaning (comparable across languages) and of the words."""
        words = self.basis_.shape[1]
        meaning = self.map_.shape[1] if self.map_ is not None else 0
        if not meaning:
            return {"meaning": (0, words), "words": (0, words)}
        return {"meaning": (0, meaning), "words": (meaning, meaning + words)}

    @property
    def dim(self) -> int:
        """Columns of ``encode``."""
        return max(end for _, end in self.parts.values())

    @property
    def version(self) -> str:
        """Changes with anything learned."""
        digest = hashlib.sha256(VERSION.encode())
        for name, array in sorted(self.state().arrays.items()):
            digest.update(name.encode() + array.tobytes())
        return f"{VERSION}-{digest.hexdigest()[:16]}"

    def fit(
        self,
        contents: Sequence[TextContent],
        *,
        groups: Ints | None = None,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn the shared axes, and the map of other languages into the sentence model's space."""
        groups = np.full(len(contents), -1) if groups is None else np.asarray(groups)
        progress(0, 3, "learning words")
        self._tfidf = Tfidf()
        rows = self._tfidf.fit([c.text for c in contents])
        documents = _joined(rows, groups)
        k = max(1, min(self.components, min(documents.shape) - 1))
        progress(1, 3, "learning words")
        s, vt = _axes(documents, k, seed)
        real = s > RANK * max(s[0], 1e-6)
        real[0] = True
        s, vt = s[real], vt[real]
        # axes at their singular value's root: frequent topics do not drown the rest
        self.basis_ = (vt.T / np.sqrt(np.maximum(s, 1e-6))).astype(np.float16)
        progress(2, 3, "learning words")
        where = locate(self.model)
        self._sentences = None if where is None else SentenceModel(where)
        self.where_ = where
        self.map_: npt.NDArray[np.float16] | None = None
        self.glossed_ = (
            self._sentences is not None and self.dictionary != "none" and glosses.available()
        )
        if self._sentences is not None:
            self.map_ = self._fit_map(contents, rows, groups, seed)
        progress(3, 3, "learning words")
        return self

    def encode(self, contents: Sequence[TextContent]) -> Array:
        """Meaning and words ``(n, dim)``; words at unit length."""
        if not len(contents):
            return np.zeros((0, self.dim), np.float32)
        lsa = self._lsa(self._tfidf.transform([c.text for c in contents]))
        if self.map_ is None:
            return lsa
        meaning = np.zeros((len(lsa), self.map_.shape[1]), np.float32)
        known = np.array([speaks(c) for c in contents])
        if known.any():
            meaning[known] = self._model.encode(
                [contents[int(i)].text for i in np.flatnonzero(known)]
            )
        if not known.all():
            meaning[~known] = lsa[~known] @ self.map_.astype(np.float32)
        han = np.flatnonzero(~known & [_is_chinese(c) for c in contents])
        if len(han):
            first, x = self._chinese([contents[int(i)].text for i in han], lsa[han], meaning[han])
            meaning[han] = first + x @ self.han_.astype(np.float32)
        return np.concatenate([meaning, lsa], axis=1).astype(np.float32)

    def foreign(self, contents: Sequence[TextContent]) -> npt.NDArray[np.bool_]:
        """Which texts ``(n,)`` are in a language that the sentence model does not know."""
        if locate(self.model) is None:
            return np.zeros(len(contents), np.bool_)
        return np.array([not speaks(c) for c in contents], np.bool_)

    @property
    def _model(self) -> SentenceModel:
        if self._sentences is None:
            self._sentences = SentenceModel(str(self.where_))
        return self._sentences

    def _lsa(self, rows: Any) -> Array:
        from scipy.sparse import csr_matrix

        # few texts have few words, and the others' axes need not be made single precision
        columns, place = np.unique(rows.indices, return_inverse=True)
        own = csr_matrix((rows.data, place, rows.indptr), (rows.shape[0], len(columns)))
        return normalise(own @ self.basis_[columns].astype(np.float32))

    def _fit_map(
        self, contents: Sequence[TextContent], rows: Any, groups: Ints, seed: int
    ) -> npt.NDArray[np.float16]:
        """Ridge from the LSA space to the mean sentence vector of the group's English texts."""
        known = np.array([speaks(c) for c in contents])
        anchors = np.flatnonzero(known & (groups >= 0))
        width = self._model.dim
        words = self.basis_.shape[1]
        self.han_ = np.zeros((words + (width if self.glossed_ else 0), width), np.float16)
        if not len(anchors):
            return np.zeros((words, width), np.float16)
        names, member = np.unique(groups[anchors], return_inverse=True)
        y = np.zeros((len(names), width), np.float32)
        np.add.at(y, member, self._model.encode([contents[int(i)].text for i in anchors]))
        y /= np.bincount(member)[:, None]
        others = np.flatnonzero(~known & np.isin(groups, names))
        learners = others if len(others) else anchors
        x = self._lsa(rows[learners])
        target = y[np.searchsorted(names, groups[learners])]
        shared = _ridge(x, target, groups[learners], seed)
        # what the map of all languages, or the glosses, leave unsaid in Chinese
        han = np.array([_is_chinese(contents[int(i)]) for i in learners])
        if han.sum() >= FEWEST:
            texts = [contents[int(i)].text for i in learners[han]]
            first, inputs = self._chinese(texts, x[han], x[han] @ shared)
            left = target[han] - first
            self.han_ = _ridge(inputs, left, groups[learners][han], seed).astype(np.float16)
        return shared.astype(np.float16)

    def _chinese(self, texts: Sequence[str], lsa: Array, mapped: Array) -> tuple[Array, Array]:
        """A first guess ``(n, width)`` at Chinese texts' meaning, and what corrects it."""
        if not self.glossed_:
            return mapped, lsa
        dictionary = glosses.Glosses()
        english = [dictionary.english(t) for t in texts]
        said = np.flatnonzero([e != "" for e in english])
        vectors = np.zeros_like(mapped)
        vectors[said] = self._model.encode([english[int(i)] for i in said])
        first = mapped.copy()
        first[said] = vectors[said]
        return first, np.concatenate([lsa, vectors], axis=1)

    def state(self) -> State:
        """Buckets, weights, axes and the map."""
        arrays: dict[str, npt.NDArray[Any]] = {**self._tfidf.arrays(), "basis": self.basis_}
        if self.map_ is not None:
            arrays |= {"map": self.map_, "han": self.han_}
        settings = {
            "model": self.model,
            "components": self.components,
            "dictionary": self.dictionary,
        }
        return State(arrays, settings)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted encoder; the sentence model is loaded when first needed."""
        encoder = cls(**state.settings)
        encoder._tfidf = Tfidf()
        encoder._tfidf.buckets_ = state.arrays["buckets"].astype(np.int64)
        encoder._tfidf.idf_ = np.asarray(state.arrays["idf"], np.float32)
        encoder.basis_ = np.asarray(state.arrays["basis"], np.float16)
        encoder.map_ = np.asarray(state.arrays["map"]) if "map" in state.arrays else None
        if encoder.map_ is not None:
            encoder.han_ = np.asarray(state.arrays["han"])
            encoder.glossed_ = len(encoder.han_) > encoder.basis_.shape[1]
        encoder.where_ = locate(encoder.model) if encoder.map_ is not None else None
        return encoder


def speaks(content: TextContent) -> bool:
    """Whether the sentence model knows a text's language: English, or unsaid and in Latin."""
    if content.lang:
        return content.lang.split("_")[0].split("-")[0].lower() == "en"
    letters = [c for c in content.text if c.isalpha()]
    return not any(is_han(c) for c in letters) and sum(c.isascii() for c in letters) >= 0.9 * len(
        letters
    )


def _is_chinese(content: TextContent) -> bool:
    return any(map(is_han, tokens(content.text)))


def _joined(rows: Any, groups: Ints) -> Any:
    """One document for each group, the mean of its texts; texts without a group stand alone."""
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import normalize

    alone = groups < 0
    key = np.where(alone, groups.max(initial=0) + 1 + np.arange(len(groups)), groups)
    _, member = np.unique(key, return_inverse=True)
    n = int(member.max()) + 1
    gather = csr_matrix((np.ones(len(member), np.float32), (member, np.arange(len(member)))))
    return normalize(gather[:n] @ rows)


def _axes(documents: Any, k: int, seed: int) -> tuple[Array, Array]:
    """The k greatest singular values ``(k,)`` and right singular vectors ``(k, columns)``."""
    n = documents.shape[0]
    if n > EXACT:
        from sklearn.utils.extmath import randomized_svd

        _, s, vt = randomized_svd(documents, k, n_iter=4, random_state=seed)
        return s, vt
    from scipy.linalg import eigh

    gram = (documents @ documents.T).toarray().astype(np.float64)
    values, vectors = eigh(gram, subset_by_index=(n - k, n - 1))
    s = np.sqrt(np.maximum(values[::-1], 0))
    left = (vectors[:, ::-1] / np.maximum(s, 1e-9)).astype(np.float32)
    return s.astype(np.float32), np.asarray((documents.T @ left).T, np.float32)


def _ridge(x: Array, y: Array, groups: Ints, seed: int) -> Array:
    """``argmin ‖xW − y‖² + λ‖W‖²`` with λ chosen on a fifth of the groups."""
    names = np.unique(groups)
    held = np.isin(groups, np.random.default_rng(seed).permutation(names)[: len(names) // 5])
    scale = max(float(np.square(x).sum() / x.shape[1]), 1e-6)  # texts may hold no known word
    one = np.eye(x.shape[1], dtype=np.float32)

    def products(rows: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
        return x[rows].T @ x[rows], x[rows].T @ y[rows]

    def solve(xx: Array, xy: Array, penalty: float) -> Array:
        return np.asarray(np.linalg.solve(xx + np.float32(penalty * scale) * one, xy), np.float32)

    (xx, xy), (xx_held, xy_held) = products(~held), products(held)
    best = PENALTIES[0]
    if held.any() and not held.all():
        miss = [np.square(x[held] @ solve(xx, xy, p) - y[held]).mean() for p in PENALTIES]
        best = PENALTIES[int(np.argmin(miss))]
    return solve(xx + xx_held, xy + xy_held, best)
