"""The refiner that held-out links vote for, the one that does nothing among the candidates.

Each candidate learns from two thirds of the links; the rest are asked for in the trial that
``propagate`` judges its depths by (``trial.py``), on a graph without them. A candidate takes the
lead from a simpler one only where its reciprocal ranks are surely better. The winner then learns
from all links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from graphretrieval import registry
from graphretrieval.errors import NotFitted
from graphretrieval.gnn.trial import (
    FEWEST_LINKS,
    Trial,
    between_same_ends,
    surely_better,
    trials,
)
from graphretrieval.protocols import Progress, Refiner, silent
from graphretrieval.types import JSON, Array, Bools, Graph, Ints, State

#: In the order of what they cost; HGT, the dearest by far, has to be named.
CANDIDATES = ("none", "propagate", "sign", "sage", "rgcn", "gat")
# of the links, what is kept to judge by
JUDGED = 1 / 3


class AutoRefiner:
    """One of several refiners, by validation.

    Args:
        candidates: names from the registry, the simplest first.
        links: most links judged by.
        gallery: most nodes a held-out end is ranked among.
        options: arguments for candidates by name.

    After fitting, ``chosen_`` is the winner's name and ``report_`` holds each candidate's mean
    reciprocal rank.
    """

    def __init__(
        self,
        *,
        candidates: Sequence[str] = CANDIDATES,
        links: int = 1000,
        gallery: int = 1000,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.candidates = tuple(candidates)
        self.links = links
        self.gallery = gallery
        self.options = {name: dict(given) for name, given in (options or {}).items()}
        self.chosen_: str | None = None
        self.refiner_: Refiner | None = None
        self.report_: dict[str, JSON] = {}

    @property
    def depth_(self) -> int:
        """How many rounds the winner makes, if it is one that propagates; else no attribute."""
        return int(self._refiner().depth_)  # type: ignore[attr-defined]

    @property
    def strength_(self) -> dict[str, float]:
        """The winner's strengths of message types, if it has any; else no attribute."""
        return dict(self._refiner().strength_)  # type: ignore[attr-defined]

    def fit(
        self,
        graph: Graph,
        vectors: Array,
        supervision_edges: Ints,
        *,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Let candidates learn from some links, judge them by others, keep the best."""
        h = np.ascontiguousarray(vectors, np.float32)
        edges = np.sort(np.asarray(supervision_edges, np.int64))
        self.report_, best = {"links": len(edges)}, self.candidates[0]
        judged = np.random.default_rng(seed).permutation(len(edges)) < round(len(edges) * JUDGED)
        if judged.sum() >= FEWEST_LINKS and len(self.candidates) > 1:
            best = self._best(graph, h, edges, judged, seed, progress)
        self.chosen_ = self.report_["chosen"] = best
        refiner: Refiner = self._make(best)
        self.refiner_ = refiner.fit(graph, h, edges, seed=seed, progress=progress)
        return self

    def refine(self, graph: Graph, vectors: Array) -> Array:
        """The winner's refined vectors ``(n, dim)``.

        Raises:
            NotFitted: before ``fit``.
        """
        return self._refiner().refine(graph, vectors)

    def state(self) -> State:
        """The winner's state, its name, and how all were judged."""
        inner = self._refiner().state()
        about = {
            "chosen": self.chosen_,
            "report": dict(self.report_),
            "inner": dict(inner.settings),
            "options": {
                "candidates": list(self.candidates),
                "links": self.links,
                "gallery": self.gallery,
                "options": self.options,
            },
        }
        return State(inner.arrays, about)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted refiner back from its state."""
        out = cls(**state.settings["options"])
        out.chosen_ = str(state.settings["chosen"])
        out.report_ = dict(state.settings["report"])
        inner = State(state.arrays, state.settings["inner"])
        out.refiner_ = registry.resolve("refiner", out.chosen_).from_state(inner)
        return out

    def _best(
        self,
        graph: Graph,
        h: Array,
        edges: Ints,
        judged: Bools,
        seed: int,
        progress: Progress,
    ) -> str:
        asked = trials(graph, h, edges[judged], self.links, self.gallery, seed)
        rest, learned = without(graph, edges[judged], edges[~judged])
        best, lead = self.candidates[0], np.empty(0, np.float32)
        for i, name in enumerate(self.candidates):
            progress(i, len(self.candidates), f"trying {name}")
            refiner: Refiner = self._make(name).fit(rest, h, learned, seed=seed, progress=progress)
            ranks = ranked(refiner, asked, h)
            if len(ranks) < FEWEST_LINKS:
                return best
            self.report_[f"mrr:{name}"] = float(ranks.mean())
            if i == 0 or surely_better(ranks, lead):
                best, lead = name, ranks
        return best

    def _make(self, name: str) -> Any:
        return registry.resolve("refiner", name)(**self.options.get(name, {}))

    def _refiner(self) -> Refiner:
        if self.refiner_ is None:
            raise NotFitted("the refiner has learned nothing yet", remedy="call fit first")
        return self.refiner_


def ranked(refiner: Refiner, asked: Sequence[Trial], h: Array) -> Array:
    """Reciprocal ranks of all links asked for, of which the refiner was fitted on none."""
    out = [np.empty(0, np.float32)]
    for trial in asked:
        z = refiner.refine(trial.graph, h)
        out += [trial.reciprocal_ranks(h, z, held_out=half) for half in (True, False)]
    return np.concatenate(out)


def without(graph: Graph, hidden: Ints, kept: Ints) -> tuple[Graph, Ints]:
    """The graph without some edges and any others between their ends; where ``kept`` are in it."""
    stays = ~between_same_ends(graph, hidden)
    position = np.cumsum(stays) - 1
    return graph.with_edges(stays), position[kept[stays[kept]]]
