"""Categories guessed for unlabelled items: by what they are like, and what is linked to them says.

Self-training (Lee 2013) and co-training over links (Blum & Mitchell 1998): a picture without a
label takes what classifiers say of it and of its captions; what is surely known counts more. Links
count for as much as their ends are found to agree, so that wrong ones do no harm.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphretrieval.aligners.least_squares import softmax
from graphretrieval.types import Array, Bools, Ints

Pairs = Mapping[tuple[str, str], Ints]

# one classifier's zero is no proof: what others say still counts
FLOOR = 1e-3
# a guess of probability p counts p² of a label
TRUST = 2
# labelled rows of a modality that agreement is told by, at most
MOST_ROWS = 2000


def agreement(
    posteriors: Mapping[str, Array], labels: Mapping[str, Array], pairs: Pairs
) -> dict[tuple[str, str], float]:
    """The share of links whose ends have one category, for each pair of modalities.

    Σ_c p(c | a) p(c | b) has one mean s₁ over labelled rows of one category, and another s₀ over
    rows of different ones; links are a mixture of both, with mean s: the share is
    (s − s₀) / (s₁ − s₀). Nothing is known, and the share is 0, where no labels can be compared.

    Args:
        posteriors: modality → ``(n_m, c)``, of labelled rows by classifiers that left them out.
        labels: modality → ``(n_m, c)``; rows of zeros are unlabelled.
        pairs: linked rows ``(p, 2)`` of two of these modalities.
    """
    out = {}
    for (a, b), linked in pairs.items():
        rows = {m: np.flatnonzero(labels[m].any(1))[:MOST_ROWS] for m in (a, b)}
        same = labels[a][rows[a]] @ labels[b][rows[b]].T > 0
        met = posteriors[a][rows[a]] @ posteriors[b][rows[b]].T
        out[a, b] = 0.0
        if same.any() and not same.all() and len(linked):
            one, other = float(met[same].mean()), float(met[~same].mean())
            ends = posteriors[a][linked[:, 0]] * posteriors[b][linked[:, 1]]
            share = (float(ends.sum(1).mean()) - other) / max(one - other, 1e-6)
            out[a, b] = float(np.clip(share, 0, 1))
    return out


def guesses(
    posteriors: Mapping[str, Array],
    labels: Mapping[str, Array],
    pairs: Pairs,
    agree: Mapping[tuple[str, str], float],
) -> dict[str, Array]:
    """Probabilities of the categories for every row of each modality.

    The product of the row's own posterior and, for each modality, the geometric mean of its linked
    rows', which say much the same. Labels are taken as they are, at both ends.

    Args:
        posteriors: modality → ``(n_m, c)``.
        labels: modality → ``(n_m, c)``; rows of zeros are unlabelled.
        pairs: linked rows ``(p, 2)`` of two of these modalities.
        agree: the share of links whose ends have one category (:func:`agreement`).

    Returns:
        modality → ``(n_m, c)``, rows that sum to 1.
    """
    labelled = {m: np.asarray(x.any(1)) for m, x in labels.items()}
    sure = {m: x / np.maximum(x.sum(1, keepdims=True), 1) for m, x in labels.items()}
    known = {m: np.where(labelled[m][:, None], sure[m], p) for m, p in posteriors.items()}
    total = {m: np.log(np.maximum(p, FLOOR)) for m, p in known.items()}
    for (a, b), linked in pairs.items():
        for speaker, listener, ends in ((a, b, linked), (b, a, linked[:, ::-1])):
            said = agree[a, b] * known[speaker] + (1 - agree[a, b]) / known[speaker].shape[1]
            heard = np.zeros_like(total[listener])
            np.add.at(heard, ends[:, 1], np.log(np.maximum(said, FLOOR))[ends[:, 0]])
            count = np.bincount(ends[:, 1], minlength=len(heard))
            total[listener] += heard / np.maximum(count, 1)[:, None]
    return {
        m: np.where(labelled[m][:, None], sure[m], softmax(x)).astype(np.float32)
        for m, x in total.items()
    }


def trust(guessed: Array, labels: Array, counted: Bools) -> Array:
    """How much each row counts ``(n,)``: a label 1, a guess less, and in large categories less.

    Links favour some categories: each row counts by 1 / √ the mass of its likeliest one. Rows that
    are not ``counted`` count nothing.
    """
    count = np.where(np.asarray(labels.any(1)), 1.0, guessed.max(1) ** TRUST) * counted
    likeliest = guessed.argmax(1)
    mass = np.bincount(likeliest, count, minlength=guessed.shape[1])
    return np.asarray(count / np.sqrt(np.maximum(mass[likeliest], 1e-9)), np.float32)
