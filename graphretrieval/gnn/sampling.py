"""Neighbours by the handful: the part of a graph that some nodes' refined vectors depend on.

GraphSAGE's neighbourhood sampling (Hamilton et al. 2017) on the arrays of a CSR, all nodes at once.
A node of more neighbours than the fan-out has its row turned by a random amount and cut into as
many pieces as the fan-out; one neighbour is drawn from each piece. So none is drawn twice, all are
equally likely, and a hub costs no more than its fan-out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from graphretrieval.arrays import expand
from graphretrieval.gnn.messages import Typed
from graphretrieval.types import Array, Bools, Ints


@dataclass(frozen=True)
class Block:
    """What one layer reads: the vectors of some nodes, of which the first ``listeners`` hear."""

    listeners: int
    speaker: torch.Tensor = field(compare=False, repr=False)  # (m,) rows of the vectors read
    listener: torch.Tensor = field(compare=False, repr=False)  # (m,) ascending, < listeners
    type: torch.Tensor = field(compare=False, repr=False)  # (m,)
    share: torch.Tensor = field(compare=False, repr=False)  # (m,) one listener's add up to 1
    modality: torch.Tensor = field(compare=False, repr=False)  # (nodes,) as learned, or −1
    own: torch.Tensor = field(compare=False, repr=False)  # (listeners,) has a vector itself
    heard: torch.Tensor = field(compare=False, repr=False)  # (listeners,) hears anybody

    @property
    def edges(self) -> torch.Tensor:
        """``(2, m)`` as torch-geometric wants it: speakers over listeners."""
        return torch.stack([self.speaker, self.listener])


@dataclass(frozen=True)
class Sample:
    """Some nodes and what they hear within a few hops.

    ``nodes`` begins with the seeds; ``nodes[:node_ends[k]]`` lie within k hops of them, and the
    messages of the first k hops are ``[:edge_ends[k]]``.
    """

    nodes: Ints = field(compare=False, repr=False)
    speaker: Ints = field(compare=False, repr=False)  # (m,) positions in nodes
    listener: Ints = field(compare=False, repr=False)  # (m,) positions in nodes, ascending
    position: Ints = field(compare=False, repr=False)  # (m,) which message of the graph
    node_ends: tuple[int, ...]
    edge_ends: tuple[int, ...]

    @property
    def hops(self) -> int:
        """How many there are."""
        return len(self.node_ends) - 1


def sample(
    typed: Typed, seeds: Ints, fanouts: Sequence[int | None], rng: np.random.Generator
) -> Sample:
    """What ``seeds`` (no repeats) hear: of each node at most ``fanouts[k]`` neighbours at hop k.

    A fan-out of ``None`` takes all neighbours, and then nothing is random.
    """
    at = np.full(typed.n, -1, np.int64)
    at[seeds] = np.arange(len(seeds))
    nodes, frontier = [np.asarray(seeds, np.int64)], np.asarray(seeds, np.int64)
    listeners, positions = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    node_ends, edge_ends, begun = [len(seeds)], [0], 0
    for fanout in fanouts:
        owner, position = draw(typed.indptr, frontier, fanout, rng)
        speaker = typed.speaker[position]
        fresh = np.unique(speaker[at[speaker] < 0])
        at[fresh] = node_ends[-1] + np.arange(len(fresh))
        listeners.append(owner + begun)
        positions.append(position)
        nodes.append(fresh)
        begun, frontier = node_ends[-1], fresh
        node_ends.append(node_ends[-1] + len(fresh))
        edge_ends.append(edge_ends[-1] + len(position))
    position = np.concatenate(positions)
    return Sample(
        np.concatenate(nodes),
        at[typed.speaker[position]],
        np.concatenate(listeners),
        position,
        tuple(node_ends),
        tuple(edge_ends),
    )


def whole(typed: Typed, hops: int) -> Sample:
    """All nodes and all messages: full batch."""
    n, m = typed.n, len(typed.speaker)
    return Sample(
        np.arange(n),
        typed.speaker,
        typed.listener,
        np.arange(m),
        (n,) * (hops + 1),
        (0,) + (m,) * hops,
    )


def draw(
    indptr: Ints, rows: Ints, fanout: int | None, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Entries of some rows of a CSR, at most ``fanout`` of each, without repeats.

    Returns:
        ``(owner, position)``: entry ``position[j]`` belongs to ``rows[owner[j]]``.
    """
    if fanout is None:
        return expand(indptr, rows)
    size = indptr[rows + 1] - indptr[rows]
    count = np.minimum(size, fanout)
    owner = np.repeat(np.arange(len(rows)), count)
    piece = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    length, pieces = size[owner], count[owner]
    first, last = piece * length // pieces, (piece + 1) * length // pieces
    many = (size > fanout)[owner]
    turned = np.where(size > fanout, (rng.random(len(rows)) * size).astype(np.int64), 0)[owner]
    inside = np.where(many, (rng.random(len(owner)) * (last - first)).astype(np.int64), 0)
    offset = (first + inside + turned) % np.maximum(length, 1)
    return owner, indptr[rows][owner] + offset


def blocks(typed: Typed, drawn: Sample, modality: Ints, present: Sequence[Bools]) -> list[Block]:
    """One block for each layer, the outermost nodes' first.

    Args:
        typed: the messages that ``drawn`` was drawn from.
        drawn: as many hops as layers.
        modality: ``(n,)`` of all nodes, as learned.
        present: for each layer ``(n,)``, who has a vector before it; the others say nothing.
    """
    out = []
    for layer in range(drawn.hops):
        reach = drawn.hops - layer
        nodes = drawn.nodes[: drawn.node_ends[reach]]
        listeners = drawn.node_ends[reach - 1]
        speaker = drawn.speaker[: drawn.edge_ends[reach]]
        busy = present[layer][nodes[speaker]]
        speaker, listener = speaker[busy], drawn.listener[: drawn.edge_ends[reach]][busy]
        position = drawn.position[: drawn.edge_ends[reach]][busy]
        weight = typed.weight[position]
        total = np.bincount(listener, weight, minlength=listeners)
        share = (weight / np.maximum(total[listener], 1e-30)).astype(np.float32)
        out.append(
            Block(
                listeners,
                torch.from_numpy(speaker),
                torch.from_numpy(listener),
                torch.from_numpy(typed.type[position].astype(np.int64)),
                torch.from_numpy(share),
                torch.from_numpy(modality[nodes]),
                torch.from_numpy(present[layer][nodes[:listeners]]),
                torch.from_numpy(total > 0),
            )
        )
    return out


def presence(typed: Typed, h: Array, layers: int) -> list[Bools]:
    """Who has a vector before each layer: at first who has one, then who hears one that has."""
    now: Bools = np.asarray(np.any(h, axis=1), np.bool_)
    out = []
    for _ in range(layers):
        out.append(now)
        heard = np.zeros(typed.n, np.bool_)
        heard[typed.listener[now[typed.speaker]]] = True
        now = now | heard
    return out
