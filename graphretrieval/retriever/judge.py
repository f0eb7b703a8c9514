"""Champion and candidate on the same frozen links: who brings up the other end of a hidden link?

Which links are kept is decided by their names, not by chance, so that every candidate is asked the
same ones and none ever learns from them. One end asks by its own vector, without any edge, as a new
query would; the other is sought among items of its modality by the sum that search ranks nearest
vectors by. Neither the link nor any other between its ends carries messages.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from graphretrieval.errors import ConfigError
from graphretrieval.gnn.messages import Typed, propagate, strengths
from graphretrieval.retriever import corpus
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.model import Model, gate, scaled
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
    fresh = fresh[kept][np.argsort(hash_[kept], kind="stable")][:MOST]
    if known:
        stay = positions(graph, known)
    else:
        count = min(OLD, max(int(OLD_SHARE * len(before)), min(LEAST, len(before) // 2)))
        stay = before[np.argsort(_hashes(graph, before), kind="stable")[:count]]
    return np.union1d(stay, fresh)


def positions(graph: Graph, links: Sequence[Link]) -> Ints:
    """Where edges are in a graph; those that are not there are left out."""
    kinds = {name: i for i, name in enumerate(graph.relations)}
    rows = [
        (graph.row[s], kinds[t], graph.row[d])
        for s, t, d in links
        if s in graph.row and d in graph.row and t in kinds
    ]
    wanted = _codes(graph, *np.array(rows, np.int64).reshape(-1, 3).T)
    return np.flatnonzero(np.isin(_codes(graph, graph.src, graph.relation, graph.dst), wanted))


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
    seed: int = 0

    @classmethod
    def of(cls, graph: Graph, links: Ints, new: Bools, seed: int = 0) -> Judge:
        """Half of the links asked from one end, half from the other."""
        turn = (_hashes(graph, links) // NEW_SHARE) % 2 == 0
        src, dst = graph.src[links].astype(np.int64), graph.dst[links].astype(np.int64)
        asks, answers = np.where(turn, src, dst), np.where(turn, dst, src)
        asking = np.zeros(len(graph.ids), np.bool_)
        asking[asks] = True
        n = len(graph.ids)
        pair = np.minimum(graph.src, graph.dst).astype(np.int64) * n + np.maximum(
            graph.src, graph.dst
        )
        hidden = np.isin(pair, pair[links]) | asking[graph.src] | asking[graph.dst]
        return cls(graph, Typed.of(graph, ~hidden), asks, answers, new[links], seed)

    def reciprocal_ranks(self, model: Model, raw: Mapping[str, Array]) -> Array:
        """1/rank of each question's answer ``(q,)``, ties half counted."""
        plain = {b: scaled(b, x) for b, x in raw.items()}
        heard = refined_over(self.typed, model, raw)
        refined = {b: scaled(b, x) for b, x in heard.items()}
        out = np.zeros(len(self.asks), np.float32)
        for source, target, mine in self._directions():
            weight = np.diag(
                gate(model, source, target, "instance").weigh(
                    np.eye(len(model.columns), dtype=np.float32), 0.0
                )
            )
            rng = np.random.default_rng(self.seed)
            gallery = rng.permutation(self.graph.rows_of(target))[:GALLERY]
            gallery = np.union1d(gallery, self.answers[mine])
            scores = np.zeros((len(mine), len(gallery)), np.float32)
            for i, block in enumerate(model.aligners):
                asked = plain[block][self.asks[mine]]
                scores += weight[i] * (asked @ plain[block][gallery].T)
                scores += weight[len(model.aligners) + i] * (asked @ refined[block][gallery].T)
            out[mine] = _ranked(scores, np.searchsorted(gallery, self.answers[mine]))
        return out

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


def refined_over(typed: Typed, model: Model, raw: Mapping[str, Array]) -> dict[str, Array]:
    """Unscaled refined vectors of every block over these messages."""
    out = {}
    for block, x in raw.items():
        refiner = model.refiners.get(block)
        depth = getattr(refiner, "depth_", None)
        if refiner is not None and depth is None:
            raise ConfigError(
                f"the refiner {type(refiner).__name__} cannot be asked for its layers",
                remedy="fit with the refiner propagate or none",
            )
        z = x
        if depth:
            rho = strengths(typed.types, refiner.strength_)  # type: ignore[union-attr]
            for _ in range(depth):
                z = propagate(typed, x, z, rho)
        out[block] = z
    return out


def _ranked(scores: Array, answer: Ints) -> Array:
    own = scores[np.arange(len(scores)), answer][:, None]
    return np.asarray(1 / (0.5 + (scores > own).sum(1) + 0.5 * (scores == own).sum(1)), np.float32)


def _hashes(graph: Graph, edges: Ints) -> npt.NDArray[np.uint64]:
    """A number for each edge that depends on its names alone."""
    ends = np.union1d(graph.src[edges], graph.dst[edges])
    crc = np.zeros(len(graph.ids), np.uint64)
    crc[ends] = [zlib.crc32(graph.ids[int(i)].encode("utf-8", "surrogatepass")) for i in ends]
    kind = np.array([zlib.crc32(r.encode()) for r in graph.relations] or [0], np.uint64)
    x = crc[graph.src[edges]] * np.uint64(0x9E3779B97F4A7C15) + crc[graph.dst[edges]]
    x ^= kind[graph.relation[edges]] << np.uint64(17)
    for shift in (33, 29):  # a finaliser: every bit depends on every other
        x ^= x >> np.uint64(shift)
        x *= np.uint64(0xC2B2AE3D27D4EB4F)
    return np.asarray(x >> np.uint64(20))


def _codes(
    graph: Graph,
    src: npt.NDArray[np.integer],
    relation: npt.NDArray[np.integer],
    dst: npt.NDArray[np.integer],
) -> Ints:
    n, r = max(1, len(graph.ids)), max(1, len(graph.relations))
    return np.asarray((src.astype(np.int64) * n + dst) * r + relation, np.int64)
