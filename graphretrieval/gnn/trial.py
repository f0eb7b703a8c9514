"""Held-out links as a test: does the other end of a hidden link come up when one end asks?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from graphretrieval.arrays import expand, normalise
from graphretrieval.gnn.kernel import hop
from graphretrieval.gnn.messages import Typed, has_vector, propagate, strengths
from graphretrieval.types import Array, Bools, Graph, Ints

# a fresh type counts this much beside the node's own vector before anything is learned
START = 0.3
# fewer held-out links than this cannot tell a useful graph from luck
FEWEST_LINKS = 10
# pulls strengths that the links say nothing about towards zero
DECAY = 1e-3


@dataclass(frozen=True)
class Group:
    """Questions whose answers are of one modality: ``answer[i]`` is a position in ``gallery``."""

    asks: Ints = field(repr=False)  # (q,) nodes
    gallery: Ints = field(repr=False)  # (g,) nodes
    answer: Ints = field(repr=False)  # (q,)
    also: Bools = field(repr=False)  # (q, g) other right answers, which are no mistakes
    held_out: Bools = field(repr=False)  # (q,)


@dataclass(frozen=True)
class Trial:
    """Links asked from one end: the edges that remain, their messages, and the questions."""

    graph: Graph = field(repr=False)
    typed: Typed
    groups: Sequence[Group]

    def reciprocal_ranks(self, h: Array, z: Array, *, held_out: bool) -> Array:
        """1/rank of each answer by cosine of the raw query and refined nodes; ties half counted."""
        out = [np.empty(0, np.float32)]
        for group in self.groups:
            take = group.held_out == held_out
            scores = normalise(h[group.asks[take]]) @ normalise(z[group.gallery]).T
            scores[group.also[take]] = -np.inf
            own = scores[np.arange(len(scores)), group.answer[take]][:, None]
            rank = 0.5 + (scores > own).sum(1) + 0.5 * (scores == own).sum(1)
            out.append((1.0 / rank).astype(np.float32))
        return np.concatenate(out)


def trials(graph: Graph, h: Array, edges: Ints, links: int, gallery: int, seed: int) -> list[Trial]:
    """Both ways of asking for the links at ``edges``: destination by source, source by destination.

    Neither the links nor any other edge between their two ends carries messages, and nodes that
    ask have no edges at all, as a new query has none.
    """
    rng = np.random.default_rng(seed)
    if len(edges) > links:
        chosen = np.sort(rng.choice(edges, links, replace=False))
    else:
        chosen = np.sort(edges)
    usable = ~between_same_ends(graph, edges)
    src, dst = graph.src.astype(np.int64), graph.dst.astype(np.int64)
    held_out = rng.permutation(len(chosen)) % 2 == 0
    out = []
    for asks, answers in ((src[chosen], dst[chosen]), (dst[chosen], src[chosen])):
        asking = np.zeros(len(graph.ids), np.bool_)
        asking[asks] = True
        left = graph.with_edges(usable & ~asking[src] & ~asking[dst])
        groups = _groups(graph, h, asks, answers, held_out, gallery, rng)
        out.append(Trial(left, Typed.of(left), groups))
    return out


def surely_better(a: Array, b: Array) -> bool:
    """Whether reciprocal ranks are better by more than two standard errors, in logarithm.

    Of reciprocal ranks themselves a few firsts decide; halving a rank should count the same
    anywhere.
    """
    gain = np.log(a) - np.log(b)
    return bool(gain.mean() > 2 * gain.std() / np.sqrt(len(gain)) and gain.mean() > 1e-6)


def learn_strengths(
    found: Sequence[Trial], h: Array, before: Mapping[str, float], depth: int, steps: int
) -> dict[str, float]:
    """Strengths ρ = softplus(θ) of the last of ``depth`` rounds, by gradient on the links.

    The rounds before it are computed with the strengths learned so far, and stand still. The score
    of node i for query q is cos(q, hᵢ + Σᵣ ρᵣ (Âᵣ z)ᵢ): it needs only the products of q with each
    message, and the products of i's messages with each other, so that a step costs next to nothing.
    """
    types = sorted({t for trial in found for t in trial.typed.types})
    at = {t: i for i, t in enumerate(types)}
    terms = [_Terms.of(trial, group, h, before, depth, at) for trial, group in _all(found)]
    terms = [t for t in terms if len(t.answer)]
    if not types or not terms:
        return {}
    heard = np.zeros(len(types), np.bool_)
    heard[np.concatenate([t.heard.numpy() for t in terms])] = True
    start = np.array([max(before.get(t, START), 1e-3) for t in types])
    theta = torch.tensor(np.log(np.expm1(start)), dtype=torch.float32, requires_grad=True)
    sharpness = torch.tensor(3.0, requires_grad=True)
    adam = torch.optim.Adam([theta, sharpness], lr=0.1)
    for _ in range(steps):
        adam.zero_grad()
        rho = torch.nn.functional.softplus(theta)
        loss = torch.stack([t.loss(rho, sharpness.exp()) for t in terms]).mean()
        (loss + DECAY * rho.sum()).backward()  # type: ignore[no-untyped-call]
        adam.step()
    rho_ = torch.nn.functional.softplus(theta.detach()).numpy()
    # a type that no gallery node hears was not judged: it keeps silent
    return {t: float(rho_[i]) for t, i in at.items() if heard[i] and rho_[i] > 1e-3}


@dataclass(frozen=True)
class _Terms:
    """All that the score's gradient needs of one group's fitting half.

    Of the types only those that the gallery hears, ``heard`` (r,): each modality hears a few.
    """

    products: torch.Tensor  # (r + 1, q, g): query · own vector, query · message of each type
    gram: torch.Tensor  # (g, r + 1, r + 1): a node's vector and messages with each other
    answer: torch.Tensor  # (q,)
    also: torch.Tensor  # (q, g)
    heard: torch.Tensor  # (r,)

    @classmethod
    def of(
        cls,
        trial: Trial,
        group: Group,
        h: Array,
        before: Mapping[str, float],
        depth: int,
        at: Mapping[str, int],
    ) -> _Terms:
        z = propagate(trial.typed, h, strengths(trial.typed.types, before), depth - 1)
        share, _ = trial.typed.shares(has_vector(z))
        said = {
            at[name]: _message(trial.typed, share, kind, group.gallery, z)
            for kind, name in enumerate(trial.typed.types)
        }
        said = {r: message for r, message in said.items() if message.any()}
        parts = np.stack([h[group.gallery], *said.values()])
        take = ~group.held_out
        queries = normalise(h[group.asks[take]])
        products = np.einsum("qd,rgd->rqg", queries, parts, optimize=True)
        gram = np.einsum("rgd,sgd->grs", parts, parts, optimize=True)
        return cls(
            torch.from_numpy(np.ascontiguousarray(products)),
            torch.from_numpy(np.ascontiguousarray(gram)),
            torch.from_numpy(group.answer[take]),
            torch.from_numpy(group.also[take]),
            torch.tensor(list(said), dtype=torch.int64),
        )

    def loss(self, rho: torch.Tensor, sharpness: torch.Tensor) -> torch.Tensor:
        """Softmax cross-entropy of the right answer among the gallery."""
        one = torch.cat([torch.ones(1), rho[self.heard]])  # (r + 1,)
        length = torch.einsum("grs,r,s->g", self.gram, one, one).clamp_min(1e-12).sqrt()
        scores = torch.einsum("rqg,r->qg", self.products, one) / length
        scores = (sharpness * scores).masked_fill(self.also, -torch.inf)
        return torch.nn.functional.cross_entropy(scores, self.answer)


def _message(typed: Typed, share: Array, kind: int, rows: Ints, z: Array) -> Array:
    """(Âᵣ z) of some rows, for one type r."""
    owner, position = expand(typed.indptr, rows)
    mine = typed.type[position] == kind
    owner, position = owner[mine], position[mine]
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=len(rows)), out=indptr[1:])
    return hop(indptr, typed.speaker[position], share[position], z)


def _all(found: Sequence[Trial]) -> Iterator[tuple[Trial, Group]]:
    return ((trial, group) for trial in found for group in trial.groups)


def between_same_ends(graph: Graph, edges: Ints) -> Bools:
    """Edges, of any relation and either way, that join two nodes a supervision edge joins."""
    n = len(graph.ids)
    src, dst = graph.src.astype(np.int64), graph.dst.astype(np.int64)
    key = np.minimum(src, dst) * n + np.maximum(src, dst)
    return np.isin(key, key[edges])


def _groups(
    graph: Graph,
    h: Array,
    asks: Ints,
    answers: Ints,
    held_out: Bools,
    size: int,
    rng: np.random.Generator,
) -> list[Group]:
    out = []
    able = has_vector(h)[asks]  # who has no vector cannot ask
    for code in np.unique(graph.modality[answers]):
        mine = np.flatnonzero(able & (graph.modality[answers] == code))
        if not len(mine):
            continue
        gallery = _gallery(np.flatnonzero(graph.modality == code), answers[mine], size, rng)
        answer = np.searchsorted(gallery, answers[mine])
        also = asks[mine][:, None] == gallery[None, :]  # nobody is an answer to themselves
        who, inverse = np.unique(asks[mine], return_inverse=True)
        right = np.zeros((len(who), len(gallery)), np.bool_)
        right[inverse, answer] = True
        also |= right[inverse]
        also[np.arange(len(mine)), answer] = False
        out.append(Group(asks[mine], gallery, answer, also, held_out[mine]))
    return out


def _gallery(nodes: Ints, answers: Ints, size: int, rng: np.random.Generator) -> Ints:
    """The answers and, up to ``size``, others of their modality; ascending."""
    wanted = np.unique(answers)
    others = np.setdiff1d(nodes, wanted)
    room = min(max(size - len(wanted), 0), len(others))
    return np.sort(np.concatenate([wanted, rng.choice(others, room, replace=False)]))
