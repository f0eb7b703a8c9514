"""Files that can no longer be read: what is sought has lost its content and keeps its links."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from graphretrieval.evaluation.results import Direction
from graphretrieval.retriever.material import Material
from graphretrieval.types import Array, Ints


def lost(directions: Sequence[Direction], share: float, seed: int) -> Ints:
    """So many of the pictures and sounds that are sought: their graph rows, ascending."""
    files = [d.gallery for d in directions if d.target != "text"]
    sought = np.unique(np.concatenate([np.empty(0, np.int64), *files]))
    order = np.random.default_rng(seed).permutation(sought)
    return np.sort(order[: round(share * len(sought))])


def without_content(material: Material, rows: Ints) -> Material:
    """The material with features of zeros for these items, as what cannot be read has."""
    features = dict(material.features)
    for modality, x in features.items():
        gone = np.isin(material.places.rows[modality], rows)
        features[modality] = np.where(gone[:, None], np.float32(0), x)
    return replace(material, features=features)


def asked_with(directions: Sequence[Direction], rows: Ints) -> list[Direction]:
    """Directions without the queries that are lost: nothing can be asked with them."""
    out = []
    for d in directions:
        there = ~np.isin(d.queries, rows)
        if d.right[there].any():
            out.append(replace(d, queries=d.queries[there], right=d.right[there]))
    return out


def by_content(d: Direction, scores: Array, rows: Ints) -> Iterator[tuple[Direction, Array]]:
    """The right answers with content, then those without, each among all wrong ones.

    The other right answers are no wrong ones, and are left out: their score is −inf.
    """
    gone = np.isin(d.gallery, rows)
    if not gone.any():
        return
    for name, mine in (("with content", ~gone), ("without content", gone)):
        right = d.right & mine
        if right.any():
            others = d.right & ~mine
            yield replace(d, right=right, slice=name), np.where(others, -np.inf, scores)
