"""What learning starts from, and the part of it that choices are made by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphretrieval import splits
from graphretrieval.retriever import corpus
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.model import TEXT_KINDS, Model, embed_nodes
from graphretrieval.types import Array, Bools, Graph, Ints

VALIDATION_SHARE = 0.15
# small collections keep more aside, so that there are some queries to judge by
LEAST_FAMILIES, LARGEST_SHARE = 30, 0.3
# texts of each kind that encoders do without, to ask with as if they were new: so many, or this
# share of them if that is more. With 160 of the 800 Chinese texts of the demo collection hidden
# Chinese queries were found at R@10 .85 instead of .89
HELD, HELD_SHARE = 60, 0.03


@dataclass(frozen=True)
class Material:
    """All that learning starts from: the graph, features per modality, and the texts' words.

    ``graph`` is the truth that is learned from. ``messages`` has the edges that vectors are
    refined and paths walked over: the same, unless a control replaces them. ``name_features`` are
    those of the names of nodes that are not searched, in row order. ``texts[row]`` are
    the words of a text node, to be searched by; ``kinds[row]`` is
    the kind of a text, ``langs[row]`` its language; ``visible`` marks nodes that are in the
    collection as far as learning may know (test items of a protocol are not), ``validation`` those
    of them that choices are made by, ``held`` the texts among these that no encoder was fitted on.
    ``paths`` and ``cooccurrence`` are off in the controls without them.
    """

    graph: Graph
    messages: Graph
    places: Places
    features: Mapping[str, Array]
    name_features: Array | None
    texts: Mapping[int, str]
    kinds: npt.NDArray[np.str_]
    langs: npt.NDArray[np.str_]
    visible: Bools
    validation: Bools
    held: Bools
    paths: bool = True
    cooccurrence: bool = True


def validation_of(graph: Graph, places: Places, visible: Bools, seed: int) -> Bools:
    """Visible items ``(n,)`` to make choices by: whole families, a picture with its captions."""
    family = corpus.families(graph)
    count = max(1, len(np.unique(family[visible & (places.at >= 0)])))
    share = min(LARGEST_SHARE, max(VALIDATION_SHARE, LEAST_FAMILIES / count))
    side = splits.grouped(family, (1 - share, share), seed)
    return np.asarray((side == 1) & visible, np.bool_)


def held_texts(graph: Graph, validation: Bools, kinds: npt.NDArray[np.str_], seed: int) -> Bools:
    """Validation texts ``(n,)`` that encoders are not to see.

    Of each kind one text of each thing described, so that the others still describe it: words that
    an encoder has seen beside their translations are no new query's.
    """
    out = np.zeros(len(graph.ids), np.bool_)
    rng = np.random.default_rng(seed)
    for kind in TEXT_KINDS:
        mine = kinds == kind
        most = max(HELD, round(HELD_SHARE * int(mine.sum())))
        rows = rng.permutation(np.flatnonzero(validation & mine))
        thing = corpus.parallel(graph, rows)
        _, first = np.unique(np.where(thing < 0, -1 - rows, thing), return_index=True)
        out[rows[np.sort(first)[:most]]] = True
    return out


def variants(graph: Graph, texts: Ints, langs: npt.NDArray[np.str_], rows: Ints) -> Ints:
    """Texts that say of the same thing, in a variant of the same language, nearly the same.

    What one says of a lion in zh_CN is left in zh_TW if only the query is hidden, which a new
    query would not find; five captions in one language are another matter.
    """
    thing = np.full(len(langs), -1)
    thing[texts] = corpus.parallel(graph, texts)
    said: dict[int, set[str]] = {}
    for r in rows[thing[rows] >= 0]:
        said.setdefault(int(thing[r]), set()).add(str(langs[r]))
    near = texts[np.isin(thing[texts], list(said))]
    return np.array(
        [r for r in near if any(_is_variant(str(langs[r]), x) for x in said[int(thing[r])])],
        np.int64,
    )


def _is_variant(a: str, b: str) -> bool:
    return a != b and a.split("_")[0] == b.split("_")[0] != ""


def embed(model: Model, material: Material) -> dict[str, Array]:
    """Unscaled block vectors of all nodes of the material."""
    return embed_nodes(
        model, material.graph, material.places, material.features, material.name_features
    )
