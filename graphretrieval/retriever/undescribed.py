"""Questions for items that nobody described, and how far these are raised so as not to be buried.

What others say of an item says far more than its content shows. Where much is described, the few
places that people look at go to the described, and a graph makes the others harder to find than
they were without it. Their odds are set as low as they may be while they are found no later than by
content alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphretrieval.retriever import corpus
from graphretrieval.retriever.material import Material
from graphretrieval.retriever.model import HUBS, TEXT_KINDS, WALKED
from graphretrieval.retriever.weighing import Gate
from graphretrieval.types import Array, Bools, Ints

# the share of a modality that is taken to have no links where hardly anything has none
FEWEST = 0.02
# items that ask: what they find are few of many, so that it takes many to tell how often
MOST = 500
# what odds may be multiplied by, the least first
LIFTS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


def described(material: Material, linked: Bools) -> dict[str, float]:
    """The share of items that are linked ``(n,)``, of modalities that have such.

    Where all or nearly all are, new arrivals still are not: they are taken to be one in fifty.
    """
    items = {m: r[material.visible[r]] for m, r in material.places.rows.items()}
    shares = {m: float(linked[rows].mean()) for m, rows in items.items() if len(rows)}
    return {m: min(share, 1 - FEWEST) for m, share in shares.items() if share > 0}


def questions(material: Material, kind: str, linked: Bools, seed: int) -> tuple[Ints, Ints]:
    """Validation items of a kind to ask with, and what loses its links beside them.

    A text asks for the thing that it describes, one text for each thing; anything else for what
    nothing but itself linked.
    """
    rng = np.random.default_rng(seed)
    if kind not in TEXT_KINDS:
        rows = material.places.rows[kind]
        return rng.permutation(rows[(material.validation & linked)[rows]])[:MOST], rows[:0]
    rows = rng.permutation(np.flatnonzero(material.validation & (material.kinds == kind)))
    things, first = np.unique(corpus.parallel(material.graph, rows), return_index=True)
    some = np.random.default_rng(seed).permutation(np.flatnonzero(things >= 0))[:MOST]
    return rows[first[some]], things[some]


def lift(
    gate: Gate, columns: tuple[str, ...], parts: Array, right: Bools, owner: Ints, known: Array
) -> float:
    """The least of ``LIFTS`` by which the undescribed are found as early as by content alone.

    By more than a standard error, if any does.

    Args:
        gate: of the direction, with both rankers.
        columns: names of the parts.
        parts: ``(n, p)`` candidates of questions for undescribed items, and described ones.
        right: ``(n,)``.
        owner: ``(n,)`` each candidate's question, ascending.
        known: ``(n,)`` how surely the question is known.
    """
    assert gate.undescribed is not None
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    alone = gate.undescribed.weigh(_content(parts, columns), known).sum(axis=1)
    wanted = _found(alone, right, owner, starts)
    questions = np.split(np.arange(len(parts)), starts[1:])
    gains = {}
    for by in LIFTS:
        raised = replace(gate, lift=by)
        score = [raised.weigh(parts[q], float(known[q[0]]))[0].sum(axis=1) for q in questions]
        gain = _found(np.concatenate(score), right, owner, starts) - wanted
        gains[by] = float(gain.mean()), float(gain.std() / np.sqrt(len(gain)))
    for errors in (1, 0):  # few questions say nothing surely
        for by, (mean, error) in gains.items():
            if mean >= errors * error:
                return by
    return LIFTS[-1]


def _content(parts: Array, columns: tuple[str, ...]) -> Array:
    """The columns as they are without a graph."""
    out = parts.copy()
    for i, name in enumerate(columns):
        if name.endswith("+"):
            out[:, i] = parts[:, columns.index(name.removesuffix("+"))]
        elif name in WALKED or name.endswith(HUBS):
            out[:, i] = 0
    return out


def _found(score: Array, right: Bools, owner: Ints, starts: Ints) -> Array:
    """One over the rank of each question's first right answer ``(q,)``."""
    best = np.maximum.reduceat(np.where(right, score, -np.inf), starts)
    size = np.diff(np.append(starts, len(owner)))
    before = np.add.reduceat(score > np.repeat(best, size), starts)
    return np.asarray(1 / (1 + before))
