"""A refiner around any convolution: vectors absorb what a network makes of their neighbours.

Trained on hidden links (``training.py``) and used only where it finds links kept for choosing
surely better than raw vectors do; otherwise it changes nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from graphretrieval.errors import BundleError, NotFitted
from graphretrieval.gnn.checkpoint import Checkpoint, fingerprint
from graphretrieval.gnn.messages import Typed
from graphretrieval.gnn.network import Network, parameters, restore
from graphretrieval.gnn.sampling import Block, Sample, blocks, presence, sample, whole
from graphretrieval.gnn.training import Progressed, Schedule, train
from graphretrieval.gnn.trial import FEWEST_LINKS, surely_better, trials
from graphretrieval.protocols import Progress, silent
from graphretrieval.types import JSON, Array, Graph, Ints, State

# nodes refined at once: bounds what a layer holds in memory
CHUNK = 20_000


class LearnedRefiner:
    """What all refiners with a network share; each says what its convolution is.

    Args:
        layers: rounds of message passing.
        fanout: neighbours drawn for each node and layer while learning; 0 takes the whole graph
            at each step (full batch). Refining always hears all neighbours.
        hidden: width of the small network in each layer.
        links: most supervision edges used, half to learn from and half to choose by.
        gallery: most nodes a held-out end is ranked among.
        steps: most training steps (``Schedule`` has the rest).
        schedule: other values of the schedule by name.
        checkpoint: file to go on from after a kill; none is kept by default.

    After fitting, ``active_`` says whether vectors are changed at all and ``report_`` holds links,
    the held-out reciprocal rank before and after, and the step whose weights were kept.
    """

    #: Takes a ``checkpoint`` file.
    resumes: ClassVar[bool] = True

    def __init__(
        self,
        *,
        layers: int = 2,
        fanout: int = 10,
        hidden: int = 64,
        links: int = 4000,
        gallery: int = 1000,
        steps: int = 300,
        schedule: dict[str, Any] | None = None,
        checkpoint: str | Path | None = None,
    ) -> None:
        self.layers = layers
        self.fanout = fanout
        self.hidden = hidden
        self.links = links
        self.gallery = gallery
        self.steps = steps
        self.schedule = dict(schedule or {})
        self.checkpoint = checkpoint
        self.active_: bool | None = None
        self.types_: tuple[str, ...] = ()
        self.modalities_: tuple[str, ...] = ()
        self.dim_ = 0
        self.scale_ = 1.0
        self.report_: dict[str, JSON] = {}
        self.network_: nn.Module | None = None

    @abstractmethod
    def convolution(self, dim: int) -> nn.Module:
        """Maps ``(nodes, d)`` and a block to ``(listeners, d)``; may read what was learned on."""

    def build(self) -> nn.Module:
        """A network for ``dim_`` columns and the message types and modalities learned on."""
        return Network(self.convolution, self.dim_, self.layers, self.hidden, len(self.modalities_))

    def fit(
        self,
        graph: Graph,
        vectors: Array,
        supervision_edges: Ints,
        *,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn to find hidden links' other ends; the links' edges carry no messages.

        Nodes that ask have no edges at all meanwhile: a new query has none.
        """
        h = np.ascontiguousarray(vectors, np.float32)
        edges = np.asarray(supervision_edges, np.int64)
        self.active_, self.network_, self.report_ = False, None, {}
        if len(edges) < FEWEST_LINKS:
            return self
        found = trials(graph, h, edges, self.links, self.gallery, seed)
        fitting = sum(int((~g.held_out).sum()) for t in found for g in t.groups)
        choosing = sum(int(g.held_out.sum()) for t in found for g in t.groups)
        self.types_ = tuple(sorted({t for trial in found for t in trial.typed.types}))
        if min(fitting, choosing) < FEWEST_LINKS or not self.types_:
            return self
        self.modalities_ = graph.modalities
        self.dim_ = h.shape[1]
        lengths = np.linalg.norm(h, axis=1)
        # entries of about 1, whatever lengths vectors have; by a power of two, so that vectors
        # that hear nobody come back to the bit
        usual = np.sqrt(self.dim_) / lengths[lengths > 0].mean()
        self.scale_ = float(2.0 ** np.round(np.log2(usual)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.build()
        messages = [trial.typed.among(self.types_) for trial in found]
        checkpoint = self._checkpoint(graph, h, edges, seed)
        done = train(
            network,
            self.embedder(network, graph, messages, h),
            found,
            h,
            Schedule(steps=self.steps, **({"batch": 0} if not self.fanout else {}) | self.schedule),
            seed=seed,
            progress=progress,
            checkpoint=checkpoint,
        )
        if checkpoint:
            checkpoint.discard()
        self.network_ = network
        self.active_ = done.step > 0 and surely_better(done.ranks, done.raw)
        self._report(len(edges), done)
        return self

    def embedder(
        self, network: nn.Module, graph: Graph, messages: Sequence[Typed], h: Array
    ) -> Any:
        """How :func:`train` gets refined vectors of some nodes."""
        return _Sampled(self, network, graph, messages, h)

    def refine(self, graph: Graph, vectors: Array) -> Array:
        """Refined vectors ``(n, dim)`` of all nodes.

        Relations and modalities that were not learned on count nothing.

        Raises:
            NotFitted: before ``fit``.
            BundleError: the vectors are of another space than those learned on.
        """
        h = np.ascontiguousarray(vectors, np.float32)
        if self.active_ is None:
            raise NotFitted("the refiner has learned nothing yet", remedy="call fit first")
        if not self.active_ or self.network_ is None or not len(h):
            return h
        if h.shape[1] != self.dim_:
            raise BundleError(
                f"the refiner learned on vectors of {self.dim_} columns, these have {h.shape[1]}",
                remedy="fit again, so that refiner and vectors are of one space",
            )
        typed = Typed.of(graph).among(self.types_)
        with torch.no_grad():
            return self.infer(self.network_, typed, self.codes(graph), h)

    def infer(self, network: nn.Module, typed: Typed, modality: Ints, h: Array) -> Array:
        """Layer by layer, some nodes at a time, each hearing all its neighbours."""
        present = presence(typed, h, self.layers)
        rng = np.random.default_rng(0)  # draws nothing: all neighbours are heard
        x = torch.from_numpy(h * np.float32(self.scale_))
        for i, layer in enumerate(network.layers):  # type: ignore[arg-type]
            out = torch.empty_like(x)
            for begin in range(0, typed.n, CHUNK):
                rows = np.arange(begin, min(begin + CHUNK, typed.n))
                near = sample(typed, rows, [None], rng)
                block = blocks(typed, near, modality, [present[i]])[0]
                out[begin : begin + len(rows)] = layer(x[torch.from_numpy(near.nodes)], block)
            x = out
        return np.asarray(x.numpy() / np.float32(self.scale_), np.float32)

    def codes(self, graph: Graph) -> Ints:
        """Each node's modality as learned, −1 where it is none of those."""
        number = {m: i for i, m in enumerate(self.modalities_)}
        code = np.array([number.get(m, -1) for m in graph.modalities], np.int64)
        return code[graph.modality] if len(code) else np.empty(0, np.int64)

    def state(self) -> State:
        """The network's weights, what it was learned on, and how it was judged."""
        if self.active_ is None:
            raise NotFitted("the refiner has learned nothing yet", remedy="call fit first")
        settings = {
            "active": self.active_,
            "types": list(self.types_),
            "modalities": list(self.modalities_),
            "dim": self.dim_,
            "scale": self.scale_,
            "report": dict(self.report_),
            "options": self.options(),
        }
        used = self.active_ and self.network_ is not None
        return State(parameters(self.network_) if used else {}, settings)  # type: ignore[arg-type]

    def options(self) -> dict[str, Any]:
        """What the refiner was made with, apart from where its checkpoint lies."""
        names = ("layers", "fanout", "hidden", "links", "gallery", "steps", "schedule")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted refiner back from its state."""
        about = state.settings
        out = cls(**about["options"])
        out.active_ = bool(about["active"])
        out.types_, out.modalities_ = tuple(about["types"]), tuple(about["modalities"])
        out.dim_, out.scale_ = int(about["dim"]), float(about["scale"])
        out.report_ = dict(about["report"])
        if out.active_:
            out.network_ = out.build()
            restore(out.network_, state.arrays)
        return out

    def _checkpoint(self, graph: Graph, h: Array, edges: Ints, seed: int) -> Checkpoint | None:
        if self.checkpoint is None:
            return None
        task = {"refiner": type(self).__qualname__, "seed": seed, **self.options()}
        return Checkpoint(Path(self.checkpoint), fingerprint(task, graph, h, edges))

    def _report(self, links: int, done: Progressed) -> None:
        self.report_ = {
            "links": links,
            "mrr@0": float(done.raw.mean()),
            "mrr": float(done.ranks.mean()),
            "step": done.step,
            "steps": done.steps,
        }


class _Sampled:
    """Refined vectors of some nodes through the blocks around them."""

    def __init__(
        self,
        refiner: LearnedRefiner,
        network: nn.Module,
        graph: Graph,
        messages: Sequence[Typed],
        h: Array,
    ) -> None:
        self.network = network
        self.layers = refiner.layers
        self.fanout = refiner.fanout
        self.modality = refiner.codes(graph)
        self.messages = messages
        self.x = torch.from_numpy(h * np.float32(refiner.scale_))
        self.present = [presence(typed, h, refiner.layers) for typed in messages]
        self.exact: dict[int, tuple[Sample, list[Block]]] = {}  # judged again and again

    def __call__(self, trial: int, nodes: Ints, rng: np.random.Generator | None) -> torch.Tensor:
        if not self.fanout:
            if trial not in self.exact:
                self.exact[trial] = self._blocks(trial, whole(self.messages[trial], self.layers))
            return self._through(*self.exact[trial])[torch.from_numpy(nodes)]
        if rng is not None:
            fanouts = [self.fanout] * self.layers
            drawn = sample(self.messages[trial], nodes, fanouts, rng)
            return self._through(*self._blocks(trial, drawn))
        if trial not in self.exact or not np.array_equal(
            self.exact[trial][0].nodes[: len(nodes)], nodes
        ):
            everything = [None] * self.layers
            near = sample(self.messages[trial], nodes, everything, np.random.default_rng(0))
            self.exact[trial] = self._blocks(trial, near)
        return self._through(*self.exact[trial])

    def _blocks(self, trial: int, drawn: Sample) -> tuple[Sample, list[Block]]:
        typed, present = self.messages[trial], self.present[trial]
        return drawn, blocks(typed, drawn, self.modality, present)

    def _through(self, drawn: Sample, made: list[Block]) -> torch.Tensor:
        return torch.as_tensor(self.network(self.x[torch.from_numpy(drawn.nodes)], made))
