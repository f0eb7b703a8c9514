"""Predict first, propagate after: vectors absorb their neighbours' by learned relation weights.

Personalised propagation (APPNP, Gasteiger et al. 2019) with a weight for each type of message:
``z⁰ = h``, ``zᵏ⁺¹ = α h + (1 − α) Σᵣ wᵣ Âᵣ zᵏ``. Where a node lacks some neighbours, the weights
of what it has count alone, so that a lonely node keeps h and one without h takes its neighbours'.
Whether, how far and along which relations to propagate is decided on held-out links.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from graphretrieval.arrays import Csr
from graphretrieval.errors import NotFitted
from graphretrieval.gnn.kernel import hop
from graphretrieval.gnn.messages import Typed, has_vector, propagate, strengths
from graphretrieval.gnn.trial import (
    FEWEST_LINKS,
    Trial,
    learn_strengths,
    surely_better,
    trials,
)
from graphretrieval.protocols import Progress, silent
from graphretrieval.types import JSON, Array, Graph, Ints, State


class PropagateRefiner:
    """Learned propagation; depth 0, which changes nothing, unless held-out links are found better.

    Args:
        max_depth: most rounds considered.
        links: most supervision edges used.
        gallery: most nodes a held-out end is ranked among.
        steps: gradient steps for each depth.
        half: read vectors as bfloat16 (faster on large graphs).

    After fitting, ``depth_`` is K, ``alpha_`` the teleport α, ``weights_`` maps each message type
    to wᵣ (they add up to 1), and ``report_`` holds the held-out reciprocal rank at each depth.
    """

    def __init__(
        self,
        *,
        max_depth: int = 3,
        links: int = 600,
        gallery: int = 1000,
        steps: int = 60,
        half: bool = False,
    ) -> None:
        self.max_depth = max_depth
        self.links = links
        self.gallery = gallery
        self.steps = steps
        self.half = half
        self.depth_: int | None = None
        self.strength_: dict[str, float] = {}
        self.report_: dict[str, JSON] = {}

    @property
    def alpha_(self) -> float:
        """The teleport α: the share of a node's own vector where all types of message arrive."""
        return 1.0 / (1.0 + sum(self.strength_.values()))

    @property
    def weights_(self) -> dict[str, float]:
        """wᵣ of each message type; they add up to 1, or are none where depth is 0."""
        total = sum(self.strength_.values())
        return {t: s / total for t, s in self.strength_.items()} if total else {}

    def fit(
        self,
        graph: Graph,
        vectors: Array,
        supervision_edges: Ints,
        *,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn strengths on half of the links, choose the depth on the other half.

        For each link its one end is the query, by its raw vector, and the other is sought among
        nodes of its modality by their refined vectors. The links' edges carry no messages, nor do
        any other edges of the nodes that ask: a new query has none.
        """
        h = np.ascontiguousarray(vectors, np.float32)
        self.depth_, self.strength_, self.report_ = 0, {}, {}
        edges = np.asarray(supervision_edges, np.int64)
        if len(edges) < FEWEST_LINKS:
            return self
        found = trials(graph, h, edges, self.links, self.gallery, seed)
        ranks = [self._judge(found, h, {}, 0)]
        if len(ranks[0]) < FEWEST_LINKS:
            return self
        best, self.report_ = 0, {"links": len(edges)}
        self.report_["mrr@0"] = float(ranks[0].mean())
        strength: dict[str, float] = {}
        for depth in range(1, self.max_depth + 1):
            progress(depth - 1, self.max_depth, "weighing relations")
            strength = learn_strengths(found, h, strength, depth, self.steps)
            ranks.append(self._judge(found, h, strength, depth))
            self.report_[f"mrr@{depth}"] = float(ranks[depth].mean())
            if surely_better(ranks[depth], ranks[best]):
                best, self.strength_ = depth, dict(strength)
        progress(self.max_depth, self.max_depth, "weighing relations")
        self.depth_ = best
        return self

    def refine(self, graph: Graph, vectors: Array) -> Array:
        """Refined vectors ``(n, dim)`` of all nodes.

        Raises:
            NotFitted: before ``fit``.
        """
        h = np.ascontiguousarray(vectors, np.float32)
        if not self._depth():
            return h
        return self._rounds(Typed.of(graph), h, self.strength_, self._depth())

    def absorb(self, vectors: Array, neighbours: Csr, refined: Array) -> Array:
        """Queries that are no nodes, joined to items: ``α h + (1 − α) Â z``.

        Args:
            vectors: ``(q, dim)`` raw.
            neighbours: q rows of weighted links to items.
            refined: ``(n, dim)`` the items' refined vectors.

        Returns:
            ``(q, dim)``; a query without links keeps its vector, one without a vector takes its
            neighbours'.
        """
        h = np.ascontiguousarray(vectors, np.float32)
        if not self._depth():
            return h
        owner = np.repeat(np.arange(len(h)), np.diff(neighbours.indptr))
        present = has_vector(refined)[neighbours.indices]
        weight = neighbours.weights * present
        total = np.bincount(owner, weight, minlength=len(h))
        share = (weight / np.maximum(total[owner], 1e-30)).astype(np.float32)
        heard = hop(neighbours.indptr, neighbours.indices, share, refined)
        alpha = np.where(total > 0, self.alpha_ * has_vector(h), 1.0).astype(np.float32)[:, None]
        rest = np.where(total > 0, 1 - self.alpha_, 0.0).astype(np.float32)[:, None]
        return np.asarray((alpha * h + rest * heard) / (alpha + rest), np.float32)

    def state(self) -> State:
        """Depth and strengths, and how they were chosen."""
        settings = {
            "depth": self._depth(),
            "strength": dict(self.strength_),
            "report": dict(self.report_),
            "options": {
                "max_depth": self.max_depth,
                "links": self.links,
                "gallery": self.gallery,
                "steps": self.steps,
                "half": self.half,
            },
        }
        return State({}, settings)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted refiner back from its state."""
        out = cls(**state.settings["options"])
        out.depth_ = int(state.settings["depth"])
        out.strength_ = dict(state.settings["strength"])
        out.report_ = dict(state.settings["report"])
        return out

    def _depth(self) -> int:
        if self.depth_ is None:
            raise NotFitted("the refiner has learned nothing yet", remedy="call fit first")
        return self.depth_

    def _rounds(self, typed: Typed, h: Array, strength: dict[str, float], depth: int) -> Array:
        return propagate(typed, h, strengths(typed.types, strength), depth, half=self.half)

    def _judge(self, found: list[Trial], h: Array, strength: dict[str, float], depth: int) -> Array:
        """Reciprocal ranks of the links kept for choosing, all trials after another."""
        parts = []
        for trial in found:
            z = self._rounds(trial.typed, h, strength, depth) if depth else h
            parts.append(trial.reciprocal_ranks(h, z, held_out=True))
        return np.concatenate(parts)
