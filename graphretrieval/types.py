"""What travels between rooms: nodes, edges, paths, hits, and the graph as arrays.

Frozen dataclasses and numpy only. Arrays are float32 ``(n, dim)``; row i belongs to ``ids[i]``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from graphretrieval.errors import InvalidNode

Array: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
JSON: TypeAlias = Any  # what json.dumps takes

RELATION = re.compile(r"^[A-Z][A-Z0-9_]{0,63}\Z")
#: What a modality may be called.
MODALITY = re.compile(r"^[a-z][a-z0-9_-]{0,63}\Z")

DESCRIBES = "DESCRIBES"
IN_CATEGORY = "IN_CATEGORY"
SUBCATEGORY_OF = "SUBCATEGORY_OF"
PART_OF = "PART_OF"
NEXT = "NEXT"
RELATED_TO = "RELATED_TO"
SIMILAR_TO = "SIMILAR_TO"


class Modality(StrEnum):
    """The kinds of node the system itself knows; a collection may bring others (``object``)."""

    IMAGE = "image"
    TEXT = "text"
    AUDIO = "audio"
    SOURCE = "source"
    CATEGORY = "category"


#: What is searched unless something else is asked for.
SEARCHED = (Modality.IMAGE.value, Modality.TEXT.value, Modality.AUDIO.value)


@dataclass(frozen=True, slots=True)
class Node:
    """One vertex of the property graph: an item (image, text, audio), its source, or a category.

    ``id`` is the project's own and lasts; ``uri`` is the absolute path of the file the content
    lies in (``None`` for text kept inline). ``start`` and ``end`` place a fragment in its source,
    in ``unit`` (``seconds``, ``characters`` or ``page``). ``properties`` keeps unknown keys.
    """

    id: str
    modality: str
    uri: str | None = None
    sha256: str | None = None
    media_type: str | None = None
    title: str | None = None
    text: str | None = None
    lang: str | None = None
    start: float | None = None
    end: float | None = None
    unit: str | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    license: str | None = None
    collection: str | None = None
    properties: Mapping[str, JSON] = field(default_factory=dict, compare=True, hash=False)
    revision: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not self.id or len(self.id) > 1024 or any(c in self.id for c in "\0\r\n"):
            raise InvalidNode(
                f"a node's id must be 1 to 1024 characters on one line, not {self.id[:80]!r}",
                remedy="give the row an id of its own",
            )
        if not MODALITY.match(self.modality):
            raise InvalidNode(
                f"node {self.id!r} has modality {self.modality!r}, which is not a lower-case word",
                remedy="use image, text, audio, source, category or a lower-case word of your own",
            )


@dataclass(frozen=True, slots=True)
class Edge:
    """A typed, weighted, directed link; there is one per (src, type, dst).

    ``origin`` is who said so (``file``, ``user``, ``rule``, ``model``); ``status`` is
    ``asserted``, ``proposed`` or ``rejected``: only asserted edges are used.
    """

    src: str
    type: str
    dst: str
    weight: float = 1.0
    origin: str = "file"
    status: str = "asserted"
    revision: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not RELATION.match(self.type):
            raise InvalidNode(
                f"{self.type!r} is not a relation name (edge {self.src!r} → {self.dst!r})",
                remedy="use capital letters, digits and _, such as DESCRIBES or FOUND_IN",
            )
        if not (0.0 <= self.weight < float("inf")):
            raise InvalidNode(
                f"edge {self.src!r} -{self.type}→ {self.dst!r} has weight {self.weight}",
                remedy="give a finite weight of at least 0",
            )


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What is remembered of a file, so that an unchanged one costs a stat next time.

    ``refused`` holds the reason if the file could not be taken in.
    """

    uri: str
    size: int
    mtime_ns: int
    sha256: str = ""
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A handful of files read: committed in one transaction, acknowledged together.

    ``done`` counts the inputs (files or rows) looked at, for the progress bar. ``whole`` names
    files all of whose nodes are here: what such a file had before and has no more is to go.
    ``gone`` are ids that rows of a list were made into and no longer are.
    """

    nodes: Sequence[Node] = ()
    edges: Sequence[Edge] = ()
    files: Sequence[FileStamp] = ()
    done: int = 0
    whole: Sequence[str] = ()
    gone: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TextContent:
    """A text as an encoder sees it; ``lang`` is a code such as ``en`` or ``zh_CN``, if known."""

    text: str
    lang: str | None = None


@dataclass(frozen=True, slots=True)
class ImageContent:
    """A decoded picture: uint8 RGB ``(height, width, 3)``, transparency laid on white."""

    pixels: npt.NDArray[np.uint8] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AudioContent:
    """A decoded mono recording: float32 ``(samples,)`` in [-1, 1] at ``rate`` Hz."""

    samples: Array = field(compare=False, repr=False)
    rate: int = 16000


Content: TypeAlias = TextContent | ImageContent | AudioContent


@dataclass(frozen=True, slots=True)
class Step:
    """One edge walked along; ``direction`` is ``out`` along the arrow, ``in`` against it."""

    type: str
    direction: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Path:
    """The way from a query to a hit: ``nodes[0] -steps[0]→ nodes[1] …``.

    For a query that is itself no node, ``anchor`` says how the first node was reached
    (``similar`` or ``lexical``) and ``anchor_weight`` how strongly.
    """

    nodes: tuple[str, ...]
    steps: tuple[Step, ...]
    strength: float = 1.0
    anchor: str | None = None
    anchor_weight: float = 1.0

    def to_json(self) -> list[dict[str, JSON]]:
        """The path as ``search --json`` prints it."""
        out: list[dict[str, JSON]] = []
        if self.anchor is not None:
            out += [
                {"query": True},
                {"anchor": self.anchor, "weight": round(self.anchor_weight, 4)},
            ]
        for i, node in enumerate(self.nodes):
            out.append({"node": node})
            if i < len(self.steps):
                out.append({"edge": self.steps[i].type, "direction": self.steps[i].direction})
        return out


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer: the node, its score, the parts that add up to it, and the best path to it.

    ``confidence`` is the calibrated probability that the hit is right, where it is known.
    ``source`` is the id of the document or recording a fragment was cut from.
    """

    node: Node
    score: float
    parts: Mapping[str, float] = field(hash=False)
    path: Path | None = None
    confidence: float | None = None
    source: str | None = None

    @property
    def id(self) -> str:
        """The node's id."""
        return self.node.id

    def to_json(self) -> dict[str, JSON]:
        """The hit as ``search --json`` prints it; the parts add up to the score."""
        node = self.node
        out: dict[str, JSON] = {
            "id": node.id,
            "modality": node.modality,
            "title": node.title,
            "text": node.text,
            "uri": node.uri,
            "lang": node.lang,
            "license": node.license,
            "collection": node.collection,
            "score": round(self.score, 6),
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "parts": {name: round(value, 6) for name, value in self.parts.items()},
            "path": self.path.to_json() if self.path else [],
        }
        if node.start is not None:
            out["place"] = {
                "source": self.source,
                "start": node.start,
                "end": node.end,
                "unit": node.unit,
            }
        return out


@dataclass(frozen=True, slots=True)
class Answer:
    """The ranked hits of one query, and the model and data they were made from."""

    query: Mapping[str, JSON] = field(hash=False)
    hits: tuple[Hit, ...]
    model: str | None
    revision: int
    degraded: bool = False
    no_match: bool = False

    def to_json(self) -> dict[str, JSON]:
        """The answer as ``search --json`` prints it."""
        out: dict[str, JSON] = {
            "query": dict(self.query),
            "model": self.model,
            "revision": self.revision,
            "degraded": self.degraded,
            "hits": [hit.to_json() for hit in self.hits],
        }
        if self.no_match:
            out["no_match"] = True
        return out


@dataclass(frozen=True)
class Graph:
    """The property graph as arrays, at one revision: what learning and path search run on.

    Node i is ``ids[i]`` of ``modalities[modality[i]]``; edge j runs ``src[j] → dst[j]`` and is of
    ``relations[relation[j]]``. Only asserted edges are here. Rows follow ``ids``' order, which is
    sorted, so that it never depends on the order files were read in.
    """

    ids: Sequence[str] = field(compare=False, repr=False)
    modalities: tuple[str, ...]
    modality: npt.NDArray[np.int16] = field(compare=False, repr=False)  # (n,)
    relations: tuple[str, ...]
    src: npt.NDArray[np.int32] = field(compare=False, repr=False)  # (m,)
    dst: npt.NDArray[np.int32] = field(compare=False, repr=False)  # (m,)
    relation: npt.NDArray[np.int16] = field(compare=False, repr=False)  # (m,)
    weight: Array = field(compare=False, repr=False)  # (m,)
    revision: int = 0

    @cached_property
    def row(self) -> dict[str, int]:
        """id → row."""
        return {name: i for i, name in enumerate(self.ids)}

    def rows_of(self, modality: str) -> Ints:
        """Rows of one modality, ascending."""
        if modality not in self.modalities:
            return np.empty(0, np.int64)
        return np.flatnonzero(self.modality == self.modalities.index(modality))

    def edges_of(self, relation: str) -> Ints:
        """Positions of one relation's edges, ascending."""
        if relation not in self.relations:
            return np.empty(0, np.int64)
        return np.flatnonzero(self.relation == self.relations.index(relation))

    def with_edges(self, keep: Bools | Ints) -> Graph:
        """The same nodes with only the edges that ``keep`` selects."""
        return Graph(
            self.ids,
            self.modalities,
            self.modality,
            self.relations,
            self.src[keep],
            self.dst[keep],
            self.relation[keep],
            self.weight[keep],
            self.revision,
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a store after a revision: upserts, and tombstones without content."""

    revision: int
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    deleted_nodes: tuple[str, ...] = ()
    deleted_edges: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Space:
    """A space that stored vectors live in: those of two spaces cannot be compared.

    ``norm`` is the greatest length M of an item's vector, or 0 where lengths do not matter;
    ``signature`` says what made the vectors (encoders, aligners, refiner, their state).
    """

    name: str
    dim: int
    signature: str
    norm: float = 0.0
    modalities: tuple[str, ...] = SEARCHED


@dataclass(frozen=True)
class State:
    """What a learned stage remembers: arrays for safetensors, settings for JSON. Never pickle."""

    arrays: Mapping[str, npt.NDArray[Any]] = field(compare=False, repr=False)
    settings: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True)
class Supervision:
    """What is known to belong together, for aligners to learn from.

    ``labels[m]`` is a 0/1 matrix ``(n_m, n_categories)``: rows of zeros are unlabelled.
    ``pairs[a, b]`` is ``(p, 2)``: row of modality a, row of modality b, from ``DESCRIBES`` edges.
    ``validation[m]`` marks the rows kept from fitting and used to choose settings; ``unseen[m]``
    those of them that questions are asked with, which not even encoders were fitted on.
    ``names`` are the categories' names, row order of the label columns. ``families`` is
    ``(n_categories,)``: categories of one number are kinds of the same, and may borrow from each
    other; empty where nothing is known of that.
    """

    labels: Mapping[str, Array] = field(compare=False, repr=False, default_factory=dict)
    pairs: Mapping[tuple[str, str], Ints] = field(compare=False, repr=False, default_factory=dict)
    validation: Mapping[str, Bools] = field(compare=False, repr=False, default_factory=dict)
    unseen: Mapping[str, Bools] = field(compare=False, repr=False, default_factory=dict)
    names: tuple[str, ...] = ()
    families: Ints = field(compare=False, repr=False, default_factory=lambda: np.empty(0, np.int64))
