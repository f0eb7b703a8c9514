"""Which node is the other end of a missing link? Content, vectors, walks and neighbourhoods.

For one node and one relation every node that could stand at the other end gets columns of numbers;
a small ranker per relation, fitted on links hidden for it, says what each is worth. Any relation is
taken, between any kinds of nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial

import numpy as np
from scipy.sparse import csr_matrix, diags_array

from graphretrieval import registry
from graphretrieval.protocols import Ranker
from graphretrieval.rankers.cooccurrence import Cooccurrence
from graphretrieval.rankers.pagerank import pagerank
from graphretrieval.rankers.walks import Walker
from graphretrieval.retriever.material import Material
from graphretrieval.retriever.model import Model, vectors_of
from graphretrieval.types import Array, Bools, Graph, Ints

#: What is measured beside the vectors of each block: the strongest walk, neighbours in common,
#: personalised PageRank, whether a node ends such links at all, and whether it occurs together with
#: what is linked already.
SHAPE = ("path", "neighbours", "pagerank", "usual", "together")
# hidden links of a relation that a ranker is fitted on, and what they are sought among
MOST, GALLERY = 200, 500
# with fewer links of its own a relation is ranked as all are together
FEWEST = 10
# the share of a validation item's edges that is hidden at once: the others still describe it
HIDDEN_SHARE = 0.3


@dataclass(frozen=True)
class Asked:
    """Links that are asked for from one end: ``(node, relation, ?)``, or backwards ``(?, …)``.

    ``right`` and ``ignored`` are ``(q, g)``: links to be found, and links that are known.
    """

    relation: str
    source: str
    target: str
    backwards: bool
    queries: Ints = field(repr=False)
    gallery: Ints = field(repr=False)
    right: Bools = field(repr=False)
    ignored: Bools = field(repr=False)

    @property
    def name(self) -> str:
        """As tables show it: ``DESCRIBES``, or ``DESCRIBES, backwards``."""
        return f"{self.relation}, backwards" if self.backwards else self.relation


def asked(
    graph: Graph, hidden: Ints, seed: int, *, most: int = MOST, gallery: int = GALLERY
) -> list[Asked]:
    """Questions made of hidden edges, from both ends, by relation and kinds of ends.

    Args:
        graph: with the hidden edges in it.
        hidden: positions of edges.
        seed: of the draws.
        most: questions of one kind, at most.
        gallery: what is chosen from beside right answers, at most.
    """
    rng = np.random.default_rng(seed)
    hidden = hidden[graph.src[hidden] != graph.dst[hidden]]
    codes = np.stack([graph.relation, graph.modality[graph.src], graph.modality[graph.dst]], 1)
    out = []
    for relation, a, b in np.unique(codes[hidden], axis=0).tolist():
        mine = hidden[(codes[hidden] == (relation, a, b)).all(1)]
        for backwards in (False, True):
            ends = (graph.dst, graph.src) if backwards else (graph.src, graph.dst)
            ask, answer = (x.astype(np.int64) for x in ends)
            queries = np.sort(rng.permutation(np.unique(ask[mine]))[:most])
            wanted = answer[mine[np.isin(ask[mine], queries)]]
            others = rng.permutation(np.flatnonzero(graph.modality == (a if backwards else b)))
            among = np.union1d(wanted, others[:gallery])
            right = _matrix(ask[mine], answer[mine], len(graph.ids))[queries][:, among]
            same = graph.edges_of(graph.relations[relation])
            linked = _matrix(ask[same], answer[same], len(graph.ids))[queries][:, among]
            truth = right.toarray() > 0
            known = (linked.toarray() > 0) & ~truth | (queries[:, None] == among[None, :])
            kinds = [graph.modalities[x] for x in ((b, a) if backwards else (a, b))]
            out.append(
                Asked(
                    graph.relations[relation], kinds[0], kinds[1], backwards,
                    queries, among, truth, known,
                )
            )  # fmt: skip
    return out


def _matrix(rows: Ints, columns: Ints, n: int) -> csr_matrix:
    return csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (n, n))


class LinkScorer:
    """Columns of pairs over one graph; ``paths`` off leaves out walks and neighbourhoods."""

    def __init__(
        self, model: Model, graph: Graph, material: Material, raw: Mapping[str, Array]
    ) -> None:
        self.graph, self.paths, self.cooccurrence = graph, material.paths, material.cooccurrence
        self.vectors = vectors_of(model, graph, material.places, raw)
        self.walker = Walker(graph)
        self._together = cache(partial(Cooccurrence.of, graph))

    def columns_of(self, asked: Asked) -> Array:
        """``(q, g, p)`` of every node of the gallery for every query.

        Each block's raw vectors, one end refined, the other, and both; then :data:`SHAPE`.
        """
        q, g = asked.queries, asked.gallery
        raw, refined = self.vectors.raw, self.vectors.refined
        ends = [(raw, raw), (raw, refined), (refined, raw), (refined, refined)]
        out = [a[b][q] @ c[b][g].T for a, c in ends for b in raw]
        return np.stack([*out, *self._shape(asked)], axis=2).astype(np.float32)

    def _shape(self, asked: Asked) -> list[Array]:
        q, g = asked.queries, asked.gallery
        none = np.zeros((len(q), len(g)), np.float32)
        if not self.paths or not len(self.graph.src):
            return [none] * len(SHAPE)
        targets = np.zeros(len(self.graph.ids), np.bool_)
        targets[g] = True
        ones = np.ones(len(q), np.float32)
        walks = self.walker.search(np.arange(len(q) + 1), q, ones, targets=targets)
        path = none.copy()
        owner = np.repeat(np.arange(len(q)), np.diff(walks.indptr))
        path[owner, np.searchsorted(g, walks.rows)] = walks.strength
        both = self._both
        common = (both[q] @ self._rarity @ both[g].T).toarray()
        met = pagerank(self.walker.adjacency, np.arange(len(q) + 1), q, ones)
        edges = self.graph.edges_of(asked.relation)
        end = self.graph.src if asked.backwards else self.graph.dst
        usual = np.isin(g, end[edges]).astype(np.float32)
        rank = np.log1p(met[:, g].toarray() * both.shape[0])
        out = [path, common, rank, np.broadcast_to(usual, none.shape)]
        if not self.cooccurrence:
            return [*out, none]
        together = self._together(asked.relation)
        return [*out, together.between(q, g, backwards=asked.backwards)]

    @cached_property
    def _both(self) -> csr_matrix:
        """Who is linked to whom, either way ``(n, n)``."""
        src, dst = self.graph.src.astype(np.int64), self.graph.dst.astype(np.int64)
        n = len(self.graph.ids)
        out = _matrix(np.concatenate([src, dst]), np.concatenate([dst, src]), n)
        out.data[:] = 1
        return out

    @cached_property
    def _rarity(self) -> csr_matrix:
        """A neighbour that few share says more (Adamic & Adar 2003)."""
        degree = np.asarray(self._both.sum(1)).ravel()
        return csr_matrix(diags_array(1 / np.log(np.maximum(degree, 2))))


def fit_links(
    model: Model, material: Material, raw: Mapping[str, Array], *, seed: int = 0
) -> dict[str, Ranker]:
    """A ranker for each kind of question, on hidden links of items that aligners did not see.

    Args:
        model: with draft aligners and refiners.
        material: what to learn from; ``messages`` are the edges that there are.
        raw: the model's unscaled block vectors of all nodes.
        seed: of what is hidden.

    Returns:
        ``relation>source>target`` (and ``relation, backwards>…``) → ranker; ``relation`` for other
        kinds of ends, and ``""`` for all others.
    """
    truth, messages = material.graph, material.messages
    validation = material.validation
    touched = np.flatnonzero(validation[truth.src] | validation[truth.dst])
    hidden = touched[np.random.default_rng(seed).random(len(touched)) < HIDDEN_SHARE]
    # no other edge between two ends may give their link away
    kept = ~np.isin(_pair(messages), _pair(truth)[hidden])
    # in a wrong graph what a node says instead is hidden: it is to lack as much as in a true one
    wrong = ~np.isin(_triple(messages), _triple(truth))
    kept &= ~(wrong & np.isin(_said(messages), _said(truth)[hidden]))
    scorer = LinkScorer(model, messages.with_edges(kept), material, raw)
    questions = asked(truth, hidden, seed)
    tables = [_table(scorer, question) for question in questions]
    by: dict[str, list[_Table]] = {"": tables}
    for question, table in zip(questions, tables, strict=True):
        for key in (key_of(question), question.name):
            by.setdefault(key, []).append(table)
    return {
        key: _ranker(some, seed, alike=bool(key))
        for key, some in by.items()
        if not key or sum(t.queries for t in some) >= FEWEST
    }


def _pair(graph: Graph) -> Ints:
    """A number for the two ends of each edge, whichever way it leads ``(m,)``."""
    src, dst = graph.src.astype(np.int64), graph.dst.astype(np.int64)
    return np.minimum(src, dst) * len(graph.ids) + np.maximum(src, dst)


def _said(graph: Graph) -> Ints:
    """A number for who says something by what relation ``(m,)``."""
    return graph.src.astype(np.int64) * len(graph.relations) + graph.relation


def _triple(graph: Graph) -> Ints:
    return _said(graph) * len(graph.ids) + graph.dst


def key_of(asked: Asked) -> str:
    """The ranker's name."""
    return f"{asked.name}>{asked.source}>{asked.target}"


@dataclass(frozen=True)
class _Table:
    parts: Array = field(repr=False)  # (n, p)
    right: Array = field(repr=False)  # (n,)
    owner: Ints = field(repr=False)  # (n,)
    queries: int


def _table(scorer: LinkScorer, question: Asked) -> _Table:
    columns = scorer.columns_of(question)
    keep = ~question.ignored
    owner = np.nonzero(keep)[0]
    return _Table(columns[keep], question.right[keep].astype(np.float32), owner, len(columns))


def _ranker(tables: Sequence[_Table], seed: int, *, alike: bool) -> Ranker:
    """Of questions of one relation (``alike``): another's may have no ends that occur together."""
    ranker: Ranker = registry.resolve("ranker", "fusion")()
    parts = np.concatenate([t.parts for t in tables])
    together = parts.shape[1] - len(SHAPE) + SHAPE.index("together")
    if not alike:
        parts[:, together] = 0
    first = np.cumsum([0, *(t.queries for t in tables)])
    owner = np.concatenate([t.owner + n for t, n in zip(tables, first, strict=False)])
    return ranker.fit(
        parts,
        np.concatenate([t.right for t in tables]),
        owner,
        np.zeros(len(owner), np.float32),
        optional=[[together]],
        seed=seed,
    )


def rank_links(
    rankers: Mapping[str, Ranker], scorer: LinkScorer, question: Asked, block: int = 32
) -> Array:
    """Scores ``(q, g)``; known links are at −∞."""
    keys = (key_of(question), question.name, "")
    ranker = next(rankers[key] for key in keys if key in rankers)
    out = np.empty((len(question.queries), len(question.gallery)), np.float32)
    for start in range(0, len(out), block):
        part = replace(question, queries=question.queries[start : start + block])
        columns = scorer.columns_of(part)
        flat = ranker.weigh(columns.reshape(-1, columns.shape[2]), 0.0).sum(1)
        out[start : start + block] = flat.reshape(columns.shape[:2])
    out[question.ignored] = -np.inf
    return out
