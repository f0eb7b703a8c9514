"""Champion and candidate on the same frozen links: who brings up the other end of a hidden link?

Which links are kept is decided by their names, not by chance, so that every candidate is asked the
same ones and none ever learns from them. One end asks by its own vector, without any edge, as a new
query would; the other is sought among items of its modality by the sum that search ranks nearest
vectors by. Neither the link nor any other between its ends carries messages. Nobody is sought among
others by itself, and what else it was known to be linked to is no wrong answer; what new links say
may be wrong, and stays among the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from graphretrieval.errors import ConfigError
from graphretrieval.gnn.messages import Typed, propagate, strengths
from graphretrieval.retriever import corpus
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.model import Model, scaled
from graphretrieval.retriever.weighing import gate
from graphretrieval.types import JSON, Array, Bools, Graph, Ints

# one new link in so many is never learned from
NEW_SHARE = 5
# links of those that were there before the first refit: most, their share, and least if there are
# twice as many
OLD, OLD_SHARE, LEAST = 500, 0.1, 40
MOST = 1_000
GALLERY = 1_000
#: The slice that decides nothing.
NEW = "new links"
# a slice with fewer questions says nothing
FEWEST = 10

Link = tuple[str, str, str]


@dataclass(frozen=True)
class Slice:
    """One group of questions: both mean reciprocal ranks, and the difference's standard error."""

    name: str
    questions: int
    champion: float
    candidate: float
    unsure: float

    @property
    def difference(self) -> float:
        """Candidate minus champion."""
        return self.candidate - self.champion

    def to_json(self) -> dict[str, JSON]:
        """As reports hold it."""
        return {
            "slice": self.name,
            "questions": self.questions,
            "champion": round(self.champion, 4),
            "candidate": round(self.candidate, 4),
            "difference": round(self.difference, 4),
            "unsure": round(self.unsure, 4),
        }


def instance_links(graph: Graph) -> Ints:
    """Positions of edges between items, which questions can be made of."""
    edges = corpus.instance_edges(graph)
    item = Places.of(graph).at >= 0
    return np.asarray(edges[item[graph.src[edges]] & item[graph.dst[edges]]])


def frozen(graph: Graph, known: Sequence[Link], new: Bools) -> Ints:
    """Positions of the links to judge by.

    Args:
        graph: at the newest revision.
        known: the links the champion was judged by; they stay.
        new: ``(m,)`` marks edges the champion has not learned from.
    """
    edges = instance_links(graph)
    fresh, before = edges[new[edges]], edges[~new[edges]]
    hash_ = _hashes(graph, fresh)
    kept = hash_ % NEW_SHARE == 0
    fresh = fresh[kept][_least(hash_[kept], MOST)]
    if known:
        stay = positions(graph, known)
    else:
        count = min(OLD, max(int(OLD_SHARE * len(before)), min(LEAST, len(before) // 2)))
        stay = before[_least(_hashes(graph, before), count)]
    return np.union1d(stay, fresh)


def positions(graph: Graph, links: Sequence[Link]) -> Ints:
    """Where edges are in a graph; those that are not there are left out."""
    kinds = {name: i for i, name in enumerate(graph.relations)}
    rows = [
        (graph.row[s], kinds[t], graph.row[d])
        for s, t, d in links
        if s in graph.row and d in graph.row and t in kinds
    ]
    ends = np.array(rows, np.int64).reshape(-1, 3)
    wanted = _codes(graph, *ends.T)
    sources = np.zeros(len(graph.ids), np.bool_)
    sources[ends[:, 0]] = True
    some = np.flatnonzero(sources[graph.src])  # few of all edges, whose codes are then compared
    codes = _codes(graph, graph.src[some], graph.relation[some], graph.dst[some])
    return np.asarray(some[np.isin(codes, wanted)])


def names(graph: Graph, edges: Ints) -> list[Link]:
    """Edges by their names."""
    return [
        (graph.ids[graph.src[e]], graph.relations[graph.relation[e]], graph.ids[graph.dst[e]])
        for e in edges
    ]


@dataclass(frozen=True)
class Judge:
    """Questions made of links, and the messages that remain while they are asked."""

    graph: Graph = field(repr=False)
    typed: Typed = field(repr=False)
    asks: Ints = field(repr=False)  # (q,)
    answers: Ints = field(repr=False)  # (q,)
    new: Bools = field(repr=False)  # (q,)
    partners: csr_matrix = field(repr=False)  # (n, n) both ways, of links that are not new
    seed: int = 0

    @classmethod
    def of(cls, graph: Graph, typed: Typed, links: Ints, new: Bools, seed: int = 0) -> Judge:
        """Half of the links asked from one end, half from the other.

        Args:
            graph: at the newest revision.
            typed: the messages over its edges.
            links: ``(q,)`` positions of the links to judge by.
            new: ``(m,)`` marks edges the champion has not learned from.
            seed: chooses what the answers are sought among.
        """
        turn = (_hashes(graph, links) // NEW_SHARE) % 2 == 0
        src, dst = graph.src[links].astype(np.int64), graph.dst[links].astype(np.int64)
        asks, answers = np.where(turn, src, dst), np.where(turn, dst, src)
        asking = np.zeros(len(graph.ids), np.bool_)
        asking[asks] = True
        known, n = instance_links(graph), len(graph.ids)
        known = known[~new[known]]
        one_way = csr_matrix((np.ones(len(known)), (graph.src[known], graph.dst[known])), (n, n))
        partners = (one_way + one_way.T).tocsr()
        return cls(graph, typed.without(asking), asks, answers, new[links], partners, seed)

    def reciprocal_ranks(self, model: Model, raw: Mapping[str, Array]) -> Array:
        """1/rank of each question's answer ``(q,)``, ties half counted."""
        out = np.zeros(len(self.asks), np.float32)
        galleries = [self._gallery(target, mine) for _, target, mine in self._directions()]
        rows = np.unique(np.concatenate([np.empty(0, np.int64), *galleries]))
        heard = refined_over(self.typed, model, raw, rows)
        refined = {b: scaled(b, x) for b, x in heard.items()}
        for (source, target, mine), gallery in zip(self._directions(), galleries, strict=True):
            weight = gate(model, source, target, "instance").weights(len(model.columns), 0.0)
            scores = np.zeros((len(mine), len(gallery)), np.float32)
            for i, block in enumerate(model.aligners):
                asked = scaled(block, raw[block][self.asks[mine]])
                scores += weight[i] * (asked @ scaled(block, raw[block][gallery]).T)
                also = refined[block][np.searchsorted(rows, gallery)]
                scores += weight[len(model.aligners) + i] * (asked @ also.T)
            scores[self._also(mine, gallery)] = -np.inf
            out[mine] = _ranked(scores, np.searchsorted(gallery, self.answers[mine]))
        return out

    def _also(self, questions: Ints, gallery: Ints) -> Bools:
        """What is neither a right answer nor a wrong one ``(q, g)``."""
        asks = self.asks[questions]
        out = self.partners[asks][:, gallery].toarray() > 0
        out |= asks[:, None] == gallery
        out[self.answers[questions][:, None] == gallery] = False
        return np.asarray(out, np.bool_)

    def _gallery(self, target: str, questions: Ints) -> Ints:
        """What answers are sought among, ascending."""
        rng = np.random.default_rng(self.seed)
        others = rng.permutation(self.graph.rows_of(target))[:GALLERY]
        return np.union1d(others, self.answers[questions])

    def slices(self, champion: Array, candidate: Array) -> list[Slice]:
        """Old links: all, by direction, by how well the answer is linked; and new links apart.

        What is new may be what is wrong, so that it is no part of the others.
        """
        old = ~self.new
        groups: list[tuple[str, Bools]] = [("all", old)]
        for source, target, rows in self._directions():
            mark = np.zeros(len(self.asks), np.bool_)
            mark[rows] = True
            groups.append((f"{source}>{target}", mark & old))
        degree = np.bincount(self.graph.src, minlength=len(self.graph.ids))
        degree = degree + np.bincount(self.graph.dst, minlength=len(self.graph.ids))
        linked = degree[self.answers]
        head: Bools = linked > (np.median(linked[old]) if old.any() else 0)
        groups += [("head", head & old), ("tail", ~head & old), (NEW, self.new)]
        out = []
        for name, mine in groups:
            if name == "all" or mine.sum() >= FEWEST:
                gap = candidate[mine] - champion[mine]
                size = max(1, len(gap))
                out.append(
                    Slice(
                        name,
                        len(gap),
                        float(champion[mine].sum() / size),
                        float(candidate[mine].sum() / size),
                        float(gap.std() / np.sqrt(size)) if len(gap) else 0.0,
                    )
                )
        return out

    def _directions(self) -> Iterator[tuple[str, str, Ints]]:
        kind = np.stack([self.graph.modality[self.asks], self.graph.modality[self.answers]], 1)
        for source, target in np.unique(kind, axis=0).tolist():
            mine = np.flatnonzero((kind == (source, target)).all(axis=1))
            yield self.graph.modalities[source], self.graph.modalities[target], mine


def refined_over(
    typed: Typed, model: Model, raw: Mapping[str, Array], rows: Ints | None = None
) -> dict[str, Array]:
    """Unscaled refined vectors of every block over these messages, of all nodes or of some rows.

    Raises:
        ConfigError: the model was refined by something else than propagation.
    """
    out = {}
    for block, x in raw.items():
        refiner: Any = model.refiners.get(block)
        depth = getattr(refiner, "depth_", None)
        if refiner is not None and depth is None:
            raise ConfigError(
                f"the refiner {type(refiner).__name__} cannot be asked for its layers",
                remedy="fit with the refiner propagate or none",
            )
        if depth:
            rho = strengths(typed.types, refiner.strength_)
            out[block] = propagate(typed, x, rho, depth, rows=rows)
        else:
            out[block] = x if rows is None else x[rows]
    return out


def _ranked(scores: Array, answer: Ints) -> Array:
    own = scores[np.arange(len(scores)), answer][:, None]
    return np.asarray(1 / (0.5 + (scores > own).sum(1) + 0.5 * (scores == own).sum(1)), np.float32)


def _hashes(graph: Graph, edges: Ints) -> npt.NDArray[np.uint64]:
    """A number for each edge that depends on its names alone."""
    named = np.zeros(len(graph.ids), np.bool_)
    named[graph.src[edges]] = named[graph.dst[edges]] = True
    ends = np.flatnonzero(named)
    crc = np.zeros(len(graph.ids), np.uint64)
    crc[ends] = [zlib.crc32(graph.ids[i].encode("utf-8", "surrogatepass")) for i in ends.tolist()]
    kind = np.array([zlib.crc32(r.encode()) for r in graph.relations] or [0], np.uint64)
    x = crc[graph.src[edges]] * np.uint64(0x9E3779B97F4A7C15) + crc[graph.dst[edges]]
    x ^= kind[graph.relation[edges]] << np.uint64(17)
    for shift in (33, 29):  # a finaliser: every bit depends on every other
        x ^= x >> np.uint64(shift)
        x *= np.uint64(0xC2B2AE3D27D4EB4F)
    return np.asarray(x >> np.uint64(20))


def _least(numbers: npt.NDArray[np.uint64], count: int) -> Ints:
    """Positions of the smallest, ascending; equal ones in their order."""
    count = min(count, len(numbers))
    if not count:
        return np.empty(0, np.int64)
    some = np.flatnonzero(numbers <= np.partition(numbers, count - 1)[count - 1])
    return np.asarray(some[np.argsort(numbers[some], kind="stable")][:count])


def _codes(
    graph: Graph,
    src: npt.NDArray[np.integer],
    relation: npt.NDArray[np.integer],
    dst: npt.NDArray[np.integer],
) -> Ints:
    n, r = max(1, len(graph.ids)), max(1, len(graph.relations))
    return np.asarray((src.astype(np.int64) * n + dst) * r + relation, np.int64)
