"""The training that all learned refiners share: the right end of a hidden link among others.

InfoNCE (van den Oord et al. 2018): a link's one end asks by its raw vector, the refined other end
is to come before other nodes of its modality. The questions are a trial's (``trial.py``), so that
no link that is asked for carries a message. The half of the links kept for choosing decides when
to stop and which weights to keep.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from graphretrieval.arrays import normalise
from graphretrieval.gnn.checkpoint import Checkpoint
from graphretrieval.gnn.network import parameters, restore, sharpness
from graphretrieval.gnn.trial import Trial
from graphretrieval.protocols import Progress
from graphretrieval.types import Array, Ints, State


class Embedder(Protocol):
    """Refined vectors of some nodes of a trial's graph, with their gradient."""

    def __call__(self, trial: int, nodes: Ints, rng: np.random.Generator | None) -> torch.Tensor:
        """``(len(nodes), d)``; without a generator exactly, with one perhaps by samples."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    ``patience`` counts judgements, each ``every`` steps, without a better one. ``batch`` questions
    are asked at a step, each among the right answers of all and so many ``negatives``; a batch of
    0 asks all questions of all trials among all.
    """

    steps: int = field(default=300)
    every: int = field(default=20)
    patience: int = field(default=5)
    batch: int = field(default=256)
    negatives: int = field(default=256)
    rate: float = field(default=2e-3)
    gate_rate: float = field(default=5e-2)
    decay: float = field(default=1e-4)


@dataclass(frozen=True)
class Progressed:
    """Where training ended: the step its weights are from, and how it was judged on the way."""

    step: int
    ranks: Array = field(compare=False, repr=False)  # of the weights kept
    raw: Array = field(compare=False, repr=False)  # of vectors as they were
    steps: int  # that were made
    resumed: int  # the step that a checkpoint began from
    seconds: float


def train(
    network: nn.Module,
    embed: Embedder,
    found: Sequence[Trial],
    h: Array,
    schedule: Schedule,
    *,
    seed: int,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> Progressed:
    """Adam (Kingma & Ba 2015) on batches of questions; the weights judged best are kept.

    The weights at the start count among them: who learns nothing changes nothing.
    """
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    gates = [p for name, p in network.named_parameters() if name.endswith("gate")]
    rest = [p for name, p in network.named_parameters() if not name.endswith("gate")]
    adam = torch.optim.Adam(
        [
            {"params": gates, "lr": schedule.gate_rate},
            {"params": rest, "lr": schedule.rate, "weight_decay": schedule.decay},
        ]
    )
    raw = judge(network, embed, found, h)
    at, worse, first = 0, 0, 0
    best, kept = raw, parameters(network)
    saved = checkpoint.load() if checkpoint else None
    if saved is not None:
        first, at, worse = (int(saved.settings[k]) for k in ("step", "best", "worse"))
        rng.bit_generator.state = saved.settings["random"]
        best, kept = _unpack(saved, network, adam)
    step = first
    for step in range(first + 1, schedule.steps + 1):
        if worse >= schedule.patience:
            step -= 1
            break
        adam.zero_grad()
        for loss in losses(network, embed, found, h, schedule, rng):
            loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        if step % schedule.every and step < schedule.steps:
            continue
        ranks = judge(network, embed, found, h)
        if np.log(ranks).mean() > np.log(best).mean():
            best, kept, at, worse = ranks, parameters(network), step, 0
        else:
            worse += 1
        if checkpoint:
            about = {"step": step, "best": at, "worse": worse, "random": rng.bit_generator.state}
            checkpoint.save(State(_pack(network, adam, best, kept), about))
        progress(step, schedule.steps, "training the refiner")
    restore(network, kept)
    progress(schedule.steps, schedule.steps, "training the refiner")
    return Progressed(at, best, raw, step, first, time.perf_counter() - started)


def losses(
    network: nn.Module,
    embed: Embedder,
    found: Sequence[Trial],
    h: Array,
    schedule: Schedule,
    rng: np.random.Generator,
) -> Iterator[torch.Tensor]:
    """A step's losses one after another, so that each trial's graph is let go before the next."""
    if not schedule.batch:
        for i, trial in enumerate(found):
            asked = [(g, np.flatnonzero(~group.held_out)) for g, group in enumerate(trial.groups)]
            loss = contrast(network, embed, found, h, i, asked, None, rng)
            if loss is not None:
                yield loss / len(found)
        return
    sizes = np.array([_questions(trial) for trial in found], np.float64)
    if not sizes.sum():
        return
    i = int(rng.choice(len(found), p=sizes / sizes.sum()))
    owner = np.concatenate([np.full((~g.held_out).sum(), k) for k, g in enumerate(found[i].groups)])
    which = np.concatenate([np.flatnonzero(~g.held_out) for g in found[i].groups])
    drawn = rng.choice(len(owner), min(schedule.batch, len(owner)), replace=False)
    asked = [(int(k), which[drawn[owner[drawn] == k]]) for k in np.unique(owner[drawn])]
    loss = contrast(network, embed, found, h, i, asked, schedule.negatives, rng)
    if loss is not None:
        yield loss


def contrast(
    network: nn.Module,
    embed: Embedder,
    found: Sequence[Trial],
    h: Array,
    trial: int,
    asked: Sequence[tuple[int, Ints]],
    negatives: int | None,
    rng: np.random.Generator,
) -> torch.Tensor | None:
    """Cross-entropy of the right answers, each among its group's answers and some others.

    Args:
        network: has the sharpness.
        embed: refines.
        found: the trials.
        h: ``(n, d)`` raw.
        trial: which of them asks.
        asked: groups and questions of each.
        negatives: how many nodes of the gallery beside the answers; all where ``None``.
        rng: draws them.
    """
    asked = [(g, rows) for g, rows in asked if len(rows)]
    if not asked:
        return None
    columns = []  # positions in each group's gallery
    for g, rows in asked:
        group = found[trial].groups[g]
        size = len(group.gallery)
        if negatives is None or negatives >= size:
            columns.append(np.arange(size))
        else:
            others = rng.choice(size, negatives, replace=False)
            columns.append(np.unique(np.concatenate([group.answer[rows], others])))
    wanted = [found[trial].groups[g].gallery[c] for (g, _), c in zip(asked, columns, strict=True)]
    nodes = np.unique(np.concatenate(wanted))
    z = nn.functional.normalize(embed(trial, nodes, rng), dim=-1)  # (nodes, d)
    total, count = [], 0
    for (g, rows), column, mine in zip(asked, columns, wanted, strict=True):
        group = found[trial].groups[g]
        q = torch.from_numpy(normalise(h[group.asks[rows]]))
        logits = sharpness(network) * (q @ z[np.searchsorted(nodes, mine)].T)  # (q, c)
        also = torch.from_numpy(group.also[np.ix_(rows, column)])
        answer = torch.from_numpy(np.searchsorted(column, group.answer[rows]))
        logits = logits.masked_fill(also, -torch.inf)
        total.append(nn.functional.cross_entropy(logits, answer, reduction="sum"))
        count += len(rows)
    return torch.stack(total).sum() / count


def judge(network: nn.Module, embed: Embedder, found: Sequence[Trial], h: Array) -> Array:
    """Reciprocal ranks of the links kept for choosing, all trials after another."""
    out = [np.empty(0, np.float32)]
    with torch.no_grad():
        for i, trial in enumerate(found):
            if not trial.groups:
                continue
            nodes = np.unique(np.concatenate([g.gallery for g in trial.groups]))
            z = np.zeros_like(h)
            z[nodes] = embed(i, nodes, None).numpy()
            out.append(trial.reciprocal_ranks(h, z, held_out=True))
    return np.concatenate(out)


def _questions(trial: Trial) -> int:
    return int(sum((~g.held_out).sum() for g in trial.groups))


def _pack(
    network: nn.Module,
    adam: torch.optim.Adam,
    best: Array,
    kept: Mapping[str, npt.NDArray[Any]],
) -> dict[str, npt.NDArray[Any]]:
    """Weights now, weights kept, and what Adam remembers of each."""
    out: dict[str, npt.NDArray[Any]] = {"ranks": best}
    out |= {f"now/{k}": v for k, v in parameters(network).items()}
    out |= {f"kept/{k}": v for k, v in kept.items()}
    for name, parameter in network.named_parameters():
        for key, value in adam.state.get(parameter, {}).items():
            out[f"adam/{name}/{key}"] = value.numpy()
    return out


def _unpack(
    saved: State, network: nn.Module, adam: torch.optim.Adam
) -> tuple[Array, dict[str, npt.NDArray[Any]]]:
    """Put back what :func:`_pack` took; the best ranks and weights so far."""

    def under(prefix: str) -> dict[str, npt.NDArray[Any]]:
        arrays = saved.arrays.items()
        return {k.removeprefix(prefix): v for k, v in arrays if k.startswith(prefix)}

    restore(network, under("now/"))
    for name, parameter in network.named_parameters():
        memory = under(f"adam/{name}/")
        if memory:
            adam.state[parameter] = {k: torch.from_numpy(v.copy()) for k, v in memory.items()}
    return np.asarray(saved.arrays["ranks"], np.float32), under("kept/")
