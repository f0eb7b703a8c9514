"""Where nodes that have no content of their own lie among those that have."""

from __future__ import annotations

import numpy as np
import pytest

from graphretrieval.aligners.posteriors import PosteriorAligner
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.model import PROBABILITIES, Model, embed_nodes
from graphretrieval.types import Graph, Supervision

CATEGORIES, EACH = 20, 6


@pytest.mark.parametrize("widest", [256, 18])
def test_a_category_lies_where_its_items_do_however_many_there_are(widest: int) -> None:
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(CATEGORIES), EACH)
    x = rng.standard_normal((CATEGORIES, 30))[of] + 0.2 * rng.standard_normal((len(of), 30))
    features = {"text": x.astype(np.float32)}
    labels = {"text": np.eye(CATEGORIES, dtype=np.float32)[of]}
    aligner = PosteriorAligner(widest=widest).fit(features, Supervision(labels))
    names = [f"cat:{i:02d}" for i in range(CATEGORIES)]
    ids = [*names, *(f"text{i:03d}" for i in range(len(of)))]
    kinds = np.repeat([0, 1], [CATEGORIES, len(of)]).astype(np.int16)
    none = np.empty(0, np.int32)
    graph = Graph(
        ids, ("category", "text"), kinds, (), none, none, none.astype(np.int16), np.empty(0)
    )
    model = Model(aligners={PROBABILITIES: aligner}, categories=tuple(names))
    found = embed_nodes(model, graph, Places.of(graph), features, None)[PROBABILITIES]
    items, categories = found[CATEGORIES:], found[:CATEGORIES]
    assert ((items @ categories.T).argmax(1) == of).mean() > 0.8
