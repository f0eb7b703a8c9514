"""Zero-shot labels: each label's name is asked for as a query, and the item is what is judged.

An item of the collection is judged itself; a file is judged by the stored items that are most like
it, each counting by its likeness, since only they have neighbours whose words can be heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphretrieval.errors import QueryError
from graphretrieval.retriever.live import Live
from graphretrieval.retriever.retriever import Retriever
from graphretrieval.retriever.score import SIMILAR, Queries
from graphretrieval.retriever.weighing import gate
from graphretrieval.types import Array, Ints, TextContent

# labels are compared as softmax(score / temperature); right and wrong ones differ by about 5
TEMPERATURE = 2.0
LABELS = 50
# stored items that speak for a file
NEAREST = 10


@dataclass(frozen=True)
class Labelled:
    """A label, its score and its share of all labels given."""

    label: str
    score: float
    share: float


def classify(kb: Retriever, kind: str, value: str, labels: Sequence[str]) -> list[Labelled]:
    """Labels of a node, text, image or audio file, likeliest first.

    Args:
        kb: a knowledge base with a model.
        kind: ``node``, ``text``, ``image`` or ``audio``.
        value: the node's id, the text, or the file.
        labels: 1 to 50 names, in any language of the collection.

    Raises:
        QueryError: there are no labels, or too many, or one is empty.
    """
    asked = list(dict.fromkeys(label.strip() for label in labels))
    if not asked or not all(asked) or len(asked) > LABELS:
        raise QueryError(
            f"{len(asked)} labels were given, or one is empty", remedy=f"give 1 to {LABELS} names"
        )
    content = kb._content(kind, value)
    scores = np.zeros(len(asked), np.float32)
    with kb.serving.reading() as live:
        scorer = live.searcher.scorer
        rows, weights, modality = _judged(kb._queries(kind, value, content, live), live)
        for i, label in enumerate(asked):
            query = kb._queries("text", label, TextContent(label), live)
            anchors = scorer.anchors(query)
            parts = scorer.parts(query, rows, anchors)[0]  # (t, p)
            ranker = gate(live.model, query.kind, modality, "instance").ranker
            weighed = ranker.weigh(parts, float(scorer.known(anchors)[0])).sum(axis=1)
            scores[i] = weighed @ weights
    shares = np.exp((scores - scores.max()) / TEMPERATURE)
    shares /= shares.sum()
    order = np.argsort(-scores, kind="stable")
    return [Labelled(asked[i], float(scores[i]), float(shares[i])) for i in order]


def _judged(query: Queries, live: Live) -> tuple[Ints, Array, str]:
    """Rows that speak for the item, ascending, their weights (sum 1) and their modality."""
    if query.rows is not None:
        return query.rows, np.ones(1, np.float32), query.modality
    anchors = live.searcher.scorer.anchors(query)
    near = np.flatnonzero(anchors.kinds == SIMILAR)[:NEAREST]
    if not len(near):
        raise QueryError(
            f"nothing in the collection is like this {query.modality}",
            remedy="add some, and fit again",
        )
    rows, first = np.unique(anchors.rows[near], return_index=True)
    weights = anchors.weights[near][first] ** 4  # the nearest should be heard above the many
    return rows, (weights / weights.sum()).astype(np.float32), query.modality
