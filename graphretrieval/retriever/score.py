"""Score parts of every candidate for a batch of queries: blocks, paths and words, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from scipy.sparse import csr_matrix

from graphretrieval.arrays import top_k
from graphretrieval.protocols import GraphStore
from graphretrieval.rankers.adjacency import below
from graphretrieval.rankers.pagerank import pagerank
from graphretrieval.rankers.walks import ANCHORS, Walker, Walks
from graphretrieval.retriever.corpus import NOT_INSTANCE
from graphretrieval.retriever.hubs import Hubs
from graphretrieval.retriever.likeness import joined
from graphretrieval.retriever.model import Model, Vectors
from graphretrieval.types import IN_CATEGORY, SUBCATEGORY_OF, Array, Bools, Ints, Modality

SIMILAR, LEXICAL, ITSELF = range(len(ANCHORS))
# enough nearby items to reach what they are linked to, few enough to stay near
NEAREST = 20
WORDS = 20
# where some are hidden so many are asked for, so that these take no place among the best
MORE_WORDS = 5 * WORDS
# words that match a category's name so well name it, and so match all that is in it
NAMED = 0.99
# a match by words scores so much where all of the query is a small part of a long text
WITHIN = 0.8
# walkers begin where the query is near: where it is half as near hardly any do
NEARNESS = 15


@dataclass(frozen=True)
class Queries:
    """A batch of queries of one modality.

    ``raw[b]`` is ``(q, d_b)``, scaled. ``texts`` are searched by words where given. ``rows`` are
    the queries' own graph rows, −1 for queries that are no nodes: they are not answered with
    themselves, and a node's walk begins at the node. ``kind`` chooses the gate, the modality if
    nothing else is said (see :func:`~graphretrieval.retriever.model.kinds_of_text`).
    """

    modality: str
    raw: Mapping[str, Array] = field(repr=False)
    texts: Sequence[str] | None = None
    rows: Ints | None = None
    kind: str = ""

    @property
    def asks_as(self) -> str:
        """The kind of query this is."""
        return self.kind or self.modality

    def __len__(self) -> int:
        return len(next(iter(self.raw.values())))


@dataclass(frozen=True)
class Anchors:
    """Where each query's walks begin: entries ``indptr[i]:indptr[i + 1]`` are query i's."""

    indptr: Ints
    rows: Ints
    weights: Array
    kinds: Ints  # numbers into rankers.walks.ANCHORS

    def only_lexical(self) -> Anchors:
        """The anchors that were found by words."""
        owner = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        keep = self.kinds == LEXICAL
        indptr = np.concatenate(
            [[0], np.cumsum(np.bincount(owner[keep], minlength=len(self.indptr) - 1))]
        )
        return Anchors(indptr, self.rows[keep], self.weights[keep], self.kinds[keep])


class Scorer:
    """Scores candidates on one version of the vectors.

    Args:
        model: gates are not needed here, so that they can be learned from the parts.
        vectors: of the collection.
        store: asked for words.
        visible: ``(n,)`` nodes that may serve as anchors; hidden ones are as if not there.
        walker: walks the vectors' graph.
        paths: off in the control without paths.
    """

    def __init__(
        self,
        model: Model,
        vectors: Vectors,
        store: GraphStore,
        walker: Walker,
        *,
        visible: Bools | None = None,
        paths: bool = True,
    ) -> None:
        self.model, self.vectors, self.store, self.walker = model, vectors, store, walker
        n = len(vectors.graph.ids)
        self.visible = np.ones(n, np.bool_) if visible is None else visible
        self.paths = paths
        self.hubs = Hubs(model, vectors, walker.adjacency, self.visible)
        self._likeness: dict[str, tuple[Ints, Array]] = {}

    def follow(self, vectors: Vectors, rows: Sequence[int], moved: Ints) -> None:
        """Go on with vectors of which some rows are others.

        Args:
            vectors: as they are now.
            rows: whose raw vectors are others; those that are gone are zero.
            moved: whose refined vectors or edges are others.
        """
        self.vectors = vectors
        self.walker.graph = vectors.graph
        more = len(vectors.graph.ids) - len(self.visible)
        self.visible = np.concatenate([self.visible, np.ones(more, np.bool_)])
        self.hubs.follow(vectors, self.visible, np.array(rows, np.int64), moved)
        for modality in list(self._likeness):
            partition = vectors.places.rows[modality]
            mine = np.array([r for r in rows if self._is_in(partition, r)], np.int64)
            if not len(mine):
                continue
            _, items = self._likeness[modality]
            room = len(partition) - len(items)
            if room:
                items = np.concatenate([items, np.zeros((room, items.shape[1]), np.float32)])
            items[vectors.places.at[mine]] = self.likeness_of(
                {b: x[mine] for b, x in vectors.raw.items()}
            )
            self._likeness[modality] = partition, items

    def _is_in(self, partition: Ints, row: int) -> bool:
        at = self.vectors.places.at[row]
        return bool(0 <= at < len(partition) and partition[at] == row)

    def anchors(self, queries: Queries) -> Anchors:
        """Query → item edges: nearest items of the query's own modality, and matching words.

        A query that is a node begins at itself with weight 1 if it is visible.
        """
        owner, rows, weights = self._nearest(queries)
        kinds = np.full(len(owner), SIMILAR)
        if queries.texts is not None:
            more = self._matching(queries.texts)
            owner, rows = np.concatenate([owner, more[0]]), np.concatenate([rows, more[1]])
            weights = np.concatenate([weights, more[2]])
            kinds = np.concatenate([kinds, np.full(len(more[0]), LEXICAL)])
        if queries.rows is not None:
            own = queries.rows[owner] == rows
            owner, rows, weights, kinds = (x[~own] for x in (owner, rows, weights, kinds))
            selves = np.flatnonzero((queries.rows >= 0) & self.visible[queries.rows])
            owner, rows = np.append(owner, selves), np.append(rows, queries.rows[selves])
            weights = np.append(weights, np.ones(len(selves), np.float32))
            kinds = np.append(kinds, np.full(len(selves), ITSELF))
        order = np.argsort(owner, kind="stable")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(queries)))])
        return Anchors(indptr, rows[order], weights[order].astype(np.float32), kinds[order])

    def known(self, anchors: Anchors) -> Array:
        """How surely each query is known ``(q,)``: 1 for an item, or words that are a whole text.

        Words that stand in a longer text count less, a part of them nothing: any sentence shares
        some words with another.
        """
        matched = (anchors.weights - WITHIN) / (1 - WITHIN)
        sure = np.where(anchors.kinds == SIMILAR, 0, np.clip(matched, 0, 1))
        out = np.zeros(len(anchors.indptr) - 1, np.float32)
        owner = np.repeat(np.arange(len(out)), np.diff(anchors.indptr))
        np.maximum.at(out, owner, sure)
        return out

    def walk(self, anchors: Anchors, targets: Bools, hops: int = 3) -> Walks:
        """Best walks from the anchors to the target nodes."""
        return self.walker.search(
            anchors.indptr,
            anchors.rows,
            anchors.weights,
            kinds=anchors.kinds,
            targets=targets,
            hops=hops,
        )

    def met(self, anchors: Anchors) -> csr_matrix:
        """The column :data:`~.model.PAGERANK` of all nodes ``(q, n)``.

        The logarithm of how much more often than by chance walkers who begin where a query is near
        meet a node; nobody gets to what is not linked.
        """
        if not self.paths:
            shape = (len(anchors.indptr) - 1, len(self.vectors.graph.ids))
            return csr_matrix(shape, dtype=np.float32)
        begun = anchors.weights**NEARNESS
        edges = self.walker.adjacency
        met = pagerank(edges, anchors.indptr, anchors.rows, begun, fan_out=100, beam=2000)
        return (met * np.float32(np.count_nonzero(edges.count))).log1p()

    def parts(
        self,
        queries: Queries,
        targets: Ints,
        anchors: Anchors | None = None,
        met: csr_matrix | None = None,
    ) -> Array:
        """Columns (``model.columns``) of every target for every query ``(q, t, p)``.

        ``targets`` are graph rows, ascending; ``anchors`` and :meth:`met` need not be found again.
        """
        anchors = self.anchors(queries) if anchors is None else anchors
        walked = self.walked(anchors, targets, met)
        blocks = list(self.model.aligners)
        raw = [queries.raw[b] @ self.vectors.raw[b][targets].T for b in blocks]
        refined = [queries.raw[b] @ self.vectors.refined[b][targets].T for b in blocks]
        held_back = [-self.hubs.of(queries.asks_as, b, targets) for b in self.model.hubs]
        same = [*held_back, self.undescribed(targets)]
        same = [np.broadcast_to(x, walked[0].shape) for x in same]
        return np.stack([*raw, *refined, *same, *walked], axis=2).astype(np.float32)

    def undescribed(self, targets: Ints) -> Array:
        """The column of items that nothing ties to another: 1, others 0 ``(t,)``."""
        linked = self.walker.adjacency.linked(targets, NOT_INSTANCE)
        return np.asarray(~linked, np.float32)

    def walked(
        self, anchors: Anchors, targets: Ints, met: csr_matrix | None = None
    ) -> tuple[Array, ...]:
        """The columns :data:`~.model.WALKED` of the targets, each ``(q, t)``."""
        mask = np.zeros(len(self.vectors.graph.ids), np.bool_)
        mask[targets] = True
        hops, q = 3 if self.paths else 0, len(anchors.indptr) - 1
        path = self._dense(self.walk(anchors, mask, hops), targets, q)
        words = self._dense(self.walk(anchors.only_lexical(), mask, 1), targets, q)
        words = np.maximum(words, self._in_named(anchors, targets, q))
        met = self.met(anchors) if met is None else met
        # half of the words say far less than half of what all say
        return met[:, targets].toarray(), path, words**3

    def _in_named(self, anchors: Anchors, targets: Ints, q: int) -> Array:
        """How well targets match by being in a category, or below it, that a query names."""
        out = np.zeros((q, len(targets)), np.float32)
        if not self.paths or Modality.CATEGORY not in self.vectors.graph.modalities:
            return out
        code = self.vectors.graph.modalities.index(Modality.CATEGORY)
        owner = np.repeat(np.arange(q), np.diff(anchors.indptr))
        named = (anchors.kinds == LEXICAL) & (anchors.weights > NAMED)
        named &= self.vectors.graph.modality[anchors.rows] == code
        for at in np.flatnonzero(named):
            row = int(anchors.rows[at])
            inside = below(self.walker.adjacency, row, SUBCATEGORY_OF, IN_CATEGORY)[targets]
            out[owner[at], inside] = anchors.weights[at]
        return out

    def _dense(self, walks: Walks, targets: Ints, q: int) -> Array:
        out = np.zeros((q, len(targets)), np.float32)
        owner = np.repeat(np.arange(q), np.diff(walks.indptr))
        out[owner, np.searchsorted(targets, walks.rows)] = walks.strength
        return out

    def _nearest(self, queries: Queries) -> tuple[Ints, Ints, Array]:
        rows, items = self._own_kind(queries.modality)
        if not len(rows):
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
        asked = self.likeness_of(queries.raw, queries.asks_as)
        scores = asked @ items.T  # (q, n_m)
        values, columns = top_k(scores, NEAREST)
        owner = np.repeat(np.arange(len(queries)), values.shape[1])
        values, columns = values.ravel(), columns.ravel()
        keep = values > 0
        return owner[keep], rows[columns[keep]], np.minimum(values[keep], 1.0)

    def _own_kind(self, modality: str) -> tuple[Ints, Array]:
        """Visible items of one modality and what their likeness is measured on."""
        if modality not in self._likeness:
            rows = self.vectors.places.rows.get(modality, np.empty(0, np.int64))
            rows = rows[self.visible[rows]]
            blocks = {b: x[rows] for b, x in self.vectors.raw.items()}
            self._likeness[modality] = rows, self.likeness_of(blocks)
        return self._likeness[modality]

    def likeness_of(self, raw: Mapping[str, Array], kind: str = "") -> Array:
        """Blocks at unit length, joined: the inner product is their mean cosine.

        Queries of a kind that weighs blocks otherwise have it in their lengths.
        """
        return joined(raw, self.model.meta.get("likeness", {}).get(kind))

    def _matching(self, texts: Sequence[str]) -> tuple[Ints, Ints, Array]:
        """The visible items and categories whose words match best, at most ``WORDS`` a text."""
        row = self.vectors.graph.row
        owner, rows, weights = [], [], []
        many = WORDS if self.visible.all() else MORE_WORDS
        for i, found in enumerate(self.store.text_search(texts, many)):
            places = ((row.get(node, -1), score) for node, score in found)
            shown = ((at, score) for at, score in places if at >= 0 and self.visible[at])
            for at, score in islice(shown, WORDS):
                owner.append(i)
                rows.append(at)
                weights.append(score)
        return (
            np.asarray(owner, np.int64),
            np.asarray(rows, np.int64),
            np.asarray(weights, np.float32),
        )
