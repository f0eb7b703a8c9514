"""A query that is understood: its terms, and what it is put to; answered as often as one likes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from graphretrieval.retriever.live import Live
from graphretrieval.retriever.query import Filter, Found, Searcher, Term
from graphretrieval.types import JSON, Answer, Array, Graph


@dataclass(frozen=True)
class Question:
    """Terms and filters of one query, and the model in service that is to answer it.

    ``degraded`` says that the model or the data are older than they should be.
    """

    terms: Sequence[Term]
    targets: tuple[str, ...]
    k: int
    where: Filter
    live: Live = field(repr=False)
    degraded: bool = False
    diversity: float = 0.0

    @property
    def searcher(self) -> Searcher:
        """What ranks the candidates."""
        return self.live.searcher

    @cached_property
    def graph(self) -> Graph:
        """The edges that refined vectors were made over; its rows are the vectors' rows."""
        return self.live.graph()

    @property
    def unscaled(self) -> Mapping[str, Array]:
        """What the refiners of the blocks start from, ``(n, d_b)``."""
        return self.live.raw()

    def candidates(self) -> dict[str, Found]:
        """All that is scored, by target modality."""
        allowed = self.live.allowed(self.where)
        return self.searcher.candidates(self.terms, self.targets, self.k, self.where, allowed)

    def answer(self) -> Answer:
        """The ranked hits."""
        live = self.live
        allowed = live.allowed(self.where)
        hits, no_match = self.searcher.search(
            self.terms, self.targets, self.k, self.where, allowed, self.diversity
        )
        # the store may have gone away while it was asked for words
        degraded = self.degraded or live.store.degraded
        return Answer(self.to_json(), hits, live.version, live.revision, degraded, no_match)

    def to_json(self) -> dict[str, JSON]:
        """The query as an answer repeats it; filters and diversity only where they are asked."""
        where = {name: value for name, value in vars(self.where).items() if value is not None}
        return {
            "terms": [{"kind": t.kind, "value": t.value, "weight": t.weight} for t in self.terms],
            "target": list(self.targets),
            "k": self.k,
            **({"where": where} if where else {}),
            **({"diversity": self.diversity} if self.diversity else {}),
        }
