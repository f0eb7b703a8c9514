"""Residual push: after a change, propagate only what moved, layer by layer.

All of z⁰ … zᴷ are kept. A row of zᵏ⁺¹ is computed again where its own vector or its edges changed,
or where a neighbour's zᵏ has moved by more than ε since it was last passed on (after the local push
of personalised PageRank, Andersen et al. 2006). What has not been passed on is remembered as that
row's residual, so that many small moves add up to one that counts: every row stays within
3ε (c + c² + …), c < 1, of what refining everything anew gives, however many changes came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from graphretrieval.arrays import Grown
from graphretrieval.gnn.kernel import hop
from graphretrieval.gnn.messages import has_vector
from graphretrieval.types import Array, Ints

#: Moves below this share of the mean length of a vector wait until they have added up.
EPSILON = 8e-6
#: Nodes of more edges are hubs.
HUB = 200
# rows computed at once when everything is: their table of types stays in the cache
_ROWS = 20_000


class Ties(Protocol):
    """Every node's edges in both directions; see :mod:`graphretrieval.rankers.adjacency`."""

    relations: list[str]
    count: Ints
    other: npt.NDArray[Any]
    kind: npt.NDArray[Any]
    weight: npt.NDArray[Any]

    def entries(self, rows: Ints, limit: int | None = None) -> tuple[Ints, Ints]:
        """``(owner, position)`` of some rows' entries."""


@dataclass(frozen=True)
class _Heard:
    """Rows that are passed on, by how much each moved since it last was, and which came or went."""

    rows: Ints
    moved: Array
    flipped: Ints


class Push:
    """The layers of one block, kept up to date.

    Args:
        h: ``(n, d)`` raw vectors.
        strength: ρ of each message type, as the refiner learned them.
        depth: K ≥ 1.
        ties: the edges, changed by the caller before :meth:`update`.
        modalities: names; ``modality`` ``(n,)`` are numbers into it. Both belong to the caller.
    """

    def __init__(
        self,
        h: Array,
        strength: Mapping[str, float],
        depth: int,
        ties: Ties,
        modalities: Sequence[str],
        modality: npt.NDArray[Any],
    ) -> None:
        self.strength, self.depth, self.ties = strength, depth, ties
        present = has_vector(h)
        length = float(np.linalg.norm(h[present], axis=1).mean()) if present.any() else 1.0
        self.epsilon = EPSILON * length
        self.layers = [Grown(np.ascontiguousarray(h, np.float32))]
        self._present = [Grown(present)]
        self._table = np.zeros((0, 0, 0), np.float32)
        self._norms: list[dict[int, npt.NDArray[np.float64]]] = [{} for _ in range(depth)]
        n = len(h)
        self._retable(modalities)
        for k in range(depth):
            z = np.empty_like(self.layers[0].x)
            for first in range(0, n, _ROWS):
                rows = np.arange(first, min(first + _ROWS, n))
                z[rows] = self._computed(k, rows, modality)
            self.layers.append(Grown(z))
            self._present.append(Grown(has_vector(z)))
        # where in the residuals a row is, −1 for rows that have none
        self._slot = [Grown(np.full(n, -1, np.int32)) for _ in range(depth)]
        empty = np.empty((0, h.shape[1]), np.float32)
        self._residual = [Grown(empty, slack=2.0) for _ in range(depth)]

    @property
    def refined(self) -> Array:
        """zᴷ ``(n, d)``."""
        return self.layers[-1].x

    def grow(self, more: int) -> None:
        """Add rows without vectors and edges."""
        for layer, present in zip(self.layers, self._present, strict=True):
            layer.append(np.zeros((more, layer.x.shape[1]), np.float32))
            present.append(np.zeros(more, np.bool_))
        for slot in self._slot:
            slot.append(np.full(more, -1, np.int32))

    def update(
        self,
        touched: Ints,
        rows: Ints,
        h: Array,
        modalities: Sequence[str],
        modality: npt.NDArray[Any],
    ) -> Ints:
        """Bring all layers up to date.

        Args:
            touched: rows whose edges changed.
            rows: rows whose raw vector changed.
            h: ``(len(rows), d)`` their new ones.
            modalities: as at first, perhaps longer.
            modality: of all nodes.

        Returns:
            Rows whose refined vector moved.
        """
        self._retable(modalities)
        always = np.union1d(touched, rows)
        for norms in self._norms:
            for row in always.tolist():
                norms.pop(row, None)
        heard = self._write(0, rows, h)
        moved = rows
        for k in range(self.depth):
            again, hubs, pushed = self._listeners(k, heard, always, modality)
            again = np.union1d(always, again)
            moved = np.concatenate([again, hubs])
            new = np.concatenate([self._computed(k, again, modality), pushed])
            heard = self._write(k + 1, moved, new)
        return moved

    def _write(self, k: int, rows: Ints, new: Array) -> _Heard:
        """Put new rows into a layer; which of them are passed on."""
        z, present = self.layers[k].x, self._present[k].x
        moved = new - z[rows]
        z[rows] = new
        there = has_vector(new)
        flipped = present[rows] != there
        present[rows] = there
        if k == self.depth:
            return _Heard(rows[:0], new[:0], rows[:0])
        slot, residual = self._slot[k].x, self._residual[k]
        known = slot[rows] >= 0
        moved[known] += residual.x[slot[rows[known]]]
        loud = flipped | (np.abs(moved).max(axis=1, initial=0) > self.epsilon)
        told = moved[loud].copy()
        moved[loud] = 0
        wanting = rows[~known & ~loud]
        wanting = wanting[np.any(moved[~known & ~loud], axis=1)]
        slot[wanting] = len(residual.x) + np.arange(len(wanting))
        residual.append(np.zeros((len(wanting), moved.shape[1]), np.float32))
        kept = slot[rows] >= 0
        residual.x[slot[rows[kept]]] = moved[kept]
        return _Heard(rows[loud], told, rows[flipped])

    def _listeners(
        self, k: int, heard: _Heard, always: Ints, modality: npt.NDArray[Any]
    ) -> tuple[Ints, Ints, Array]:
        """Who hears of rows that moved: those to be computed, and hubs with their new rows.

        A hub of thousands is not computed again because a few of them moved: their moves are added
        by their shares. Where some came or went, all shares are others.
        """
        owner, at = self.ties.entries(heard.rows)
        other, kind = self.ties.other[at].astype(np.int64), self.ties.kind[at] ^ 1
        speaker = modality[heard.rows[owner]]
        rho = self._table[kind, speaker, modality[other]]
        keep = rho > 0
        owner, at, other, kind, speaker, rho = (
            x[keep] for x in (owner, at, other, kind, speaker, rho)
        )
        anew = np.unique(other[np.isin(heard.rows[owner], heard.flipped)])
        for row in anew.tolist():
            self._norms[k].pop(row, None)
        hub = (self.ties.count[other] > HUB) & ~np.isin(other, anew) & ~np.isin(other, always)
        again = np.unique(other[~hub])
        owner, at, other, kind, speaker, rho = (
            x[hub] for x in (owner, at, other, kind, speaker, rho)
        )
        hubs, place = np.unique(other, return_inverse=True)
        if not len(hubs):
            return again, hubs, heard.moved[:0]
        norms = np.stack([self._norm(k, int(row), modality) for row in hubs])  # (hubs, types + 1)
        m = self._table.shape[1]
        total = norms[place, kind.astype(np.int64) * m + speaker] * norms[place, -1]
        share = (rho * self.ties.weight[at] / np.maximum(total, 1e-30)).astype(np.float32)
        order = np.argsort(place, kind="stable")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(hubs)))])
        more = hop(indptr, owner[order], share[order], heard.moved)
        return again, hubs, self.layers[k + 1].x[hubs] + more

    def _norm(self, k: int, row: int, modality: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Total weight that a hub hears of each type, and last what its row is divided by."""
        found = self._norms[k].get(row)
        if found is None:
            kinds, m, _ = self._table.shape
            _, at = self.ties.entries(np.array([row]))
            speaker, kind = self.ties.other[at], self.ties.kind[at].astype(np.int64)
            slot = kind * m + modality[speaker]
            weight = self.ties.weight[at] * self._present[k].x[speaker]
            total = np.bincount(slot, weight, minlength=kinds * m)
            mine = self._table[:, :, modality[row]].ravel()
            whole = float(self._present[0].x[row]) + float(mine[total > 0].sum())
            found = self._norms[k][row] = np.append(total, max(whole, 1e-12))
        return found

    def _computed(self, k: int, rows: Ints, modality: npt.NDArray[Any]) -> Array:
        """Rows of zᵏ⁺¹ from zᵏ, as :func:`~graphretrieval.gnn.messages.propagate` has them."""
        h, x = self.layers[0].x, self.layers[k].x
        kinds, m, _ = self._table.shape
        owner, at = self.ties.entries(rows)
        speaker, kind = self.ties.other[at], self.ties.kind[at].astype(np.int64)
        rho = self._table[kind, modality[speaker], modality[rows[owner]]]
        heard = (rho > 0) & self._present[k].x[speaker]
        owner, speaker, kind, rho = owner[heard], speaker[heard], kind[heard], rho[heard]
        weight = self.ties.weight[at[heard]]
        slot = (owner * kinds + kind) * m + modality[speaker]
        total = np.bincount(slot, weight, minlength=len(rows) * kinds * m)
        share = rho * (weight / np.maximum(total[slot], 1e-30)).astype(np.float32)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(rows)))])
        types = (total > 0).reshape(len(rows), kinds, m)
        mine = np.moveaxis(self._table, 2, 0)[modality[rows]]  # (rows, kinds, m)
        own = self._present[0].x[rows].astype(np.float32)
        whole = own + np.einsum("rkm,rkm->r", types, mine, dtype=np.float32)
        y = hop(indptr, speaker, share, x) + h[rows]
        return np.asarray(y / np.maximum(whole, 1e-12)[:, None], np.float32)

    def _retable(self, modalities: Sequence[str]) -> None:
        """ρ by kind of entry, speaker's modality and listener's: (2R, M, M)."""
        relations = self.ties.relations
        shape = (2 * len(relations), len(modalities), len(modalities))
        if self._table.shape == shape:
            return
        self._table = np.zeros(shape, np.float32)
        for norms in self._norms:
            norms.clear()
        for name, rho in self.strength.items():
            relation, way, ends = name.split(":")
            speaker, listener = ends.split(">")
            if relation in relations and {speaker, listener} <= set(modalities):
                kind = 2 * relations.index(relation) + (way == "out")
                at = modalities.index(speaker), modalities.index(listener)
                self._table[kind, at[0], at[1]] = rho
