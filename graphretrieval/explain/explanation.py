"""What an explanation holds: plain values that terminal, page and JSON are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphretrieval.explain.deletion import EdgeKey
from graphretrieval.types import JSON, Hit, Node, Path


@dataclass(frozen=True, slots=True)
class Column:
    """What one measurement contributes: ``value`` as measured, times the gate's ``weight``.

    ``term`` is the query's term it was measured for.
    """

    name: str
    term: int
    value: float
    weight: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Part:
    """A named part of the score, and the columns that add up to it."""

    name: str
    value: float
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Deletion:
    """Rank and score of the hit with an edge and without it.

    ``role`` says why this edge was tried: ``key`` (the last of the best path that has any),
    ``path`` (another of that path) or ``asked``.
    """

    edge: EdgeKey
    role: str
    rank_before: int
    rank_after: int
    score_before: float
    score_after: float

    @property
    def ranks_lost(self) -> int:
        """How far the hit falls; negative where it rises."""
        return self.rank_after - self.rank_before


@dataclass(frozen=True, slots=True)
class Saliency:
    """Which places of a picture, text or sound the content similarity rests on.

    ``side`` is ``query`` or ``hit``, ``term`` the query's term (None for the hit). Place i covers
    ``places[i]``: ``(left, top, right, bottom)`` as shares of a picture, first and last character
    of a text, seconds of a sound. ``drops[i]`` is how much of ``base`` is lost without it: that is
    the ``measure``, ``content`` (the score's part), or ``likeness`` (the blocks' mean similarity)
    where this direction's gate gives content no weight.
    """

    side: str
    term: int | None
    modality: str
    places: tuple[tuple[float, ...], ...]
    drops: tuple[float, ...]
    base: float
    measure: str
    text: str | None = None
    uri: str | None = None
    node: str | None = None


@dataclass(frozen=True)
class Explanation:
    """Why one hit of one query stands where it stands.

    ``nodes`` has the nodes that paths and edges speak of, by id. ``ways`` begins with the best
    path. ``notes`` name what could not be looked into, and why.
    """

    query: Mapping[str, JSON]
    hit: Hit
    rank: int
    parts: tuple[Part, ...]
    ways: tuple[Path, ...]
    deletions: tuple[Deletion, ...]
    saliency: tuple[Saliency, ...]
    nodes: Mapping[str, Node] = field(repr=False)
    notes: tuple[str, ...] = ()
    model: str | None = None
    revision: int = 0

    def to_json(self, lang: str = "en") -> dict[str, JSON]:
        """The explanation as ``explain --json`` prints it, its sentences in a language."""
        from graphretrieval.explain import words

        say = words.Words(lang, self.nodes)
        return {
            "query": dict(self.query),
            "model": self.model,
            "revision": self.revision,
            "rank": self.rank,
            "hit": self.hit.to_json(),
            "summary": say.summary(self),
            "parts": [
                {
                    "name": p.name,
                    "value": p.value,
                    "columns": [
                        {
                            "name": c.name,
                            "term": c.term,
                            "value": c.value,
                            "weight": c.weight,
                            "contribution": c.contribution,
                        }
                        for c in p.columns
                    ],
                }
                for p in self.parts
            ],
            "paths": [
                {"words": say.path(p), "strength": p.strength, "steps": p.to_json()}
                for p in self.ways
            ],
            "deletions": [
                {
                    "edge": list(d.edge),
                    "role": d.role,
                    "rank": [d.rank_before, d.rank_after],
                    "score": [d.score_before, d.score_after],
                    "words": say.deletion(d),
                }
                for d in self.deletions
            ],
            "saliency": [
                {
                    "side": s.side,
                    "term": s.term,
                    "modality": s.modality,
                    "measure": s.measure,
                    "base": s.base,
                    "places": [list(p) for p in s.places],
                    "drops": list(s.drops),
                }
                for s in self.saliency
            ],
            "notes": list(self.notes),
        }
