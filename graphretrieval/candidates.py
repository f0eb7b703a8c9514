"""Pairs that a link may be missing between, and how sure that is.

Candidates are near each other in the learned spaces, or one occurs together with what the other is
linked to. How sure one is comes from links of the same collection that are hidden for the purpose:
a logistic curve over likeness, common neighbours and co-occurrence, fitted to whether a hidden link
was behind it, and to what people decided before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache, cached_property, partial

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from graphretrieval import metrics
from graphretrieval.arrays import Csr, adjacency, top_k
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.gnn.messages import Typed
from graphretrieval.gnn.similar import Similar
from graphretrieval.rankers.cooccurrence import Cooccurrence
from graphretrieval.retriever import Retriever
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.fresh import catch_up, still_similar
from graphretrieval.retriever.judge import Link, positions, refined_over
from graphretrieval.retriever.model import Model, scaled
from graphretrieval.retriever.similar import carries
from graphretrieval.types import (
    DESCRIBES,
    IN_CATEGORY,
    JSON,
    RELATED_TO,
    SUBCATEGORY_OF,
    Array,
    Bools,
    Graph,
    Ints,
    Modality,
)

TYPES = (DESCRIBES, IN_CATEGORY, RELATED_TO)
# ends asked for what they lack, and the nearest that each is given
SOURCES, NEAREST = 1_000, 5
# links hidden to learn how sure to be; with fewer it cannot be told
HIDDEN, FEWEST = 400, 12
# a decision of a person counts as much as so many hidden links
DECIDED = 5.0
# levels of categories that are climbed; a circle of them ends there
DEEPEST = 20
FEATURES = (
    "content alike",
    "surroundings alike",
    "one is where the other is linked",
    "neighbours",
    "together",
    "many are linked to it",
)


@dataclass(frozen=True)
class Proposal:
    """A link that may be missing; ``confidence`` is the calibrated probability that it is true."""

    id: str
    src: str
    type: str
    dst: str
    confidence: float
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """As ``propose --json`` prints it."""
        return {
            "id": self.id,
            "src": self.src,
            "type": self.type,
            "dst": self.dst,
            "confidence": round(self.confidence, 4),
            "reasons": list(self.reasons),
        }


def id_of(src: str, type: str, dst: str) -> str:
    """A proposal's name: always the same for the same link."""
    text = "\0".join((src, type, dst)).encode("utf-8", "surrogatepass")
    return f"p-{hashlib.sha256(text).hexdigest()[:16]}"


@dataclass(frozen=True)
class View:
    """The graph and its vectors, all blocks side by side, over some of its edges.

    ``similar`` are derived edges that vectors are refined over beside the graph's.
    """

    model: Model = field(repr=False)
    graph: Graph = field(repr=False)
    unscaled: dict[str, Array] = field(repr=False)
    similar: Similar = field(repr=False)
    raw: Array = field(repr=False)  # (n, D)
    refined: Array = field(repr=False)  # (n, D)

    @classmethod
    def of(cls, kb: Retriever) -> View:
        """Everything, by the model in service at the newest revision."""
        found = kb.bundles.load()
        if found is None:
            raise NotFitted("nothing has been learned yet", remedy="run `graphretrieval fit`")
        model, embedded = found
        graph = kb.store.export()
        since = int(model.meta["revision"])
        raw = catch_up(model, kb.store, graph, embedded, since, kb.config)
        similar = Similar.joined()
        if carries(model):
            similar = still_similar(kb.store, graph, embedded, since)
        return cls.over(model, graph, raw, similar)

    @classmethod
    def over(cls, model: Model, graph: Graph, raw: dict[str, Array], similar: Similar) -> View:
        """These edges."""
        z = refined_over(Typed.of(similar.added_to(graph)), model, raw)
        length = np.float32(len(raw) ** 0.5)
        joined = [
            np.concatenate([scaled(b, x) / length for b, x in v.items()], axis=1) for v in (raw, z)
        ]
        return cls(model, graph, raw, similar, *(np.asarray(x, np.float32) for x in joined))

    def without(self, edges: Ints) -> View:
        """The same with some edges hidden."""
        keep = np.ones(len(self.graph.src), np.bool_)
        keep[edges] = False
        return View.over(self.model, self.graph.with_edges(keep), self.unscaled, self.similar)

    def features(self, type: str, a: Ints, b: Ints) -> Array:
        """What is known of links from a to b ``(p, 6)``; columns as :data:`FEATURES`."""
        ra, rb, fa, fb = self.raw[a], self.raw[b], self.refined[a], self.refined[b]
        out = np.empty((len(a), len(FEATURES)), np.float32)
        out[:, 0] = np.einsum("pd,pd->p", ra, rb)
        out[:, 1] = np.einsum("pd,pd->p", fa, fb)
        out[:, 2] = np.maximum(np.einsum("pd,pd->p", ra, fb), np.einsum("pd,pd->p", fa, rb))
        out[:, 3] = [len(self.common(int(x), int(y))) for x, y in zip(a, b, strict=True)]
        np.log1p(out[:, 3], out=out[:, 3])
        counted = self.cooccurrence(type)
        out[:, 4] = counted.of_pairs(a, b)
        if type == RELATED_TO:  # says the same both ways
            out[:, 4] += counted.of_pairs(b, a)
        edges = self.graph.edges_of(type)
        out[:, 5] = np.log1p(np.bincount(self.graph.dst[edges], minlength=len(self.raw)))[b]
        return out

    @cached_property
    def cooccurrence(self) -> Callable[[str], Cooccurrence]:
        """Of a relation: which of its ends occur together."""
        return cache(partial(Cooccurrence.of, self.graph))

    def common(self, a: int, b: int) -> Ints:
        """Nodes that both are linked to."""
        near = self._near
        return np.intersect1d(
            near.indices[near.indptr[a] : near.indptr[a + 1]],
            near.indices[near.indptr[b] : near.indptr[b + 1]],
        )

    @cached_property
    def _near(self) -> Csr:
        return adjacency(self.graph, direction="both")

    def nearest(self, sources: Ints, targets: Ints, known: Bools) -> tuple[Ints, Ints]:
        """Pairs of each source and the targets nearest to it that it is not linked to."""
        ask = np.concatenate([self.raw[sources], self.refined[sources]], axis=1)
        item = np.concatenate([self.refined[targets], self.raw[targets]], axis=1)
        scores = ask @ item.T
        scores += self.raw[sources] @ self.raw[targets].T
        scores[sources[:, None] == targets[None, :]] = -np.inf
        scores[known] = -np.inf
        return _best(scores, sources, targets)

    def together(
        self, type: str, sources: Ints, targets: Ints, known: Bools, *, backwards: bool
    ) -> tuple[Ints, Ints]:
        """The same by what occurs together with what is linked already."""
        counted = self.cooccurrence(type)
        if not counted.met.nnz:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        scores = counted.between(sources, targets, backwards=backwards)
        scores[(scores <= 0) | known | (sources[:, None] == targets[None, :])] = -np.inf
        scores += np.log(np.maximum(counted.share[targets], 1e-9))  # many are in it anyway
        return _best(scores, sources, targets)


def _best(scores: Array, sources: Ints, targets: Ints) -> tuple[Ints, Ints]:
    """Pairs of each source and its best targets, but those at −∞."""
    values, at = top_k(scores, NEAREST)
    owner = np.repeat(np.arange(len(sources)), values.shape[1])
    keep = np.isfinite(values.ravel())
    return sources[owner[keep]], targets[at.ravel()[keep]]


def _ends(graph: Graph, type: str) -> list[tuple[Ints, Ints]]:
    """Which nodes may be the source of such a link, and which the destination."""
    rows = Places.of(graph).rows
    none = np.empty(0, np.int64)
    if type == IN_CATEGORY:
        items = np.sort(np.concatenate([none, *rows.values()]))
        return [(items, graph.rows_of(Modality.CATEGORY))]
    if type == DESCRIBES:
        texts = rows.get(Modality.TEXT.value, none)
        return [(texts, rows[m]) for m in (Modality.IMAGE, Modality.AUDIO) if m in rows]
    items = np.sort(np.concatenate([none, *rows.values()]))
    return [(items, items)]


def _pairs(view: View, type: str, sources: Bools, seed: int = 0) -> tuple[Ints, Ints]:
    """Candidates (src, dst) that begin or end at marked nodes, and are not linked so already."""
    graph, rng = view.graph, np.random.default_rng(seed)
    edges = graph.edges_of(type)
    there = np.stack([graph.src[edges], graph.dst[edges]], 1).astype(np.int64)
    n = len(graph.ids)
    linked = np.unique(np.concatenate([there @ [n, 1], there[:, ::-1] @ [n, 1]]))
    out = []
    for src, dst in _ends(graph, type):
        for turned, (asking, asked) in enumerate(((src, dst), (dst, src))):
            if turned and (type != DESCRIBES):
                continue
            rows = asking[sources[asking]]
            rows = np.sort(rng.permutation(rows)[:SOURCES])
            known = np.isin(rows[:, None] * n + asked[None, :], linked)
            if type == IN_CATEGORY:
                known |= _implied(graph, rows, asked)
            for a, b in (
                view.nearest(rows, asked, known),
                view.together(type, rows, asked, known, backwards=bool(turned)),
            ):
                out.append((b, a) if turned else (a, b))
    if not out:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    a, b = (np.concatenate(x) for x in zip(*out, strict=True))
    if type == RELATED_TO:  # says the same both ways
        a, b = np.minimum(a, b), np.maximum(a, b)
    code = np.unique(a * n + b)
    return code // n, code % n


def _implied(graph: Graph, items: Ints, categories: Ints) -> Bools:
    """Categories above those that an item is in ``(items, categories)``: it is there already."""
    n = len(graph.ids)

    def matrix(relation: str) -> csr_matrix:
        edges = graph.edges_of(relation)
        return csr_matrix((np.ones(len(edges)), (graph.src[edges], graph.dst[edges])), (n, n))

    up = matrix(SUBCATEGORY_OF)
    front = matrix(IN_CATEGORY)[items]
    above = csr_matrix(front.shape)
    for _ in range(DEEPEST):
        front = front @ up
        if not front.nnz:
            break
        front.data[:] = 1
        above = above + front
    return np.asarray(above[:, categories].toarray() > 0)


@dataclass(frozen=True)
class Curve:
    """Features → probability, and how it did on pairs it was not fitted to."""

    weights: npt.NDArray[np.float64]  # (7,): the last is the offset
    scale: Array  # (6,)
    reliability: dict[str, JSON]

    def __call__(self, features: Array) -> npt.NDArray[np.float64]:
        """Probabilities ``(p,)`` of pairs with these features ``(p, 6)``."""
        z = (features / self.scale) @ self.weights[:-1] + self.weights[-1]
        return np.asarray(1 / (1 + np.exp(-z)))


def learned(view: View, type: str, decided: Sequence[Mapping[str, JSON]] = ()) -> Curve:
    """How sure to be of links of one type.

    Args:
        view: everything.
        type: the relation.
        decided: what people decided: ``src``, ``type``, ``dst`` and ``verdict``.

    Raises:
        NothingToLearn: there are too few such links, or they are not found again.
    """
    graph = view.graph
    edges = _proposable(graph, type)
    rng = np.random.default_rng(0)
    hidden = np.sort(rng.permutation(edges)[: min(HIDDEN, len(edges) // 3)])
    if len(hidden) < FEWEST:
        raise NothingToLearn(
            f"there are {len(edges)} {type} links, too few to learn from what is missing",
            remedy=f"make at least {3 * FEWEST}",
        )
    blind = view.without(hidden)
    asked = np.zeros(len(graph.ids), np.bool_)
    asked[graph.src[hidden]] = asked[graph.dst[hidden]] = True
    a, b = _pairs(blind, type, asked)
    n = len(graph.ids)
    truth = graph.src[edges].astype(np.int64) * n + graph.dst[edges]
    if type == RELATED_TO:
        truth = np.union1d(truth, graph.dst[edges].astype(np.int64) * n + graph.src[edges])
    right = np.isin(a * n + b, truth)
    if not right.any() or right.all():
        raise NothingToLearn(
            f"hidden {type} links are not found again by what was learned",
            remedy="fit again, or propose another type",
        )
    x = blind.features(type, a, b)
    scale = np.maximum(x.std(axis=0), 1e-6)
    side = rng.permutation(n)[a] % 2 == 0  # a source's candidates stay together
    said = np.zeros(len(a))
    for mine in (side, ~side):
        if mine.any() and right[mine].any() and not right[mine].all():
            said[~mine] = Curve(_logistic(x[mine] / scale, right[mine]), scale, {})(x[~mine])
    extra = _decided(view, type, decided)
    weight = np.concatenate([np.ones(len(a)), np.full(len(extra[1]), DECIDED)])
    everything = np.concatenate([x, extra[0]]) / scale
    verdicts = np.concatenate([right, extra[1]])
    return Curve(_logistic(everything, verdicts, weight), scale, metrics.reliability(said, right))


def _proposable(graph: Graph, type: str) -> Ints:
    """Edges of a type between ends that such proposals are made of."""
    edges = graph.edges_of(type)
    fits = np.zeros(len(edges), np.bool_)
    for src, dst in _ends(graph, type):
        fits |= np.isin(graph.src[edges], src) & np.isin(graph.dst[edges], dst)
    return edges[fits]


def _decided(view: View, type: str, decided: Sequence[Mapping[str, JSON]]) -> tuple[Array, Bools]:
    standing = [
        d
        for d in decided
        if d["type"] == type
        and not d.get("undone_at")
        and d["src"] in view.graph.row
        and d["dst"] in view.graph.row
    ]
    row = view.graph.row
    a = np.array([row[d["src"]] for d in standing], np.int64)
    b = np.array([row[d["dst"]] for d in standing], np.int64)
    verdict = np.array([d["verdict"] == "accepted" for d in standing], np.bool_)
    # an accepted link is in the graph by now: judge it as it was before
    links: list[Link] = [(d["src"], d["type"], d["dst"]) for d in standing]
    hidden = positions(view.graph, links)
    blind = view.without(hidden) if len(hidden) else view
    return blind.features(type, a, b), verdict


def _logistic(
    x: npt.NDArray[np.floating], y: Bools, weight: npt.NDArray[np.floating] | None = None
) -> npt.NDArray[np.float64]:
    """Weights and offset by Newton's method, with a small ridge."""
    x = np.column_stack([x, np.ones(len(x))]).astype(np.float64)
    w = np.ones(len(x)) if weight is None else weight
    theta = np.zeros(x.shape[1])
    ridge = np.diag([1.0] * (x.shape[1] - 1) + [1e-6])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        gradient = x.T @ (w * (p - y)) + ridge @ theta
        step = np.linalg.solve((x.T * (w * p * (1 - p))) @ x + ridge, gradient)
        theta -= step
        if np.abs(step).max() < 1e-8:
            break
    return theta


def candidates(
    view: View, type: str, curve: Curve, no: Set[tuple[str, str]]
) -> Iterator[tuple[float, Proposal]]:
    """Every candidate but those said no to, each with how useful its answer would be."""
    graph = view.graph
    edges = graph.edges_of(type)
    degree = np.bincount(graph.src[edges], minlength=len(graph.ids))
    degree = degree + np.bincount(graph.dst[edges], minlength=len(graph.ids))
    items = np.flatnonzero(Places.of(graph).at >= 0)
    few = items[np.argsort(degree[items], kind="stable")[: 2 * SOURCES]]
    asked = np.zeros(len(graph.ids), np.bool_)
    asked[few] = True
    a, b = _pairs(view, type, asked)
    if not len(a):
        return
    x = view.features(type, a, b)
    sure = curve(x)
    for i in np.argsort(-sure, kind="stable"):
        src, dst = graph.ids[a[i]], graph.ids[b[i]]
        if (src, dst) in no or (type == RELATED_TO and (dst, src) in no):
            continue
        item = a[i] if type == IN_CATEGORY else (a[i] if degree[a[i]] <= degree[b[i]] else b[i])
        useful = float(4 * sure[i] * (1 - sure[i]) * (1 + 1 / (1 + degree[item])) / 2)
        reasons = _reasons(view, type, curve, x[i], int(a[i]), int(b[i]))
        yield useful, Proposal(id_of(src, type, dst), src, type, dst, float(sure[i]), reasons)


def _reasons(view: View, type: str, curve: Curve, x: Array, a: int, b: int) -> tuple[str, ...]:
    """What speaks for a pair, the strongest first."""
    worth = x / curve.scale * curve.weights[:-1]
    out = []
    for i in np.argsort(-worth, kind="stable"):
        if worth[i] <= 0 or x[i] <= 0:
            continue
        if FEATURES[i] == "neighbours":
            out.append(f"both are linked to {_some(view, view.common(a, b))}")
        elif FEATURES[i] == "together":
            counted = view.cooccurrence(type)
            ends = np.concatenate([counted.company(a, b), counted.company(b, a)])
            out.append(f"often occurs together with {_some(view, ends)}")
        elif FEATURES[i] == "many are linked to it":
            out.append(f"{FEATURES[i]} ({round(float(np.expm1(x[i])))})")
        else:
            out.append(f"{FEATURES[i]} ({x[i]:.2f})")
    return tuple(out) or (f"{FEATURES[0]} ({x[0]:.2f}), among the nearest",)


def _some(view: View, rows: Ints) -> str:
    """A few by name."""
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return ", ".join(view.graph.ids[int(row)] for row in rows[:3]) + more
