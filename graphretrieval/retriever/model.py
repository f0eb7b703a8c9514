"""A model: every learned stage, and the vectors of the collection it was learned on.

A vector concatenates blocks, one for each aligner; each is kept raw (from the item's own content)
and refined (after message passing). An item without a block has zeros there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphretrieval.arrays import normalise
from graphretrieval.folding import is_han, words
from graphretrieval.protocols import Aligner, Encoder, Ranker, Refiner
from graphretrieval.retriever.corpus import Places
from graphretrieval.types import JSON, Array, Graph, TextContent

#: Blocks compared as they are; the others by cosine.
PROBABILITIES = "posteriors"
#: The gate of directions that nothing was learned about.
ALIKE = "alike"
#: Texts with gates of their own: in Chinese characters, where two of them are a word and n-grams
#: say little; and in languages that the sentence model does not know.
HAN, FOREIGN = "han", "foreign"
TEXT_KINDS = ("text", FOREIGN, HAN)
#: Which part of the score each column adds to, beside the blocks' own.
PATH, LEXICAL = "path", "lexical"
#: The column of how often a walk at random from what the query is near meets an item.
PAGERANK = "pagerank"
#: The columns that walks from the query make of the targets.
WALKED = (PAGERANK, PATH, LEXICAL)
#: The column that is 1 for an item without links to others, and the gates of such items.
UNDESCRIBED = "undescribed"
#: Ends the name of a column that holds hubs of a block back.
HUBS = " hubs"


@dataclass
class Model:
    """Learned stages by name, and what they were learned from.

    ``gates`` holds one ranker for each ``source>target>relevance``; ``meta`` the seed, settings,
    data revision and validation metrics. ``askers`` names items of each kind of query that stand
    for what people ask (see :mod:`~graphretrieval.retriever.hubs`).
    """

    encoders: dict[str, Encoder[Any]] = field(default_factory=dict)
    aligners: dict[str, Aligner] = field(default_factory=dict)
    refiners: dict[str, Refiner] = field(default_factory=dict)
    gates: dict[str, Ranker] = field(default_factory=dict)
    categories: tuple[str, ...] = ()
    meta: dict[str, JSON] = field(default_factory=dict)
    askers: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the score columns.

        Each block raw and refined (``+``), hubs, undescribed, PageRank, path, lexical.
        """
        refined = [f"{name}+" for name in self.aligners]
        hubs = [f"{b}{HUBS}" for b in self.hubs]
        return (*self.aligners, *refined, *hubs, UNDESCRIBED, *WALKED)

    @property
    def hubs(self) -> list[str]:
        """The blocks in which hubs are held back: those that are compared by cosine."""
        return [name for name in self.aligners if name != PROBABILITIES]

    def of_categories(self) -> dict[str, Array]:
        """Category → its vector ``(d,)`` among the posteriors."""
        embed = getattr(self.aligners.get(PROBABILITIES), "embed_categories", None)
        return {} if embed is None else dict(zip(self.categories, embed(), strict=True))

    def part_of(self, column: str) -> str:
        """The named part a column's contribution is added to in ``hit.parts``."""
        if column in (PATH, LEXICAL):
            return column
        return "graph" if column.endswith(("+", HUBS)) or column == PAGERANK else "content"

    def align(self, modality: str, features: Array) -> dict[str, Array]:
        """One modality's features in every block: block → ``(n, d_block)``.

        A row of zeros is content that is absent, and stays one: an aligner would make a vector of
        nothing, which lies somewhere and is near to something.
        """
        has = np.any(features, axis=1, keepdims=True)  # (n, 1)
        out = {name: a.embed(modality, features) for name, a in self.aligners.items()}
        return out if has.all() else {b: np.where(has, x, 0) for b, x in out.items()}


@dataclass(frozen=True)
class Vectors:
    """The collection's vectors at one revision, row-aligned with the graph.

    ``raw[b]`` and ``refined[b]`` are ``(n, d_b)``, scaled for scoring by inner product.
    """

    graph: Graph
    places: Places
    raw: Mapping[str, Array] = field(repr=False)
    refined: Mapping[str, Array] = field(repr=False)


def scaled(block: str, x: Array) -> Array:
    """Block vectors as they are compared: probabilities as they are, others at unit length."""
    return np.asarray(x, np.float32) if block == PROBABILITIES else normalise(x)


def embed_nodes(
    model: Model,
    graph: Graph,
    places: Places,
    features: Mapping[str, Array],
    name_features: Array | None,
) -> dict[str, Array]:
    """Unscaled block vectors of all nodes, ``(n, d_block)``.

    Items are embedded by their features. Other nodes lie where their names do, in blocks that texts
    have; a category lies among the posteriors where what is in it for certain does.
    ``name_features`` are ``(those nodes, d)``, zeros for nodes without a name.
    """
    n = len(graph.ids)
    out = {name: np.zeros((n, a.dim), np.float32) for name, a in model.aligners.items()}
    for modality, rows in places.rows.items():
        if modality in features:
            for name, x in model.align(modality, features[modality]).items():
                out[name][rows] = x
    if name_features is not None:
        for name, x in model.align("text", name_features).items():
            if name != PROBABILITIES:
                out[name][places.at < 0] = x
    for name, x in model.of_categories().items():
        if name in graph.row:
            out[PROBABILITIES][graph.row[name]] = x
    return out


def refine_nodes(model: Model, graph: Graph, raw: Mapping[str, Array]) -> dict[str, Array]:
    """Block vectors of all nodes after message passing over the graph's edges, unscaled."""
    return {
        name: model.refiners[name].refine(graph, x) if name in model.refiners else x
        for name, x in raw.items()
    }


def vectors_of(model: Model, graph: Graph, places: Places, raw: Mapping[str, Array]) -> Vectors:
    """Raw and refined vectors as they are compared."""
    refined = refine_nodes(model, graph, raw)
    return Vectors(
        graph,
        places,
        {name: scaled(name, x) for name, x in raw.items()},
        {name: scaled(name, x) for name, x in refined.items()},
    )


def kinds_of_text(encoder: Any, contents: Sequence[TextContent]) -> list[str]:
    """Which gate each text asks through: ``text``, ``foreign`` or ``han``."""
    judge = getattr(encoder, "foreign", None)
    foreign = judge(contents) if judge else np.zeros(len(contents), np.bool_)
    return [
        HAN if any(map(is_han, words(c.text))) else FOREIGN if f else "text"
        for c, f in zip(contents, foreign, strict=True)
    ]
