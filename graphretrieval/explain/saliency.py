"""What the content similarity rests on, by leaving things out (occlusion, Zeiler & Fergus 2014).

Patches of a picture are painted over in its mean colour, words of a text are left out, stretches
of a sound are silenced; all variants go through the encoder in one batch. What is lost of the
similarity to the other side is what that place was worth. Any encoder can be asked so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from graphretrieval.errors import InputRefused
from graphretrieval.explain.explanation import Saliency
from graphretrieval.retriever import Retriever
from graphretrieval.retriever.model import Model, scaled
from graphretrieval.retriever.query import Posed, Term
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import (
    Array,
    AudioContent,
    Content,
    ImageContent,
    Modality,
    Node,
    TextContent,
)

#: Patches a side of a picture.
GRID = 7
#: Stretches of a sound, none shorter than SHORTEST seconds.
STRETCHES, SHORTEST = 16, 0.1
# words left out one by one of a text; of a longer one, runs of words
MOST_WORDS = 48
# a Han character, or a word of any other script
_WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W\u3400-\u9fff\uf900-\ufaff]+")

Places = tuple[tuple[float, ...], ...]


def saliency(
    kb: Retriever, model: Model, posed: Sequence[Posed], hit: Mapping[str, Array], node: Node
) -> tuple[list[Saliency], list[str]]:
    """What counts of the query's terms and of the hit; and notes about what could not be asked.

    Args:
        kb: says what files may be read.
        model: with its encoders.
        posed: the query's terms and their gates.
        hit: the hit's raw vectors ``(d_b,)`` by block.
        node: the hit.
    """
    measure, weights = _measure(model, posed)
    out: list[Saliency] = []
    notes: list[str] = []
    with MediaReader(Limits.of(kb.config)) as reader:
        for i, p in enumerate(posed):
            term = p.term
            of = _Side(model, [weights[i]], [hit])
            source = kb.store.get([term.value])[0] if term.kind == "node" else _node_of(term)
            _look(out, notes, reader, source, of, {"side": "query", "term": i, "measure": measure})
        asked = [{b: x[0] for b, x in p.term.queries.raw.items()} for p in posed]
        of = _Side(model, weights, asked)
        _look(out, notes, reader, node, of, {"side": "hit", "term": None, "measure": measure})
    return out, notes


def _measure(model: Model, posed: Sequence[Posed]) -> tuple[str, list[Array]]:
    """What is watched, and the weight of each block for each term."""
    total = sum(abs(p.term.weight) for p in posed)
    n = len(model.columns)
    weights = [
        p.gate.weights(n, p.known)[: len(model.aligners)] * (p.term.weight / total) for p in posed
    ]
    if any(np.abs(w).max(initial=0) > 0 for w in weights):
        return "content", [np.asarray(w, np.float32) for w in weights]
    alike = np.full(len(model.aligners), 1 / len(model.aligners), np.float32)
    return "likeness", [alike * np.float32(p.term.weight / total) for p in posed]


class _Side:
    """Similarity of variants of one side's content to what stands on the other side."""

    def __init__(
        self, model: Model, weights: Sequence[Array], others: Sequence[Mapping[str, Array]]
    ) -> None:
        self.model, self.weights, self.others = model, weights, others

    def __call__(self, modality: str, variants: Sequence[Content]) -> Array:
        """Similarity of each variant ``(v,)``; encoded in one batch."""
        features = self.model.encoders[modality].encode(variants)
        vectors = self.model.align(modality, np.asarray(features, np.float32))
        out = np.zeros(len(variants), np.float32)
        for i, block in enumerate(self.model.aligners):
            mine = scaled(block, vectors[block])
            for weight, other in zip(self.weights, self.others, strict=True):
                out += weight[i] * (mine @ other[block])
        return out


def _node_of(term: Term) -> Node:
    if term.kind == "text":
        return Node("query", "text", text=term.value)
    return Node("query", term.kind, uri=str(Path(term.value).resolve()))


def _look(
    out: list[Saliency],
    notes: list[str],
    reader: MediaReader,
    node: Node | None,
    of: _Side,
    about: Mapping[str, Any],
) -> None:
    """Look at one content, or note why that cannot be done."""
    if node is None or node.modality not in _VARIANTS:
        return
    what = f"the {about['side']}'s {node.modality}"
    if node.modality not in of.model.encoders:
        notes.append(f"{what} cannot be looked into: its vectors came with the collection")
        return
    content = next(iter(reader.load([node])))
    if isinstance(content, InputRefused):
        notes.append(f"{what} cannot be looked into: {content.problem}")
        return
    places, variants = _VARIANTS[node.modality](content)
    if not places:
        notes.append(f"{what} has nothing that could be left out")
        return
    values = of(node.modality, [content, *variants])
    out.append(
        Saliency(
            **about,
            modality=node.modality,
            places=places,
            drops=tuple(float(values[0] - v) for v in values[1:]),
            base=float(values[0]),
            text=content.text if isinstance(content, TextContent) else None,
            uri=node.uri,
            node=None if node.id == "query" else node.id,
        )
    )


def patches(content: ImageContent, grid: int = GRID) -> tuple[Places, list[Content]]:
    """Every patch of a picture, and the picture with that patch in its mean colour."""
    pixels = content.pixels
    high, wide = pixels.shape[:2]
    rows = np.linspace(0, high, min(grid, high) + 1).astype(int)
    columns = np.linspace(0, wide, min(grid, wide) + 1).astype(int)
    mean = pixels.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    places, variants = [], []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            hidden = pixels.copy()
            hidden[top:bottom, left:right] = mean
            places.append((left / wide, top / high, right / wide, bottom / high))
            variants.append(ImageContent(hidden))
    return tuple(places), list(variants)


def words_left_out(content: TextContent) -> tuple[Places, list[Content]]:
    """Every word (Han character) of a text, by its first and last character, and the rest."""
    spans = [m.span() for m in _WORD.finditer(content.text)]
    run = -(-len(spans) // MOST_WORDS) if spans else 1
    spans = [
        (spans[i][0], spans[min(i + run, len(spans)) - 1][1]) for i in range(0, len(spans), run)
    ]
    rest = [f"{content.text[:a]} {content.text[b:]}".strip() for a, b in spans]
    places = tuple((float(a), float(b)) for a, b in spans)
    return places, [TextContent(r, content.lang) for r in rest]


def stretches(content: AudioContent) -> tuple[Places, list[Content]]:
    """Every stretch of a sound in seconds, and the sound silent there."""
    n, rate = len(content.samples), content.rate
    count = max(1, min(STRETCHES, int(n / rate / SHORTEST)))
    bounds = np.linspace(0, n, count + 1).astype(int)
    places, variants = [], []
    for a, b in pairwise(bounds):
        silent = content.samples.copy()
        silent[a:b] = 0
        places.append((a / rate, b / rate))
        variants.append(AudioContent(silent, rate))
    return (tuple(places), list(variants)) if n else ((), [])


_VARIANTS: Mapping[str, Callable[[Any], tuple[Places, list[Content]]]] = {
    Modality.IMAGE: patches,
    Modality.TEXT: words_left_out,
    Modality.AUDIO: stretches,
}
