"""Neighbourhoods computed once, learned from as plain rows: metapath features with fused weights.

SIGN (Frasca et al. 2020) with SeHGNN's metapaths (Yang et al. 2023): for a path p of message types
``F_p = Â_{t₁} Â_{t₂} h`` is computed before learning, which then never touches the graph:
``gᵢ = Σ_p ρ_p F_{p,i} / Σ_p ρ_p`` over the paths that i has, ρ = softplus(θ), the same at first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from graphretrieval.gnn.kernel import hop
from graphretrieval.gnn.learned import LearnedRefiner
from graphretrieval.gnn.messages import Typed, has_vector
from graphretrieval.gnn.network import SHARPNESS, absorb, bend
from graphretrieval.types import Array, Bools, Graph, Ints, State

#: A metapath: the types of the messages, the one that arrives first.
Way = tuple[int, ...]


class Fusion(nn.Module):
    """Weights of the paths, a small network on their mean, and the gates."""

    def __init__(self, dim: int, ways: int, hidden: int, modalities: int) -> None:
        super().__init__()
        self.path_gate = nn.Parameter(torch.zeros(ways))
        self.bend = bend(dim, hidden)
        self.gate = nn.Parameter(torch.zeros(max(modalities, 1)))
        self.log_sharpness = nn.Parameter(torch.tensor(float(np.log(SHARPNESS))))

    @property
    def strength(self) -> torch.Tensor:
        """ρ of each path ``(p,)``."""
        return nn.functional.softplus(self.path_gate)

    def forward(
        self, x: torch.Tensor, said: torch.Tensor, has: torch.Tensor, modality: torch.Tensor
    ) -> torch.Tensor:
        """Vectors ``(n, d)``, path features ``(n, p, d)``, who has which ``(n, p)``: ``(n, d)``."""
        weight = self.strength * has
        total = torch.einsum("np,npd->nd", weight, said)
        return self.mix(x, total, weight.sum(1), modality)

    def mix(
        self, x: torch.Tensor, total: torch.Tensor, weight: torch.Tensor, modality: torch.Tensor
    ) -> torch.Tensor:
        """From the weighted sum of features ``(n, d)`` and the sum of weights ``(n,)``."""
        g = total / weight.clamp_min(1e-12)[:, None]
        g = g + self.bend(g)
        return absorb(x, g, self.gate[modality.clamp_min(0)], x.any(1), weight > 0)


class SignRefiner(LearnedRefiner):
    """Metapath features of up to two hops.

    Args:
        ways: most metapaths used: single messages first, then pairs, those that most nodes have.
        options: of every learned refiner; ``layers`` is the longest path and ``fanout`` is unused.
    """

    def __init__(self, *, ways: int = 24, **options: Any) -> None:
        super().__init__(**options)
        self.ways = ways
        self.ways_: tuple[Way, ...] = ()

    def options(self) -> dict[str, Any]:
        """What the refiner was made with."""
        return {"ways": self.ways, **super().options()}

    def build(self) -> nn.Module:
        """The fusion of as many paths as there are at most."""
        return Fusion(self.dim_, self.ways, self.hidden, len(self.modalities_))

    def embedder(
        self, network: nn.Module, graph: Graph, messages: Sequence[Typed], h: Array
    ) -> Any:
        """Choose the paths, then look their features up."""
        self.ways_ = tuple(_most_walked(messages, self.layers, self.ways))
        return _Precomputed(self, network, graph, messages, h)

    def infer(self, network: nn.Module, typed: Typed, modality: Ints, h: Array) -> Array:
        """Path after path, so that one feature matrix is held at a time."""
        assert isinstance(network, Fusion)
        x = h * np.float32(self.scale_)
        strength = network.strength.numpy()
        total, weight = np.zeros_like(x), np.zeros(len(x), np.float32)
        for i, said in features(typed, x, self.ways_):
            total += strength[i] * said
            weight += strength[i] * has_vector(said)
        z = network.mix(*map(torch.from_numpy, (x, total, weight, modality)))
        return np.asarray(z.numpy() / np.float32(self.scale_), np.float32)

    def state(self) -> State:
        """What every learned refiner remembers, and the paths."""
        about = super().state()
        return State(about.arrays, {**about.settings, "ways": [list(way) for way in self.ways_]})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted refiner back from its state."""
        out = super().from_state(state)
        out.ways_ = tuple(tuple(way) for way in state.settings["ways"])
        return out


def features(typed: Typed, h: Array, ways: Sequence[Way]) -> Iterator[tuple[int, Array]]:
    """``F_p`` of each path ``(n, d)`` with its position; paths of one ending after another."""
    ending: Way | None = None
    base = h
    for i in sorted(range(len(ways)), key=lambda i: (ways[i][1:], i)):
        if ways[i][1:] != ending:
            ending = ways[i][1:]
            base = h
            for kind in reversed(ending):
                base = _mean(typed, kind, base)
        yield i, _mean(typed, ways[i][0], base)


def _mean(typed: Typed, kind: int, x: Array) -> Array:
    """``Â_t x``: the weighted mean over the neighbours of one type that have a vector."""
    only = typed.among(typed.types[kind : kind + 1])
    share, _ = only.shares(has_vector(x))
    return hop(only.indptr, only.speaker, share, x)


def _most_walked(messages: Sequence[Typed], longest: int, most: int) -> list[Way]:
    """Paths by length, then by how many nodes hear something along them."""
    kinds = range(len(messages[0].types))
    out: list[Way] = []
    heard: dict[Way, list[Bools]] = {(): [np.ones(typed.n, np.bool_) for typed in messages]}
    for _ in range(longest):
        longer: dict[Way, list[Bools]] = {}
        for way, reached in heard.items():
            for kind in kinds:
                now = []
                for typed, there in zip(messages, reached, strict=True):
                    mine = (typed.type == kind) & there[typed.speaker]
                    marks = np.zeros(typed.n, np.bool_)
                    marks[typed.listener[mine]] = True
                    now.append(marks)
                if any(marks.any() for marks in now):
                    longer[(kind, *way)] = now
        count = {way: sum(int(marks.sum()) for marks in now) for way, now in longer.items()}
        out += sorted(count, key=lambda way: (-count[way], way))
        if len(out) >= most:
            break
        heard = longer
    return out[:most]


class _Precomputed:
    """Path features of the nodes that trials ask about; others are never needed."""

    def __init__(
        self,
        refiner: SignRefiner,
        network: nn.Module,
        graph: Graph,
        messages: Sequence[Typed],
        h: Array,
    ) -> None:
        self.refiner = refiner
        self.network = network
        self.messages = messages
        self.modality = torch.from_numpy(refiner.codes(graph))
        self.x = h * np.float32(refiner.scale_)
        self.known: dict[int, tuple[Ints, torch.Tensor, torch.Tensor]] = {}

    def __call__(self, trial: int, nodes: Ints, rng: np.random.Generator | None) -> torch.Tensor:
        if trial not in self.known:  # judging, which comes first, asks about all of them
            self.known[trial] = (nodes, *self._features(trial, nodes))
        rows, said, has = self.known[trial]
        at = torch.from_numpy(np.searchsorted(rows, nodes))
        mine = torch.from_numpy(nodes)
        x = torch.from_numpy(self.x[nodes])
        return torch.as_tensor(self.network(x, said[at], has[at], self.modality[mine]))

    def _features(self, trial: int, rows: Ints) -> tuple[torch.Tensor, torch.Tensor]:
        ways = self.refiner.ways_
        said = np.zeros((len(rows), self.refiner.ways, self.x.shape[1]), np.float32)
        for i, one in features(self.messages[trial], self.x, ways):
            said[:, i] = one[rows]
        return torch.from_numpy(said), torch.from_numpy(np.any(said, axis=2))
