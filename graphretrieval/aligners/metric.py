"""What descriptions of one thing have in common, learned by contrast: a linear metric for texts.

A sentence model says what a sentence means to most people. What of it tells one thing of this
collection from another, the collection's own descriptions show: features are turned so that a
description is nearest to another one of the same thing, among those of a batch of things. InfoNCE
(van den Oord et al. 2018) over pairs of sentences (Gao et al. 2021, "SimCSE"), with a matrix in
place of the network, which costs seconds and forgets nothing of a language that it does not see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from graphretrieval.aligners.pairs import QUESTIONS, Material
from graphretrieval.arrays import normalise, spans
from graphretrieval.protocols import Progress
from graphretrieval.types import Array, Bools, Ints

TEXT = "text"
# fewer things with two descriptions say little about all others
FEWEST = 40
# things of which two descriptions each are told apart at a step
BATCH = 256
# each thing is drawn at most so many times, in at most so many steps: more fit the descriptions
# seen, and find new ones of 3,500 pictures less well, or take a word that 48 never had for another
EPOCHS, STEPS = 80, 500
RATE = 3e-4
# inverse temperature that training starts at: 20 to 30 were as good, 10 was not
SHARPNESS = 25.0


@dataclass(frozen=True)
class Metric:
    """``x → x @ turn + shift``, as long as x: an unsure text stays short, and nothing nothing."""

    turn: Array = field(repr=False)  # (d, d)
    shift: Array = field(repr=False)  # (d,)

    def __call__(self, x: Array) -> Array:
        """``(n, d)`` → ``(n, d)``."""
        length = np.linalg.norm(x, axis=1, keepdims=True)
        return np.asarray(normalise(x @ self.turn + self.shift) * length, np.float32)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """For a state."""
        return {"metric.turn": self.turn, "metric.shift": self.shift}

    @classmethod
    def restored(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self | None:
        """From a state that may have none."""
        if "metric.turn" not in arrays:
            return None
        return cls(arrays["metric.turn"], arrays["metric.shift"])


def learned(
    texts: Array, material: Material, unseen: Bools | None, seed: int, progress: Progress
) -> Metric | None:
    """A metric of texts, or ``None`` where these descriptions teach none.

    Held things must be found by a description of each, among others of these things, better with it
    than without.

    Args:
        texts: ``(n, d)``, their features.
        material: says what they describe, and what is held.
        unseen: ``(n,)`` texts that ask for held things. What others say of these is there when they
            are asked for, and is learned from; without ``unseen`` held texts are not.
        seed: of batches.
        progress: of training.
    """
    rows = material.fitted(everything=True)
    unseen = unseen if unseen is not None and unseen.any() else None
    if unseen is not None:
        rows = {m: np.ones(len(x), np.bool_) for m, x in material.features.items()}
        rows[TEXT] = ~unseen
    alike = _Alike.of(material, rows)
    if alike.things < FEWEST:
        return None
    metric = _trained(texts, alike, seed, progress)
    if material.given:
        asked, wanted = _Alike.of(material, material.held).questions(unseen, seed)
        if len(asked) and _found(metric(texts), asked, wanted) <= _found(texts, asked, wanted):
            return None
    return metric


def _trained(x: Array, alike: _Alike, seed: int, progress: Progress) -> Metric:
    # here, so that a model in service is read without torch
    import torch

    from graphretrieval.aligners.objectives import symmetric
    from graphretrieval.aligners.training import Heads, Schedule, train

    heads = Heads({TEXT: x.shape[1]}, x.shape[1], 0, 0.0)
    head: Any = heads.of[TEXT]
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(x.shape[1]))
        head.linear.bias.copy_(torch.from_numpy(-x[alike.rows].mean(axis=0)))
        heads.log_sharpness.fill_(math.log(SHARPNESS))
    rows = torch.from_numpy(np.ascontiguousarray(x))

    def loss(rng: np.random.Generator) -> torch.Tensor:
        a, b = (torch.from_numpy(r) for r in alike.draw(rng, BATCH))
        same = torch.eye(len(a), dtype=torch.bool) | (a[:, None] == b[None, :])
        return symmetric(head(rows[a]), head(rows[b]), same, heads.sharpness)

    steps = min(STEPS, math.ceil(EPOCHS * alike.things / min(BATCH, alike.things)))
    schedule = Schedule(steps, every=max(1, steps // 20), rate=RATE)
    train(heads, loss, lambda: None, schedule, seed=seed, progress=progress)
    weight, bias = (p.detach().numpy() for p in (head.linear.weight, head.linear.bias))
    return Metric(np.ascontiguousarray(weight.T), bias)


@dataclass(frozen=True)
class _Alike:
    """Descriptions ``rows`` ``(n,)`` thing by thing, and where things with several have theirs."""

    rows: Ints = field(repr=False)
    first: Ints = field(repr=False)  # (things,)
    count: Ints = field(repr=False)  # (things,)

    @classmethod
    def of(cls, material: Material, among: Mapping[str, Bools]) -> Self:
        """What these rows of a material describe."""
        texts, things, ahead = [], [], 0
        for (a, b), p in material.pairs_within(among).items():
            if TEXT in (a, b):
                text = int(a != TEXT)
                texts.append(p[:, text])
                things.append(p[:, 1 - text] + ahead)
                ahead += int(p[:, 1 - text].max()) + 1
        thing = np.concatenate([np.empty(0, np.int64), *things])
        order = np.argsort(thing, kind="stable")
        _, first, count = np.unique(thing[order], return_index=True, return_counts=True)
        several = count > 1
        rows = np.concatenate([np.empty(0, np.int64), *texts])[order]
        return cls(rows, first[several], count[several])

    @property
    def things(self) -> int:
        """How many have several descriptions."""
        return len(self.first)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Ints, Ints]:
        """Two different descriptions of each of at most ``size`` things."""
        chosen = rng.permutation(self.things)[:size]
        first, count = self.first[chosen], self.count[chosen]
        one = (rng.random(len(chosen)) * count).astype(np.int64)
        other = (one + 1 + (rng.random(len(chosen)) * (count - 1)).astype(np.int64)) % count
        return self.rows[first + one], self.rows[first + other]

    def questions(self, asking: Bools | None, seed: int) -> tuple[Ints, Ints]:
        """For some of the things a text that asks, any where none is said to, and another one."""
        rng = np.random.default_rng(seed)
        if asking is None:
            return self.draw(rng, QUESTIONS)
        thing, at = spans(self.first, self.count)
        rows = self.rows[at]
        asks = asking[rows]
        one, asked = np.unique(thing[asks], return_index=True)
        other, wanted = np.unique(thing[~asks], return_index=True)
        _, i, j = np.intersect1d(one, other, assume_unique=True, return_indices=True)
        some = np.sort(rng.permutation(len(i))[:QUESTIONS])
        return rows[asks][asked[i[some]]], rows[~asks][wanted[j[some]]]


def _found(z: Array, asked: Ints, wanted: Ints) -> float:
    """Mean reciprocal rank of the text ``wanted`` by each that is asked, among all wanted."""
    scores = normalise(z[asked]) @ normalise(z[wanted]).T
    return float((1 / (1 + (scores > np.diag(scores)[:, None]).sum(axis=1))).mean())
