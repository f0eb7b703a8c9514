"""Links that are missing on purpose: who brings up the other end?

Every edge of every relation is in one of five folds; each is hidden in turn, and models are learned
from the rest. Hidden edges are asked for from both ends, among nodes of the other end's kind; other
known links of the same relation are no wrong answers and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from graphretrieval import splits
from graphretrieval.evaluation.controls import controlled
from graphretrieval.evaluation.results import FUSED, Answered, Direction, Row, measured, pooled
from graphretrieval.protocols import Progress
from graphretrieval.retriever import Retriever
from graphretrieval.retriever.learn import align, refined
from graphretrieval.retriever.links import LinkScorer, asked, fit_links, rank_links
from graphretrieval.retriever.material import embed
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import Graph

FOLDS = 5
# the most that is asked of one kind, and among how many it is sought
ASKED, GALLERY = 200, 4_000


def link_runs(
    kb: Retriever, graph: Graph, controls: Sequence[str], fold: int, progress: Progress
) -> Iterator[tuple[str, list[Row]]]:
    """Rows of each control: for every relation and way of asking, then all together."""
    hidden = splits.folds(graph, FOLDS, 0)[fold % FOLDS]
    visible = np.ones(len(graph.ids), np.bool_)
    with MediaReader(Limits.of(kb.config)) as reader:
        truth, encoders = kb.material(graph.with_edges(~hidden), visible, reader, 0, progress)
    aligned = align(truth, encoders, kb.config, progress=progress)
    questions = asked(graph, np.flatnonzero(hidden), fold, most=ASKED, gallery=GALLERY)
    if not questions:
        return
    for control in controls:
        material, config = controlled(truth, kb.config, control, fold)
        model, raw = refined(aligned, material, encoders, config, progress=progress)
        rankers = fit_links(model, material, raw, seed=fold)
        model.aligners = dict(aligned.final)
        scorer = LinkScorer(model, material.messages, material, embed(model, material))
        rows: list[Row] = []
        together: list[Answered] = []
        for i, question in enumerate(questions):
            progress(i, len(questions), f"ranking ends: {control}")
            scores = rank_links(rankers, scorer, question)
            d = Direction(
                question.source,
                question.target,
                question.queries,
                question.gallery,
                question.right,
                slice=question.name,
            )
            row, answered = measured("instance", d, FUSED, scores)
            rows.append((row, None))
            together.append(answered)
        progress(len(questions), len(questions), f"ranking ends: {control}")
        rows.append(pooled(together, [row for row, _ in rows]))
        yield control, rows
