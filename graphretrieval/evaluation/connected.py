"""The whole database with its links; a description is taken out and asks for what it describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphretrieval import splits
from graphretrieval.errors import NothingToLearn
from graphretrieval.evaluation.results import DESCRIBED, UNDESCRIBED, Direction
from graphretrieval.folding import fold
from graphretrieval.retriever import corpus
from graphretrieval.retriever.corpus import Places
from graphretrieval.types import DESCRIBES, Graph, Ints, Node


@dataclass(frozen=True)
class Asked:
    """Which descriptions are taken out.

    ``languages`` are those that ask, all together as one if none is given; ``hide_all`` takes out
    everything that is said in them of what is asked for. ``undescribed`` is the share of the
    gallery that loses all descriptions.
    """

    languages: tuple[str, ...]
    hide_all: bool
    undescribed: float


def connected(
    graph: Graph, places: Places, nodes: Mapping[int, Node], asked: Asked, seed: int
) -> tuple[Graph, Ints, list[Direction]]:
    """What stays visible, the texts that are hidden, and the directions.

    Raises:
        NothingToLearn: nothing has a description that could be taken out.
    """
    described = _described(graph, places, nodes, asked, seed)
    if not described:
        raise NothingToLearn(
            "no picture or sound has a description that could be taken out as a query",
            remedy="choose another language, or the inductive protocol",
        )
    hidden = np.unique(np.concatenate([texts for _, _, texts in described]))
    bare = _stripped(places, asked.undescribed, seed)
    seen = corpus.without_nodes(graph, hidden)
    edges = seen.edges_of(DESCRIBES)
    keep = np.ones(len(seen.src), np.bool_)
    keep[edges[np.isin(seen.dst[edges], bare)]] = False
    directions = []
    for target, gallery in places.rows.items():
        inside = set(gallery.tolist())
        mine = [(row, lang, t[0]) for row, lang, t in described if row in inside]
        for name, members in _slices(mine, bare).items():
            if members:
                answers = np.array([row for row, _, _ in members], np.int64)
                queries = np.array([text for _, _, text in members], np.int64)
                right = gallery[None, :] == answers[:, None]
                directions.append(Direction("text", target, queries, gallery, right, slice=name))
    return seen.with_edges(keep), hidden, directions


_Question = tuple[int, str, int]  # the thing described, the query's language, the query


def _slices(asked: Sequence[_Question], bare: Ints) -> dict[str, list[_Question]]:
    """All questions, by language where there are several; then the same by what was stripped."""
    languages = sorted({lang for _, lang, _ in asked})
    out = {"all": list(asked)} if len(languages) == 1 else {}
    out |= {name: [q for q in asked if q[1] == name] for name in languages if len(languages) > 1}
    if len(bare):
        stripped = set(bare.tolist())
        out[DESCRIBED] = [q for q in asked if q[0] not in stripped]
        out[UNDESCRIBED] = [q for q in asked if q[0] in stripped]
    return out


def _described(
    graph: Graph, places: Places, nodes: Mapping[int, Node], asked: Asked, seed: int
) -> list[tuple[int, str, Ints]]:
    """Test pictures and sounds, a language, and the texts to be taken out, the query first.

    Pictures whose descriptions are the same go together, and copies of a hidden text are hidden
    with it, so that no twin stays behind.
    """
    edges = graph.edges_of(DESCRIBES)
    texts: dict[tuple[int, str], list[int]] = {}
    for src, dst in zip(graph.src[edges].tolist(), graph.dst[edges].tolist(), strict=True):
        node = nodes[src]
        lang = (node.lang or "").replace("@", "_").split("_")[0]
        if (
            node.modality == "text"
            and places.at[dst] >= 0
            and (not asked.languages or lang in asked.languages)
        ):
            texts.setdefault((dst, lang if asked.languages else "any"), []).append(src)
    described = sorted({row for row, _ in texts})
    test = set(_test_media(graph, places, nodes, described, seed))
    out = []
    for row, lang in sorted(texts):
        if row in test:
            mine = sorted(texts[row, lang], key=lambda text: graph.ids[text])
            hidden = mine if asked.hide_all else _alike(mine, nodes)
            out.append((row, lang, np.array(hidden, np.int64)))
    return out


def _alike(texts: Sequence[int], nodes: Mapping[int, Node]) -> list[int]:
    """The first text and those that say the same, but for case, width or traditional forms."""
    words = fold(nodes[texts[0]].text or "")
    return [text for text in texts if fold(nodes[text].text or "") == words]


def _test_media(
    graph: Graph, places: Places, nodes: Mapping[int, Node], rows: Sequence[int], seed: int
) -> list[int]:
    split = {nodes[row].properties.get("split") for row in rows}
    for name in ("test", "val"):
        if name in split:
            return [row for row in rows if nodes[row].properties.get("split") == name]
    group = _twins(graph, nodes)
    side = splits.grouped(group, (0.75, 0.25), seed)
    return [row for row in rows if side[row] == 1]


def _twins(graph: Graph, nodes: Mapping[int, Node]) -> Ints:
    """Families joined by equal descriptions: lion and lion-2 are both "A lion."."""
    family = corpus.families(graph)
    first: dict[str, int] = {}
    parent = {int(f): int(f) for f in family}

    def root(f: int) -> int:
        while parent[f] != f:
            f = parent[f]
        return f

    for row, node in nodes.items():
        if node.modality == "text" and node.text and (node.lang or "en").startswith("en"):
            mine = root(int(family[row]))
            words = node.text.strip().casefold()
            parent[mine] = root(first.setdefault(words, mine))
    return np.array([root(int(f)) for f in family], np.int64)


def _stripped(places: Places, share: float, seed: int) -> Ints:
    """Gallery items that lose all their descriptions."""
    gallery = np.concatenate([r for m, r in places.rows.items() if m != "text"])
    return gallery[np.random.default_rng(seed).random(len(gallery)) < share]
