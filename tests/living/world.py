"""A small collection that learns nothing: words are hashed into vectors, strengths are given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from graphretrieval import registry
from graphretrieval.config import Config
from graphretrieval.gnn.propagate import PropagateRefiner
from graphretrieval.protocols import GraphStore
from graphretrieval.retriever import Retriever
from graphretrieval.retriever.bundle import Embedded
from graphretrieval.retriever.live import Live
from graphretrieval.retriever.model import ALIKE, Model
from graphretrieval.retriever.query import Filter, Term
from graphretrieval.retriever.score import Queries
from graphretrieval.sources import media
from graphretrieval.types import (
    DESCRIBES,
    IN_CATEGORY,
    RELATED_TO,
    Array,
    Edge,
    Node,
    State,
    TextContent,
)

DIM = 12
MODALITIES = ("audio", "category", "image", "text")


class HashEncoder:
    """The first word gives a direction, the whole text a deviation from it.

    Pictures and sounds see both turned by half a right angle: what relates them to texts is left to
    be learned.
    """

    dim = DIM
    version = "hash-1"

    def __init__(self, modality: str) -> None:
        self.modality = modality

    def encode(self, contents: Sequence[object]) -> Array:
        said = [content.text for content in contents]  # type: ignore[attr-defined]
        rows = [_drawn(text.split()[0]) + 0.5 * _drawn(text) for text in said if text]
        out = np.array(rows, np.float32).reshape(-1, DIM)
        return out if self.modality == "text" else np.asarray(out @ _turn(), np.float32)

    def state(self) -> State:
        return State({}, {"modality": self.modality})

    @classmethod
    def from_state(cls, state: State) -> HashEncoder:
        return cls(state.settings["modality"])


def _drawn(word: str) -> Array:
    digest = hashlib.sha256(word.encode()).digest()
    return np.random.default_rng(list(digest[:8])).standard_normal(DIM).astype(np.float32)


def _turn() -> Array:
    """A rotation by 80 degrees in each pair of axes."""
    c, s = np.cos(1.4), np.sin(1.4)
    return np.kron(np.eye(DIM // 2), [[c, -s], [s, c]]).astype(np.float32)


class Halves:
    """The features as they are, or turned round: two blocks that differ."""

    dim = DIM

    def __init__(self, turn: bool) -> None:
        self.turn = turn

    def embed(self, modality: str, features: Array) -> Array:
        return features[:, ::-1].copy() if self.turn else features

    def state(self) -> State:
        return State({}, {"turn": self.turn})

    @classmethod
    def from_state(cls, state: State) -> Halves:
        return cls(state.settings["turn"])


def model(seed: int = 0, depth: int = 3) -> Model:
    """A model of two refined blocks with strengths drawn at random, some of them none."""
    rng = np.random.default_rng(seed)
    names = [
        f"{relation}:{way}:{a}>{b}"
        for relation in (DESCRIBES, RELATED_TO, IN_CATEGORY)
        for way in ("in", "out")
        for a in MODALITIES
        for b in MODALITIES
    ]
    refiners = {}
    for block, rounds in (("a", depth), ("b", 1)):
        refiners[block] = PropagateRefiner()
        refiners[block].depth_ = rounds
        refiners[block].strength_ = {
            n: float(rng.uniform(0, 1)) for n in names if rng.random() < 0.7
        }
    out = Model(
        {m: HashEncoder(m) for m in ("audio", "image", "text")},  # type: ignore[misc]
        {"a": Halves(False), "b": Halves(True)},  # type: ignore[dict-item]
        refiners,  # type: ignore[arg-type]
        meta={"revision": 0},
        askers={m: tuple(f"n{i:03d}" for i in range(40)) for m in MODALITIES},
    )
    alike = registry.resolve("ranker", "fusion")()
    nothing = np.empty(0, np.float32)
    empty = np.empty((0, len(out.columns)), np.float32)
    out.gates = {ALIKE: alike.fit(empty, nothing, np.empty(0, np.int64), nothing)}
    return out


def node(name: str, modality: str, text: str) -> Node:
    """A node whose content is its text; pictures and sounds have a title instead."""
    if modality == "text":
        return Node(name, modality, text=text, lang="en")
    # no picture has the bytes of a sound
    key = hashlib.sha256(f"{modality} {text}".encode()).hexdigest()
    return Node(name, modality, title=text, sha256=key, collection="c")


def fill(store: GraphStore, seed: int = 0, n: int = 40) -> None:
    """Nodes of all modalities and links at random, a category that has most of them."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(("audio", "image", "text"), n)
    nodes = [node(f"n{i:03d}", str(kinds[i]), f"word{i} of {i % 7}") for i in range(n)]
    nodes += [Node("cat:hub", "category", title="hub"), Node("cat:few", "category", title="few")]
    edges = [Edge(f"n{i:03d}", IN_CATEGORY, "cat:hub") for i in range(0, n, 2)]
    edges += [Edge(f"n{i:03d}", IN_CATEGORY, "cat:few") for i in range(0, n, 9)]
    for _ in range(2 * n):
        a, b = rng.integers(0, n, 2)
        kind = (DESCRIBES, RELATED_TO)[int(rng.integers(2))]
        edges.append(Edge(f"n{a:03d}", kind, f"n{b:03d}", float(rng.uniform(0.1, 2))))
    store.upsert(nodes, edges)


def live_of(store: GraphStore, config: Config, **options: object) -> Live:
    """Everything built anew from the store."""
    what = model(**options)  # type: ignore[arg-type]
    nothing = {b: np.zeros((0, DIM), np.float32) for b in what.aligners}
    embedded = Embedded((), nothing, nothing)
    return Live.load("v1", what, embedded, 0, store, config, primed=True)


def answers(live: Live, name: str, k: int = 200) -> dict[str, float]:
    """Ids and scores of what is found from one node, over all modalities."""
    row = live.row[name]
    raw = {b: x[[row]] for b, x in live.vectors.raw.items()}
    modality = live.modalities[live.modality.x[row]]
    queries = Queries(modality, raw, None, np.array([row]), modality)
    hits, _ = live.searcher.search(
        [Term("node", name, 1.0, queries)], ("image", "text", "audio"), k, Filter()
    )
    return {hit.id: hit.score for hit in hits}


def register(patch: pytest.MonkeyPatch) -> None:
    """Let models of these stages be saved and loaded, and pictures and sounds be words."""
    patch.setattr(media, "without_file", lambda node: TextContent(node.text or node.title or ""))
    for kind, name, cls in (("encoder", "hash", HashEncoder), ("aligner", "halves", Halves)):
        rows = {**registry._ROWS[kind], name: (f"{__name__}:{cls.__name__}", None)}
        patch.setitem(registry._ROWS, kind, rows)


TOPICS = 8


def topics(store: GraphStore, n: int = 120, linked: int = 60) -> None:
    """Texts and pictures of a few topics; the first texts describe pictures of their topic."""
    nodes = [node(f"img{i:03d}", "image", f"topic{i % TOPICS} picture {i}") for i in range(n)]
    nodes += [node(f"txt{i:03d}", "text", f"topic{i % TOPICS} text {i}") for i in range(n)]
    nodes += [Node(f"cat:{t}", "category", title=f"topic{t}") for t in range(TOPICS)]
    edges = [Edge(f"img{i:03d}", IN_CATEGORY, f"cat:{i % TOPICS}") for i in range(0, n, 3)]
    edges += [Edge(f"txt{i:03d}", IN_CATEGORY, f"cat:{i % TOPICS}") for i in range(0, n, 4)]
    store.upsert(nodes, [*edges, *descriptions(range(linked), n=n)])


def descriptions(rows: Iterable[int], shift: int = 0, n: int = 120) -> list[Edge]:
    """Text i describes picture i and the next of its topic; shifted, those of another topic."""
    return [
        Edge(f"txt{i:03d}", DESCRIBES, f"img{(i + step + shift) % n:03d}", origin="user")
        for i in rows
        for step in (0, TOPICS)
    ]


def served(store: GraphStore, path: Path, config: Config) -> Retriever:
    """A knowledge base over this store with the model above in service."""
    kb = Retriever(store, path, config)
    live = live_of(store, config, depth=1)
    live.model.meta["revision"] = store.revision
    embedded = live.embedded()
    refined = {b: live.refined(b)[[live.row[i] for i in embedded.ids]] for b in embedded.raw}
    kb.bundles.save(live.model, Embedded(embedded.ids, embedded.raw, refined))
    return kb
