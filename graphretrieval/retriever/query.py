"""Answering: terms → vectors and anchors → candidates → score parts → hits with their paths."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from graphretrieval.arrays import top_k
from graphretrieval.errors import QueryError, SpaceMismatch, StoreAway
from graphretrieval.protocols import GraphStore, Index
from graphretrieval.rankers.adjacency import below
from graphretrieval.rankers.walks import Walks
from graphretrieval.retriever.model import Model, Vectors
from graphretrieval.retriever.score import NAMED, Anchors, Queries, Scorer
from graphretrieval.retriever.weighing import Gate, gate
from graphretrieval.types import (
    IN_CATEGORY,
    PART_OF,
    SEARCHED,
    SUBCATEGORY_OF,
    Array,
    Bools,
    Hit,
    Ints,
    Modality,
    Node,
    Path,
)

# nearest vectors that are scored in full beside all that walks reach
CANDIDATES = 200
# so few undescribed items are looked through one by one
FEW = 1000
# a store's own index is asked for so many times as many
MORE = 4
# best candidates among which a diverse answer is chosen
POOL = 400
# a query whose best hit is less sure than this has no match; a dozen right ones share what is sure
UNSURE = 0.06
#: What a score adds up from.
PARTS = ("content", "graph", "path", "lexical")


@dataclass(frozen=True)
class Term:
    """One part of a query: words, a file or a node, its weight, and itself as a batch of one."""

    kind: str  # text, image, audio or node
    value: str
    weight: float
    queries: Queries = field(repr=False)


@dataclass(frozen=True)
class Filter:
    """What hits must be: in a category (or below it), of a language, collection or licence."""

    category: str | None = None
    lang: str | None = None
    collection: str | None = None
    license: str | None = None

    def __bool__(self) -> bool:
        return any((self.category, self.lang, self.collection, self.license))


@dataclass(frozen=True)
class _Begun:
    """One term before it is put to anything: where its walks begin, and how surely it is known.

    ``met`` is where its walkers get to (:meth:`~.score.Scorer.met`).
    """

    term: Term
    anchors: Anchors = field(repr=False)
    met: csr_matrix = field(repr=False)
    known: float


@dataclass(frozen=True)
class Posed:
    """One term put to one target modality: the gate that weighs it, where it starts and gets to."""

    term: Term
    gate: Gate
    anchors: Anchors = field(repr=False)
    walks: Walks = field(repr=False)
    known: float


@dataclass
class Found:
    """Scored candidates of one target modality, ``rows``, and all that the scores are made of.

    ``columns`` ``(terms, t, p)`` is what was measured, ``weighed`` of the same shape what it
    contributes; ``parts`` adds these up by name, and ``score`` adds up the parts.
    """

    rows: Ints
    posed: list[Posed]
    columns: Array
    weighed: Array
    parts: dict[str, npt.NDArray[np.float64]]
    score: npt.NDArray[np.float64]
    confidence: Array
    no_match: bool = False


class Searcher:
    """Answers queries on one version of model and vectors; safe to use from many threads."""

    def __init__(
        self,
        model: Model,
        vectors: Vectors,
        store: GraphStore,
        scorer: Scorer,
        index: type[Index],
        space: str | None = None,
    ) -> None:
        self.model, self.vectors, self.store, self.scorer = model, vectors, store, scorer
        self._index, self._space = index, space
        self._partitions: dict[str, Index] = {}
        self._gone: Ints = np.empty(0, np.int64)  # rows of nodes that are deleted

    def follow(self, vectors: Vectors, moved: Ints, dead: Sequence[int]) -> None:
        """Bring the indexes to vectors of which some rows moved, ascending, and some are gone.

        The caller sees to it that nobody searches meanwhile.
        """
        self.vectors = vectors
        self._gone = np.concatenate([self._gone, np.array(dead, np.int64)])
        for target, index in self._partitions.items():
            rows = vectors.places.rows[target]
            mine = _in(moved, rows, vectors.places.at)
            index.upsert(vectors.places.at[mine], self._matrix(mine))
            index.remove(vectors.places.at[_in(np.array(dead, np.int64), rows, vectors.places.at)])

    def search(
        self,
        terms: Sequence[Term],
        targets: Sequence[str],
        k: int,
        where: Filter,
        allowed: Bools | None = None,
        diversity: float = 0.0,
    ) -> tuple[tuple[Hit, ...], bool]:
        """The best k hits of all target modalities, and whether nothing is good enough.

        Args:
            terms: at least one; negative weights push away.
            targets: modalities to search.
            k: how many hits.
            where: filters, applied before ranking.
            allowed: ``(n,)`` nodes that pass the filters that need node attributes.
            diversity: how much being unlike the hits before counts beside rank, from 0 to 1.
        """
        found = self.candidates(terms, targets, k, where, allowed)
        hits = self._hits(found, self.order(found, k, diversity), k)
        return hits, all(f.no_match for f in found.values())

    def candidates(
        self,
        terms: Sequence[Term],
        targets: Sequence[str],
        k: int,
        where: Filter,
        allowed: Bools | None = None,
    ) -> dict[str, Found]:
        """Scored candidates of each target modality that has any; arguments as for a search."""
        mask = self._mask(where, allowed)
        # the same whatever is sought
        begun = [self._begun(t) for t in terms]
        tried = {t: self._in_modality(begun, t, k, mask) for t in targets}
        return {t: f for t, f in tried.items() if f is not None and len(f.rows)}

    def _begun(self, term: Term) -> _Begun:
        anchors = self.scorer.anchors(term.queries)
        return _Begun(term, anchors, self.scorer.met(anchors), float(self.scorer.known(anchors)[0]))

    def _in_modality(
        self, begun: Sequence[_Begun], target: str, k: int, mask: Bools | None
    ) -> Found | None:
        rows = self.vectors.places.rows.get(target)
        if rows is None:
            return None
        allowed = np.zeros(len(self.vectors.graph.ids), np.bool_)
        allowed[rows] = True
        allowed[self._gone] = False
        if mask is not None:
            allowed &= mask
        posed = [
            Posed(
                b.term,
                gate(self.model, b.term.queries.kind, target, "instance"),
                b.anchors,
                self.scorer.walk(b.anchors, allowed),
                b.known,
            )
            for b in begun
        ]
        open_ = allowed if mask is not None else None
        near = self._nearest(posed, target, max(CANDIDATES, 4 * k), open_)
        candidates = np.unique(np.concatenate([near, *(p.walks.rows for p in posed)]))
        asked = [b.term.queries.rows for b in begun]
        own = [int(r) for rows in asked if rows is not None for r in rows]
        candidates = candidates[~np.isin(candidates, own)]
        shape = (len(posed), len(candidates), len(self.model.columns))
        columns = np.empty(shape, np.float32)
        for i, b in enumerate(begun):
            columns[i] = self.scorer.parts(b.term.queries, candidates, b.anchors, b.met)[0]
        return self.weigh(candidates, posed, columns)

    def weigh(self, rows: Ints, posed: list[Posed], columns: Array) -> Found:
        """Scores of candidates of which the columns ``(terms, t, p)`` are measured."""
        parts = {name: np.zeros(len(rows)) for name in PARTS}
        weighed = np.empty_like(columns)
        confidence = np.zeros(len(rows), np.float32)
        total = sum(abs(p.term.weight) for p in posed)
        no_match = True
        for i, p in enumerate(posed):
            own, sure = p.gate.weigh(columns[i], p.known)
            weighed[i] = own * np.float32(p.term.weight / total)
            for column, name in enumerate(self.model.columns):
                parts[self.model.part_of(name)] += weighed[i, :, column]
            confidence += np.float32(max(p.term.weight, 0) / total) * sure
            # what the collection has by that very name is there, however many share it
            named = p.known > NAMED and len(p.walks.rows)
            no_match &= not named and (not len(own) or bool(sure.max() < UNSURE))
        score = np.sum(list(parts.values()), axis=0)
        return Found(rows, posed, columns, weighed, parts, score, confidence, no_match)

    def _nearest(self, posed: Sequence[Posed], target: str, k: int, allowed: Bools | None) -> Ints:
        """Rows whose joined vectors are nearest, the gates' weights on the query's side.

        By the weights of the described, and where the undescribed have others, by these as well.
        """
        found = [self._nearest_to(self._joined(posed), target, k, allowed)]
        rows = self.vectors.places.rows[target]
        if any(p.gate.lift is not None for p in posed):
            alone = rows[self.scorer.undescribed(rows) > 0]
            alone = alone[~np.isin(alone, self._gone)]
            if len(alone) <= FEW:
                among = np.zeros(len(self.vectors.graph.ids), np.bool_)
                among[alone] = True
                allowed = among if allowed is None else among & allowed
            if len(alone):
                found.append(self._nearest_to(self._joined(posed, True), target, k, allowed))
        return np.concatenate(found)

    def _nearest_to(self, query: Array, target: str, k: int, allowed: Bools | None) -> Ints:
        rows = self.vectors.places.rows[target]
        if allowed is not None:
            take = np.flatnonzero(allowed[rows])
            _, best = top_k(query @ self._matrix(rows[take]).T, k)
            return np.asarray(rows[take[best[0]]])
        if self._space is not None:
            # until this model's vectors are written back, these here answer
            with contextlib.suppress(StoreAway, SpaceMismatch):
                # its order is one of rounded vectors: more of them, in the order of those here
                found = self.store.vector_search(self._space, query, MORE * k, modality=target)[0]
                known = self.vectors.graph.row
                some = np.array([known[i] for i, _ in found if i in known], np.int64)
                _, best = top_k(query @ self._matrix(some).T, k)
                return np.asarray(some[best[0]])
        _, best = self._partition(target).search(query, k)
        return np.asarray(rows[best[0]])

    def _partition(self, target: str) -> Index:
        """The index of one modality, made when it is first asked."""
        if target not in self._partitions:
            rows, at = self.vectors.places.rows[target], self.vectors.places.at
            index = self._index().build(self._matrix(rows))
            index.remove(at[_in(self._gone, rows, at)])
            self._partitions[target] = index
        return self._partitions[target]

    def vector(self, term: Term, target: str) -> Array:
        """One term as one vector ``(D,)``, its gate's weights on its blocks."""
        known = float(self.scorer.known(self.scorer.anchors(term.queries))[0])
        weigher = gate(self.model, term.queries.kind, target, "instance")
        return self._blocks(term.queries, weigher.weights(len(self.model.columns), known))

    def _joined(self, posed: Sequence[Posed], undescribed: bool = False) -> Array:
        """All terms as one vector ``(1, D)``, as the described or the others are looked for."""
        columns = len(self.model.columns)
        weights = [p.gate.weights(columns, p.known, undescribed=undescribed) for p in posed]
        of = [
            p.term.weight * self._blocks(p.term.queries, w)
            for p, w in zip(posed, weights, strict=True)
        ]
        return np.asarray(np.sum(of, axis=0), np.float32).reshape(1, -1)

    def _blocks(self, queries: Queries, weight: Array) -> Array:
        """All blocks of one query side by side, each times its weight ``(D,)``."""
        twice = [*self.model.aligners, *self.model.aligners]
        blocks = [queries.raw[b][0] * w for b, w in zip(twice, weight, strict=False)]
        return np.concatenate(blocks).astype(np.float32)

    def _matrix(self, rows: Ints) -> Array:
        blocks = list(self.model.aligners)
        raw = [self.vectors.raw[b][rows] for b in blocks]
        return np.concatenate([*raw, *(self.vectors.refined[b][rows] for b in blocks)], axis=1)

    def _mask(self, where: Filter, allowed: Bools | None) -> Bools | None:
        if where.category is None:
            return allowed
        inside = self._members(where.category)
        return inside if allowed is None else inside & allowed

    def _members(self, category: str) -> Bools:
        """Items in a category or any below it."""
        graph = self.vectors.graph
        name = category if category.startswith("cat:") else f"cat:{category}"
        if name not in graph.row:
            raise QueryError(f"there is no category {category!r}", remedy=self._categories(name))
        return below(self.scorer.walker.adjacency, graph.row[name], SUBCATEGORY_OF, IN_CATEGORY)

    def _categories(self, wrong: str) -> str:
        """What to say to somebody who named none: the nearest, and how they are named."""
        graph = self.vectors.graph
        by_last: dict[str, list[str]] = {}
        for i in graph.rows_of("category"):
            category = graph.ids[i].removeprefix("cat:")
            by_last.setdefault(category.rpartition("/")[2].casefold(), []).append(category)
        last = wrong.removeprefix("cat:").rpartition("/")[2].casefold()
        alike = difflib.get_close_matches(last, by_last, n=2)
        close = [category for name in alike for category in by_last[name]][:3]
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        return f"{hint}Categories are named by folder, e.g. {close[0] if close else 'nature/moon'}"

    def order(
        self, found: Mapping[str, Found], k: int, diversity: float = 0.0
    ) -> list[tuple[str, int]]:
        """Candidates, as modality and place, in the order that an answer of k hits has them in."""
        best = self._ranking(found, k)
        return self._diverse(found, best, k, diversity) if diversity > 0 else best

    def _ranking(self, found: Mapping[str, Found], k: int) -> list[tuple[str, int]]:
        """Best candidates over all modalities, each in its own order, the surest next.

        The first of the same candidates are the same however many are asked for.
        """
        rows: list[tuple[float, float, str, str, int]] = []
        ids = self.vectors.graph.ids
        for target, f in found.items():
            best = np.argsort(-f.score, kind="stable")[: 4 * k]
            # no surer than those before it of its own modality, which it must not overtake
            sure = np.minimum.accumulate(f.confidence[best]) if len(found) > 1 else np.zeros(4 * k)
            rows += [
                (-float(s), -float(f.score[i]), ids[f.rows[i]], target, int(i))
                for s, i in zip(sure, best, strict=False)
            ]
        return [(target, i) for *_, target, i in sorted(rows)]

    def _diverse(
        self, found: Mapping[str, Found], best: list[tuple[str, int]], k: int, diversity: float
    ) -> list[tuple[str, int]]:
        """The order of maximal marginal relevance (Carbonell & Goldstein 1998).

        Relevance falls evenly with the rank, likeness is the mean cosine of refined vectors.
        """
        pool, rest = best[:POOL], best[POOL:]
        rows = np.array([found[target].rows[i] for target, i in pool], np.int64)
        x = self.scorer.likeness_of({b: z[rows] for b, z in self.vectors.refined.items()})
        worth = (1 - diversity) * (1 - np.arange(len(pool)) / max(1, len(pool)))
        nearest = np.zeros(len(pool))
        order: list[int] = []
        for _ in range(min(len(pool), 2 * k)):  # some may show the same
            i = int(np.argmax(worth - diversity * nearest))
            order.append(i)
            worth[i] = -np.inf
            nearest = np.maximum(nearest, x @ x[i])
        left = np.setdiff1d(np.arange(len(pool)), order).tolist()
        return [*(pool[i] for i in (*order, *left)), *rest]

    def _hits(
        self, found: Mapping[str, Found], best: Sequence[tuple[str, int]], k: int
    ) -> tuple[Hit, ...]:
        """Hits in order, the same content only once."""
        hits: list[Hit] = []
        seen: set[object] = set()
        for start in range(0, len(best), 2 * k):  # mostly the first of them suffice
            some = best[start : start + 2 * k]
            nodes = self.store.get([self.vectors.graph.ids[found[t].rows[i]] for t, i in some])
            for (target, i), node in zip(some, nodes, strict=True):
                if node is None or len(hits) == k:
                    continue
                content = content_of(node)
                if content in seen:
                    continue
                seen.add(content)
                f = found[target]
                parts = {name: float(x[i]) for name, x in f.parts.items()}
                path = self._path(f, int(f.rows[i]))
                hits.append(Hit(node, float(f.score[i]), parts, path, float(f.confidence[i])))
            if len(hits) == k:
                break
        sources = self.store.neighbours([h.id for h in hits], types=[PART_OF], direction="out")
        return tuple(
            Hit(h.node, h.score, h.parts, h.path, h.confidence, s[0].dst if s else None)
            for h, s in zip(hits, sources, strict=True)
        )

    def _path(self, found: Found, row: int) -> Path | None:
        ways = [p.walks.path(0, row) for p in found.posed if p.term.weight > 0]
        known = [w for w in ways if w is not None]
        return max(known, key=lambda p: p.strength, default=None)


def content_of(node: Node) -> tuple[object, object]:
    """The same for nodes that show the same: of these an answer holds the best only."""
    if node.modality == Modality.TEXT:
        return node.text or node.title, node.lang
    # what is written of a picture or sound does not make it the same as another
    return (node.id, None) if node.sha256 is None else (node.sha256, node.start)


def _in(rows: Ints, partition: Ints, at: Ints) -> Ints:
    """Those rows that belong to a partition, in order of their places in it."""
    place = at[rows]
    inside = (place >= 0) & (place < len(partition))
    rows, place = rows[inside], place[inside]
    mine = partition[place] == rows
    return np.asarray(rows[mine][np.argsort(place[mine])])


def modalities(target: str | Sequence[str]) -> tuple[str, ...]:
    """The modalities asked for.

    Raises:
        QueryError: one of them is not searched.
    """
    asked = (target,) if isinstance(target, str) else tuple(dict.fromkeys(target))
    if asked == ("any",) or not asked:
        return SEARCHED
    for name in asked:
        if name not in SEARCHED:
            raise QueryError(
                f"{name!r} is not a modality that is searched",
                remedy=f"choose from {', '.join(SEARCHED)} or any",
            )
    return asked
