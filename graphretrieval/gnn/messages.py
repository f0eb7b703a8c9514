"""Who hears whom: a graph's edges as typed messages, and one round of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from graphretrieval.gnn.kernel import hop
from graphretrieval.types import Array, Bools, Graph, Ints


@dataclass(frozen=True)
class Typed:
    """Messages sorted by the node that hears them; each edge is heard in both directions.

    A message's type is its relation, its direction and the modalities of speaker and listener:
    ``DESCRIBES:in:text>image`` is what a picture hears from its captions.
    """

    n: int
    types: tuple[str, ...]
    listener: Ints = field(compare=False, repr=False)  # (m,) ascending
    speaker: Ints = field(compare=False, repr=False)  # (m,)
    type: Ints = field(compare=False, repr=False)  # (m,) position in types
    weight: Array = field(compare=False, repr=False)  # (m,)
    indptr: Ints = field(compare=False, repr=False)  # (n + 1,)

    @classmethod
    def of(cls, graph: Graph, keep: Bools | None = None) -> Typed:
        """The messages over a graph's edges, or over those that ``keep`` marks."""
        if keep is not None:
            graph = graph.with_edges(keep)
        n, m, kinds = len(graph.ids), len(graph.src), len(graph.modalities)
        src, dst = graph.src.astype(np.int64), graph.dst.astype(np.int64)
        listener, speaker = np.concatenate([dst, src]), np.concatenate([src, dst])
        inward = np.repeat([1, 0], m)
        relation = np.concatenate([graph.relation, graph.relation]).astype(np.int64)
        code = (relation * 2 + inward) * kinds + graph.modality[speaker]
        code = code * kinds + graph.modality[listener]
        present, kind = np.unique(code, return_inverse=True)
        order = np.argsort(listener, kind="stable")
        indptr = np.zeros(n + 1, np.int64)
        np.cumsum(np.bincount(listener, minlength=n), out=indptr[1:])
        return cls(
            n,
            tuple(_name(graph, int(c)) for c in present),
            listener[order],
            speaker[order],
            kind.reshape(-1)[order],
            np.concatenate([graph.weight, graph.weight])[order].astype(np.float32),
            indptr,
        )

    def among(self, types: Sequence[str]) -> Typed:
        """Only the messages of these types that weigh anything, types numbered in this order."""
        number = {name: i for i, name in enumerate(types)}
        code = np.array([number.get(t, -1) for t in self.types], np.int64)
        kind = code[self.type] if len(code) else np.empty(0, np.int64)
        kept = (kind >= 0) & (self.weight > 0)
        before = np.concatenate([[0], np.cumsum(kept)])
        return Typed(
            self.n,
            tuple(types),
            self.listener[kept],
            self.speaker[kept],
            kind[kept],
            self.weight[kept],
            before[self.indptr],
        )

    def shares(self, x: Array) -> tuple[Array, Bools]:
        """Each message's share of its type's mean, and which types each node hears at all.

        Â_r is row-normalised over the neighbours that exist: those whose vector is not zero.

        Returns:
            ``(m,)`` shares that add up to one for each listener and type, and ``(n, R)``.
        """
        width = max(len(self.types), 1)
        weight = self.weight * has_vector(x)[self.speaker]
        slot = self.listener * width + self.type
        total = np.bincount(slot, weight, minlength=self.n * width)  # (n · R,)
        share = weight / np.maximum(total[slot], 1e-30)
        return share.astype(np.float32), (total > 0).reshape(self.n, width)[:, : len(self.types)]


def propagate(typed: Typed, h: Array, x: Array, strength: Array, *, half: bool = False) -> Array:
    """One round: each node becomes the weighted mean of itself and of what it hears.

    ``x'ᵢ = (sᵢ hᵢ + Σᵣ ρᵣ (Âᵣ x)ᵢ) / (sᵢ + Σ_{r heard by i} ρᵣ)`` with s = 1, or 0 where h is zero.

    Args:
        typed: the messages.
        h: ``(n, d)``, what each node says by itself.
        x: ``(n, d)``, the last round's vectors.
        strength: ``(R,)`` ρ ≥ 0: how much a type counts beside the node's own vector.
        half: read the vectors as bfloat16.
    """
    share, heard = typed.shares(x)
    weights = share * strength[typed.type]
    own = has_vector(h).astype(np.float32)
    total = own + heard.astype(np.float32) @ strength  # (n,)
    busy = weights > 0
    kept = np.concatenate([[0], np.cumsum(busy)])
    y = hop(kept[typed.indptr], typed.speaker[busy], weights[busy], x, half=half)
    y += h
    y /= np.maximum(total, 1e-12)[:, None]
    return y


def has_vector(x: Array) -> Bools:
    """Which rows are not zero: an absent vector is a row of zeros."""
    return np.asarray(np.any(x, axis=1), np.bool_)


def strengths(types: tuple[str, ...], learned: Mapping[str, float]) -> Array:
    """Strengths in a graph's own order of types; a type never learned about counts nothing."""
    return np.array([learned.get(t, 0.0) for t in types], np.float32)


def _name(graph: Graph, code: int) -> str:
    kinds = len(graph.modalities)
    rest, listener = divmod(code, kinds)
    rest, speaker = divmod(rest, kinds)
    relation, inward = divmod(rest, 2)
    way = f"{graph.modalities[speaker]}>{graph.modalities[listener]}"
    return f"{graph.relations[relation]}:{'in' if inward else 'out'}:{way}"
