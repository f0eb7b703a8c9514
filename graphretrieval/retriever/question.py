"""A query that is understood: its terms, and what it is put to; answered as often as one likes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphretrieval.retriever.query import Filter, Searcher, Term
from graphretrieval.types import JSON, Answer, Array, Bools, Graph


@dataclass(frozen=True)
class Question:
    """Terms and filters of one query over the vectors of one revision.

    ``graph`` has the edges that refined vectors were made over, its rows are the vectors' rows;
    ``unscaled[b]`` ``(n, d_b)`` is what the refiners of its blocks start from.
    """

    terms: Sequence[Term]
    targets: tuple[str, ...]
    k: int
    where: Filter
    allowed: Bools | None = field(repr=False)
    searcher: Searcher = field(repr=False)
    graph: Graph = field(repr=False)
    unscaled: Mapping[str, Array] = field(repr=False)
    version: str

    def answer(self) -> Answer:
        """The ranked hits."""
        hits, no_match = self.searcher.search(
            self.terms, self.targets, self.k, self.where, self.allowed
        )
        revision, degraded = self.graph.revision, self.searcher.store.degraded
        return Answer(self.to_json(), hits, self.version, revision, degraded, no_match)

    def to_json(self) -> dict[str, JSON]:
        """The query as an answer repeats it; ``where`` only if it has filters."""
        where = {name: value for name, value in vars(self.where).items() if value is not None}
        return {
            "terms": [{"kind": t.kind, "value": t.value, "weight": t.weight} for t in self.terms],
            "target": list(self.targets),
            "k": self.k,
            **({"where": where} if where else {}),
        }
