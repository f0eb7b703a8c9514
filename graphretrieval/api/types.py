"""GraphQL types: nodes, edges, paths, hits and what is said about the collection."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import quote

import strawberry
from strawberry.scalars import JSON
from strawberry.types import Info as StrawberryInfo

from graphretrieval import types as graph
from graphretrieval.api.auth import Caller
from graphretrieval.api.explanation import explain
from graphretrieval.api.loaders import Loaders, in_language
from graphretrieval.api.problems import Refused
from graphretrieval.api.service import Service
from graphretrieval.errors import QueryError

Info = StrawberryInfo[Any, Any]
Id = Annotated[strawberry.ID, strawberry.argument(description="Id of a node.")]


@dataclass
class Context:
    """What one request's resolvers share."""

    service: Service
    caller: Caller
    loaders: Loaders = field(init=False)

    def __post_init__(self) -> None:
        self.loaders = Loaders(self.service)


def context(info: Info) -> Context:
    """The request's context."""
    found: Context = info.context
    return found


def bounded(name: str, value: int, most: int) -> int:
    """A count that a client gave.

    Raises:
        QueryError: it is below 1 or too great.
    """
    if not 1 <= value <= most:
        raise QueryError(f"{name} is {value}", remedy=f"give 1 to {most}")
    return value


@strawberry.type(description="A link seen from one of its ends.")
class Edge:
    """A graph edge; its ends are loaded when asked for."""

    type: str = strawberry.field(description="Name of the relation, such as DESCRIBES.")
    weight: float
    origin: str = strawberry.field(description="Who said so: file, user, rule or model.")
    source_id: strawberry.ID
    target_id: strawberry.ID

    @strawberry.field(description="Where the link begins.")
    async def source(self, info: Info) -> Node | None:
        """Loaded with all others of the page."""
        return node_of(await context(info).loaders.node.load(self.source_id))

    @strawberry.field(description="Where the link ends.")
    async def target(self, info: Info) -> Node | None:
        """Loaded with all others of the page."""
        return node_of(await context(info).loaders.node.load(self.target_id))


@strawberry.type(description="An image, text, sound, source or category of the graph.")
class Node:
    """A node as clients see it: no path of the server's disk."""

    raw: strawberry.Private[graph.Node]
    id: strawberry.ID
    modality: str = strawberry.field(description="image, text, audio, source, category, or other.")
    title: str | None
    text: str | None
    lang: str | None = strawberry.field(description="Language code, such as en or zh_CN.")
    media_type: str | None
    width: int | None
    height: int | None
    duration: float | None = strawberry.field(description="Length in seconds.")
    start: float | None = strawberry.field(description="Where a fragment begins in its source.")
    end: float | None
    unit: str | None = strawberry.field(description="What start and end count.")
    license: str | None
    collection: str | None
    properties: JSON

    @strawberry.field(description="Where the content can be fetched, relative to the service.")
    def uri(self) -> str | None:
        """Only files have one."""
        return f"/api/media?id={quote(self.id, safe='')}" if self.raw.uri else None

    @strawberry.field(description="A small picture of it, for images.")
    def thumbnail(self, side: int = 256) -> str | None:
        """Made when fetched."""
        if self.modality != "image" or not self.raw.uri:
            return None
        return f"/api/thumbnail?id={quote(self.id, safe='')}&side={side}"

    @strawberry.field(description="The best description in a language, else in English.")
    async def description(self, info: Info, lang: str | None = None) -> str | None:
        """A text's own words; of others what texts say of them, or of what they describe."""
        return await context(info).loaders.said(self.raw, lang)

    @strawberry.field(description="Texts that describe it, those in the language first.")
    async def descriptions(self, info: Info, lang: str | None = None, first: int = 5) -> list[Node]:
        """From the graph, not guessed."""
        found = in_language(await context(info).loaders.descriptions(self.id), lang)
        return nodes_of(found[: bounded("first", first, 100)])

    @strawberry.field(description="Categories it is in.")
    async def categories(self, info: Info) -> list[Node]:
        """Directly, not those above."""
        return nodes_of(await context(info).loaders.categories(self.id))

    @strawberry.field(description="The document or recording a fragment was cut from.")
    async def source(self, info: Info) -> Node | None:
        """By its PART_OF edge."""
        loaders = context(info).loaders
        edges = await loaders.edges.load((self.id, (graph.PART_OF,), "out", 1))
        return node_of(await loaders.node.load(edges[0].dst)) if edges else None

    @strawberry.field(description="Its links, strongest first.")
    async def neighbours(
        self,
        info: Info,
        types: list[str] | None = None,
        direction: str = "both",
        first: int = 20,
    ) -> list[Edge]:
        """Of all nodes of a page in one call."""
        return await neighbours(info, self.id, types, direction, first)


async def neighbours(
    info: Info, ident: str, types: Sequence[str] | None, direction: str, first: int
) -> list[Edge]:
    """A node's links.

    Raises:
        QueryError: the direction or the number is none.
    """
    if direction not in ("both", "in", "out"):
        raise QueryError(f"direction is {direction[:20]!r}", remedy="choose both, in or out")
    wanted = None if types is None else tuple(sorted({t.upper() for t in types}))
    asked = (ident, wanted, direction, bounded("first", first, 200))
    return [edge_of(e) for e in await context(info).loaders.edges.load(asked)]


def edge_of(e: graph.Edge) -> Edge:
    """An edge as a GraphQL value."""
    return Edge(
        type=e.type,
        weight=e.weight,
        origin=e.origin,
        source_id=strawberry.ID(e.src),
        target_id=strawberry.ID(e.dst),
    )


def node_of(n: graph.Node | None) -> Node | None:
    """A node as a GraphQL value."""
    return None if n is None else nodes_of([n])[0]


def nodes_of(nodes: Sequence[graph.Node]) -> list[Node]:
    """Nodes as GraphQL values."""
    return [
        Node(
            raw=n,
            id=strawberry.ID(n.id),
            modality=n.modality,
            title=n.title,
            text=n.text,
            lang=n.lang,
            media_type=n.media_type,
            width=n.width,
            height=n.height,
            duration=n.duration,
            start=n.start,
            end=n.end,
            unit=n.unit,
            license=n.license,
            collection=n.collection,
            properties=JSON(dict(n.properties)),
        )
        for n in nodes
    ]


@strawberry.type(description="One edge walked along.")
class Step:
    """``out`` along the arrow, ``in`` against it."""

    type: str
    direction: str
    weight: float


@strawberry.type(description="How a hit was reached: nodes, and the edges between them.")
class Path:
    """Nodes are loaded for all paths of a page together."""

    ids: strawberry.Private[tuple[str, ...]]
    edges: list[Step]
    strength: float
    anchor: str | None = strawberry.field(
        description="How the first node was reached from the query: similar, lexical or itself."
    )
    anchor_weight: float

    @strawberry.field(description="The nodes walked over, the hit last.")
    async def nodes(self, info: Info) -> list[Node]:
        """In order."""
        return nodes_of(await context(info).loaders.nodes(self.ids))


def path_of(p: graph.Path | None) -> Path | None:
    """A path as a GraphQL value."""
    if p is None:
        return None
    steps = [Step(type=s.type, direction=s.direction, weight=s.weight) for s in p.steps]
    return Path(
        ids=p.nodes,
        edges=steps,
        strength=p.strength,
        anchor=p.anchor,
        anchor_weight=p.anchor_weight,
    )


@strawberry.type(description="What a part of the evidence adds to the score.")
class Part:
    """content, graph, path or lexical."""

    name: str
    value: float


@strawberry.type(description="The model that answered.")
class ModelRef:
    """Its version; `models` says more."""

    version: str


@strawberry.type(description="A hit: the node, its score, and why.")
class Hit:
    """The parts add up to the score."""

    raw: strawberry.Private[graph.Hit]
    cursor: str
    score: float
    confidence: float | None = strawberry.field(
        description="Calibrated probability that the hit is right."
    )
    parts: list[Part]
    path: Path | None
    node: Node

    @strawberry.field(description="Why it was found, in a sentence (en or zh).")
    async def explanation(self, info: Info, lang: str = "en") -> str:
        """Made of the parts and the path, nothing else."""
        loaders, path = context(info).loaders, self.raw.path
        nodes = await loaders.nodes(path.nodes) if path else []
        names = await asyncio.gather(*(loaders.said(n, lang) for n in nodes))
        called = [s or n.title or n.id for n, s in zip(nodes, names, strict=True)]
        return explain(self.raw, called, lang)


@strawberry.type(description="Whether there is more, and where it begins.")
class PageInfo:
    """As Relay has it."""

    has_next_page: bool
    end_cursor: str | None


@strawberry.type(description="A page of hits.")
class SearchConnection:
    """As Relay has it, with the model and data it was made from."""

    edges: list[Hit]
    page_info: PageInfo
    model: ModelRef | None
    revision: int
    degraded: bool = strawberry.field(description="Some part did not answer; the rest did.")
    no_match: bool = strawberry.field(description="Nothing is good enough; these are nearest.")
    seconds: float


def page_of(
    answer: graph.Answer, start: int, first: int, fingerprint: str, seconds: float
) -> SearchConnection:
    """Hits ``start … start + first`` of an answer."""
    shown = answer.hits[start : start + first]
    edges = [
        Hit(
            raw=hit,
            cursor=_cursor(fingerprint, start + i, hit.id),
            score=hit.score,
            confidence=hit.confidence,
            parts=[Part(name=n, value=v) for n, v in hit.parts.items()],
            path=path_of(hit.path),
            node=nodes_of([hit.node])[0],
        )
        for i, hit in enumerate(shown)
    ]
    return SearchConnection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=len(answer.hits) > start + first,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        model=ModelRef(version=answer.model) if answer.model else None,
        revision=answer.revision,
        degraded=answer.degraded,
        no_match=answer.no_match,
        seconds=seconds,
    )


def _cursor(fingerprint: str, position: int, ident: str) -> str:
    row = json.dumps([fingerprint, position, ident], ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(row).decode().rstrip("=")


def read_cursor(cursor: str, fingerprint: str) -> tuple[int, str]:
    """The position and node a cursor stands for.

    Raises:
        Refused: it is none, or another query's.
    """
    try:
        found, position, ident = json.loads(base64.urlsafe_b64decode(cursor + "=" * 3))
        ok = isinstance(position, int) and isinstance(ident, str) and position >= 0
    except (ValueError, TypeError, RecursionError):
        found, ok = None, False
    if not ok or found != fingerprint:
        raise Refused(
            "BAD_CURSOR",
            400,
            "the cursor is not of this query",
            remedy="begin again without `after`; a cursor fits the query that gave it",
        )
    return position, ident
