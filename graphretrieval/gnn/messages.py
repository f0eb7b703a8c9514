"""Who hears whom: a graph's edges as typed messages, and one round of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from graphretrieval.arrays import expand, grouped
from graphretrieval.gnn.kernel import Messages, heard
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
    def of(cls, graph: Graph) -> Typed:
        """The messages over a graph's edges."""
        n, m, kinds = len(graph.ids), len(graph.src), len(graph.modalities)
        src, dst = graph.src.astype(np.int64), graph.dst.astype(np.int64)
        listener, speaker = np.concatenate([dst, src]), np.concatenate([src, dst])
        inward = np.repeat([1, 0], m)
        relation = np.concatenate([graph.relation, graph.relation]).astype(np.int64)
        code = (relation * 2 + inward) * kinds + graph.modality[speaker]
        code = code * kinds + graph.modality[listener]
        found = np.bincount(code) > 0
        present, number = np.flatnonzero(found), np.cumsum(found) - 1
        order, indptr = grouped(listener, n)
        return cls(
            n,
            tuple(_name(graph, int(c)) for c in present),
            listener[order],
            speaker[order],
            number[code[order]],
            np.concatenate([graph.weight, graph.weight])[order].astype(np.float32),
            indptr,
        )

    def among(self, types: Sequence[str]) -> Typed:
        """Only the messages of these types that weigh anything, types numbered in this order."""
        number = {name: i for i, name in enumerate(types)}
        code = np.array([number.get(t, -1) for t in self.types], np.int64)
        kind = code[self.type] if len(code) else np.empty(0, np.int64)
        return replace(self, types=tuple(types), type=kind)._only((kind >= 0) & (self.weight > 0))

    def without(self, silent: Bools) -> Typed:
        """Only the messages that no marked node ``(n,)`` hears or says."""
        return self._only(~(silent[self.listener] | silent[self.speaker]))

    def _only(self, kept: Bools) -> Typed:
        before = np.concatenate([[0], np.cumsum(kept)])
        return Typed(
            self.n,
            self.types,
            self.listener[kept],
            self.speaker[kept],
            self.type[kept],
            self.weight[kept],
            before[self.indptr],
        )

    def shares(self, present: Bools) -> tuple[Array, Bools]:
        """Each message's share of its type's mean, and which types each node hears at all.

        Â_r is row-normalised over the neighbours that exist: those whose vector is not zero.

        Args:
            present: ``(n,)`` nodes with a vector.

        Returns:
            ``(m,)`` shares that add up to one for each listener and type, and ``(n, R)``.
        """
        width = max(len(self.types), 1)
        weight = self.weight * present[self.speaker]
        slot = self.listener * width + self.type
        total = np.bincount(slot, weight, minlength=self.n * width)  # (n · R,)
        share = weight / np.maximum(total[slot], 1e-30)
        return share.astype(np.float32), (total > 0).reshape(self.n, width)[:, : len(self.types)]


def propagate(
    typed: Typed,
    h: Array,
    strength: Array,
    depth: int = 1,
    *,
    rows: Ints | None = None,
    half: bool = False,
) -> Array:
    """Rounds in which each node becomes the weighted mean of itself and of what it hears.

    ``x'ᵢ = (sᵢ hᵢ + Σᵣ ρᵣ (Âᵣ x)ᵢ) / (sᵢ + Σ_{r heard by i} ρᵣ)`` with s = 1, or 0 where h is zero,
    beginning with x = h.

    Args:
        typed: the messages.
        h: ``(n, d)``, what each node says by itself.
        strength: ``(R,)`` ρ ≥ 0: how much a type counts beside the node's own vector.
        depth: how many rounds.
        rows: ``(r,)`` nodes whose vectors are wanted; all by default.
        half: read the vectors as bfloat16.

    Returns:
        ``(n, d)``, or ``(r, d)``.
    """
    counts = strength > 0
    typed = typed.among([t for t, c in zip(typed.types, counts, strict=True) if c])
    rho, own, x = strength[counts], has_vector(h).astype(np.float32), h
    present: Bools | None = None
    for left in reversed(range(depth)):
        before, present = present, has_vector(x)
        if before is None or (before != present).any():
            share, hears = typed.shares(present)
            weight = share * rho[typed.type]
            messages = Messages.of(typed.indptr, typed.speaker, weight)
            total = np.maximum(own + hears.astype(np.float32) @ rho, 1e-12)[:, None]  # (n, 1)
        if rows is not None and not left:
            owner, at = expand(typed.indptr, rows)
            indptr = np.searchsorted(owner, np.arange(len(rows) + 1))
            few = Messages.of(indptr, typed.speaker[at], weight[at])
            return np.asarray((heard(few, x, half=half) + h[rows]) / total[rows], np.float32)
        x = heard(messages, x, half=half)
        x += h
        x /= total
    return x if rows is None else x[rows]


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
