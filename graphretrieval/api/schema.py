"""The GraphQL queries, and the schema that joins them with mutations and subscriptions."""

from __future__ import annotations

import hashlib
import time
from functools import partial
from typing import Any

import strawberry
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig

from graphretrieval.api import living
from graphretrieval.api.categories import Tree, tree
from graphretrieval.api.layouts import surroundings
from graphretrieval.api.loaders import in_language
from graphretrieval.api.mutations import Mutation, Subscription
from graphretrieval.api.service import MOST, Service
from graphretrieval.api.types import (
    Context,
    Edge,
    Info,
    Node,
    Path,
    SearchConnection,
    bounded,
    context,
    edge_of,
    neighbours,
    node_of,
    nodes_of,
    page_of,
    path_of,
    read_cursor,
)
from graphretrieval.errors import QueryError, UnknownNode
from graphretrieval.retriever.zeroshot import classify
from graphretrieval.types import SEARCHED, Answer, Hit

TERMS = 12
#: Longest words and ids of a query, as REST has them.
WORDS, ID = 2000, 1024
#: Weights of a term, above or below 0: what counts is how they stand to each other.
LEAST, MOST_WEIGHT = 0.001, 1000.0
#: How deep a ranking is looked for at first, for whatever page: a greater one costs a fifth more.
DEPTH = 128


@strawberry.input(description="One part of a query: exactly one of text, node and upload.")
class TermInput:
    """A negative weight keeps away from it."""

    text: str | None = None
    node: strawberry.ID | None = None
    upload: strawberry.ID | None = None
    weight: float = 1.0


@strawberry.input(description="What hits must be.")
class FilterInput:
    """Applied before ranking."""

    category: str | None = strawberry.field(default=None, description="In it or below it.")
    lang: str | None = strawberry.field(default=None, description="zh also finds zh_CN.")
    collection: str | None = None
    license: str | None = None


@strawberry.input(description="A query: words, nodes and uploads together.")
class SearchInput:
    """The short forms text, node and upload are terms of weight 1."""

    text: str | None = None
    node: strawberry.ID | None = None
    upload: strawberry.ID | None = None
    terms: list[TermInput] = strawberry.field(default_factory=list)
    targets: list[str] = strawberry.field(
        default_factory=list, description="image, text, audio; all of them if empty."
    )
    filter: FilterInput | None = None
    k: int = strawberry.field(default=10, description="Hits on a page, 1 to 100.")
    after: str | None = strawberry.field(default=None, description="Cursor of the last hit seen.")
    diversity: float = strawberry.field(
        default=0.0,
        description="How much being unlike earlier hits counts, 0 to 1; then there is one page.",
    )


@strawberry.type(description="A node's surroundings, laid out.")
class PlacedNode:
    """x and y lie in [-1, 1]."""

    node: Node
    x: float
    y: float
    hop: int


@strawberry.type(description="Nodes and edges around a node, ready to be drawn.")
class Neighbourhood:
    """The centre is at the origin."""

    nodes: list[PlacedNode]
    edges: list[Edge]
    left_out: int = strawberry.field(description="Links that there was no room for.")


@strawberry.type(description="How many.")
class Count:
    """Of one modality or relation."""

    name: str
    count: int


@strawberry.type(description="A subject, with what is in it.")
class Category:
    """Counts come from the graph."""

    tree: strawberry.Private[Tree]
    id: strawberry.ID
    title: str

    @strawberry.field(description="The category above.")
    def parent(self) -> Category | None:
        """None at the top."""
        above = self.tree.parents.get(self.id)
        return _category(self.tree, above) if above else None

    @strawberry.field(description="Categories below, by title.")
    def children(self, first: int = 50) -> list[Category]:
        """Directly."""
        found = self.tree.children[self.id][: bounded("first", first, 200)]
        return [_category(self.tree, c) for c in found]

    @strawberry.field(description="Items directly in it.")
    def items(self) -> list[Count]:
        """By modality."""
        return _counts(self.tree.items[self.id])

    @strawberry.field(description="A picture to stand for it.")
    async def cover(self, info: Info) -> Node | None:
        """The first in it, or below."""
        ident = self.tree.covers.get(self.id)
        return node_of(await context(info).loaders.node.load(ident)) if ident else None

    @strawberry.field(description="Items in it or below.")
    def total(self) -> list[Count]:
        """By modality."""
        return _counts(self.tree.total[self.id])


@strawberry.type(description="A label and how well it fits.")
class Label:
    """Shares of all labels given add up to 1."""

    label: str
    score: float
    share: float


@strawberry.type(description="A fragment that answers a question, and where it stands.")
class Citation:
    """The text is the collection's own; nothing is made up."""

    text: str
    node: Node
    source: Node | None
    about: list[Node] = strawberry.field(description="What the text describes.")
    score: float
    confidence: float | None
    path: Path | None


@strawberry.type(description="Fragments that answer a question.")
class AskResult:
    """``no_match`` says that none is good enough."""

    citations: list[Citation]
    no_match: bool


@strawberry.type(description="A description found for a picture or sound.")
class Caption:
    """``known`` says that the graph holds it for this very item."""

    text: str
    lang: str | None
    score: float
    known: bool
    node: Node


@strawberry.type(description="What is in the collection.")
class Stats:
    """At one revision."""

    nodes: list[Count]
    edges: list[Count]
    revision: int
    model: str | None


@strawberry.type(description="How well one direction was answered on held-out links.")
class Direction:
    """Mean average precision of each part alone and of all together."""

    source: str
    target: str
    relevance: str
    queries: int
    gallery: int
    map: float
    parts: JSON


@strawberry.type(description="A version of what was learned.")
class Model:
    """One is in service."""

    version: str
    in_service: bool
    revision: int
    seed: int
    seconds: float | None
    created: str | None
    parent: str | None = strawberry.field(description="The version it was learned on from.")
    directions: list[Direction]


@strawberry.type(description="A link that the model thinks is missing.")
class Proposal:
    """Accepted or rejected by a person."""

    id: strawberry.ID
    type: str
    confidence: float = strawberry.field(description="Calibrated probability that it is true.")
    reasons: list[str]
    source_id: strawberry.Private[str]
    target_id: strawberry.Private[str]

    @strawberry.field(description="Where the link would begin.")
    async def source(self, info: Info) -> Node | None:
        """Loaded with all others of the page."""
        return node_of(await context(info).loaders.node.load(self.source_id))

    @strawberry.field(description="Where the link would end.")
    async def target(self, info: Info) -> Node | None:
        """Loaded with all others of the page."""
        return node_of(await context(info).loaders.node.load(self.target_id))


@strawberry.type(description="Read the collection.")
class Query:
    """Everything that changes nothing."""

    @strawberry.field(description="Rank items for words, nodes and uploads together.")
    async def search(self, info: Info, input: SearchInput) -> SearchConnection:
        """A Relay-style connection; the cursor fits the query that gave it."""
        return await _search(context(info).service, input)

    @strawberry.field(description="A node by its id.")
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        """Null if there is none."""
        return node_of(await context(info).loaders.node.load(id))

    @strawberry.field(description="Nodes by their ids, in order, null where there is none.")
    async def nodes(self, info: Info, ids: list[strawberry.ID]) -> list[Node | None]:
        """In one store call."""
        bounded("the number of ids", len(ids), 200)
        found = await context(info).loaders.node.load_many(list(ids))
        return [node_of(n) for n in found]

    @strawberry.field(description="Links of a node, strongest first.")
    async def neighbours(
        self,
        info: Info,
        id: strawberry.ID,
        types: list[str] | None = None,
        direction: str = "both",
        first: int = 20,
    ) -> list[Edge]:
        """Only asserted ones."""
        return await neighbours(info, id, types, direction, first)

    @strawberry.field(description="A node's surroundings with coordinates to draw them at.")
    async def neighbourhood(
        self,
        info: Info,
        id: strawberry.ID,
        hops: int = 1,
        limit: int = 40,
        lang: str | None = None,
    ) -> Neighbourhood:
        """Laid out by networkx."""
        ctx = context(info)
        if await ctx.loaders.node.load(id) is None:
            raise UnknownNode(f"no node is called {id!r}", remedy="check the id")
        bounded("hops", hops, 3)
        bounded("limit", limit, 150)
        layout = await ctx.service.read(
            surroundings, ctx.service.kb.store, id, hops=hops, limit=limit, lang=lang
        )
        nodes = await ctx.loaders.nodes(list(layout.at))
        placed = [
            PlacedNode(node=nodes_of([n])[0], x=x, y=y, hop=layout.hop[n.id])
            for n in nodes
            for x, y in [layout.at[n.id]]
        ]
        return Neighbourhood(
            nodes=placed, edges=[edge_of(e) for e in layout.edges], left_out=layout.left_out
        )

    @strawberry.field(description="A shortest path between two nodes, links walked either way.")
    async def paths(
        self,
        info: Info,
        sources: list[strawberry.ID],
        targets: list[strawberry.ID],
        max_hops: int = 3,
    ) -> list[Path | None]:
        """One for each pair (sources[i], targets[i]); null where there is none."""
        if len(sources) != len(targets):
            raise QueryError(
                f"{len(sources)} sources and {len(targets)} targets", remedy="give as many of each"
            )
        bounded("the number of pairs", len(sources), 50)
        bounded("maxHops", max_hops, 6)
        asked = [(str(s), str(t), max_hops) for s, t in zip(sources, targets, strict=True)]
        return [path_of(p) for p in await context(info).loaders.path.load_many(asked)]

    @strawberry.field(description="Categories: those at the top, or one by its id.")
    async def categories(
        self, info: Info, id: strawberry.ID | None = None, first: int = 50
    ) -> list[Category]:
        """With their counts."""
        found = await context(info).service.read(_tree, context(info).service)
        bounded("first", first, 1000)
        if id is not None and id not in found.titles:
            raise UnknownNode(f"no category is called {id!r}", remedy="ask without an id first")
        wanted = found.roots() if id is None else [str(id)]
        return [_category(found, c) for c in wanted[:first]]

    @strawberry.field(description="How well each label fits an item, without training for them.")
    async def classify(
        self,
        info: Info,
        labels: list[str],
        node: strawberry.ID | None = None,
        text: str | None = None,
        upload: strawberry.ID | None = None,
    ) -> list[Label]:
        """Likeliest first."""
        service = context(info).service
        kind, value = _one_of(service, text, node, upload)
        _short("text" if kind == "text" else "node", value)
        for label in labels:
            _short("label", label)
        found = await service.work(_classify, service, kind, value, labels)
        return [Label(label=x.label, score=x.score, share=x.share) for x in found]

    @strawberry.field(description="Items like those liked and unlike those disliked.")
    async def recommend(
        self,
        info: Info,
        liked: list[strawberry.ID],
        disliked: list[strawberry.ID] | None = None,
        targets: list[str] | None = None,
        k: int = 10,
        after: str | None = None,
    ) -> SearchConnection:
        """A search by several nodes."""
        terms = [TermInput(node=i) for i in liked]
        terms += [TermInput(node=i, weight=-0.5) for i in disliked or ()]
        asked = SearchInput(terms=terms, targets=targets or [], k=k, after=after)
        return await _search(context(info).service, asked)

    @strawberry.field(description="The fragments that answer a question best, with citations.")
    async def ask(
        self,
        info: Info,
        question: str | None = None,
        upload: strawberry.ID | None = None,
        lang: str | None = None,
        k: int = 5,
    ) -> AskResult:
        """The question in words, as a recording, with a picture, or both."""
        ctx = context(info)
        asked = SearchInput(
            text=question,
            upload=upload,
            targets=["text"],
            filter=FilterInput(lang=lang) if lang else None,
            k=bounded("k", k, 20),
        )
        page = await _search(ctx.service, asked)
        return AskResult(
            citations=[await _citation(ctx, e.raw, e.path) for e in page.edges],
            no_match=page.no_match,
        )

    @strawberry.field(description="Descriptions for a picture or sound: known ones, then found.")
    async def caption(
        self,
        info: Info,
        node: strawberry.ID | None = None,
        upload: strawberry.ID | None = None,
        lang: str | None = None,
        k: int = 5,
    ) -> list[Caption]:
        """Retrieved, never generated."""
        ctx = context(info)
        _one_of(ctx.service, None, node, upload)
        bounded("k", k, 20)
        known = [] if node is None else await ctx.loaders.descriptions(node)
        mine = [n for n in in_language(known, lang) if lang is None or _speaks(n.lang, lang)]
        out = [
            Caption(text=n.text or "", lang=n.lang, score=1.0, known=True, node=nodes_of([n])[0])
            for n in mine[:k]
        ]
        if len(out) < k:
            where = FilterInput(lang=lang) if lang else None
            asked = SearchInput(node=node, upload=upload, targets=["text"], filter=where, k=k)
            page = await _search(ctx.service, asked)
            seen = {c.text for c in out}
            out += [
                Caption(text=e.node.text, lang=e.node.lang, score=e.score, known=False, node=e.node)
                for e in page.edges
                if e.node.text and e.node.text not in seen
            ]
        return out[:k]

    @strawberry.field(description="Counts of what is in the store.")
    async def stats(self, info: Info) -> Stats:
        """At the newest revision."""
        service = context(info).service
        about = await service.read(service.kb.info)
        return Stats(
            nodes=_counts(about["nodes"]),
            edges=_counts(about["edges"]),
            revision=about["revision"],
            model=about["model"],
        )

    @strawberry.field(description="Versions of the model, newest first, with their measurements.")
    async def models(self, info: Info, first: int = 20) -> list[Model]:
        """As they were judged when they were learned."""
        service = context(info).service
        bounded("first", first, 200)
        rows = await service.read(living.models, service.kb)
        return [_model(r) for r in rows[:first]]

    @strawberry.field(description="Proposed links that wait for a decision, the surest first.")
    async def proposals(
        self, info: Info, type: str | None = None, first: int = 20
    ) -> list[Proposal]:
        """The mutation ``propose`` looks for more."""
        service = context(info).service
        bounded("first", first, 200)
        wanted = type.upper() if type else None
        return [
            Proposal(
                id=strawberry.ID(p.id),
                type=p.type,
                confidence=p.confidence,
                reasons=list(p.reasons),
                source_id=p.src,
                target_id=p.dst,
            )
            for p in await service.read(service.inbox.waiting, wanted, first)
        ]


def _model(row: dict[str, Any]) -> Model:
    meta = row["meta"]
    directions = [
        Direction(
            source=source,
            target=target,
            relevance=relevance,
            queries=judged["queries"],
            gallery=judged["gallery"],
            map=judged["map_fused"],
            parts=JSON(judged["map"]),
        )
        for name, judged in (meta.get("validation") or {}).items()
        for source, target, relevance in [name.split(">")]
    ]
    return Model(
        version=row["version"],
        in_service=row["in_service"],
        revision=int(meta.get("revision", 0)),
        seed=int(meta.get("seed", 0)),
        seconds=meta.get("seconds"),
        created=row.get("created"),
        parent=meta.get("parent"),
        directions=directions,
    )


def _short(name: str, value: str) -> None:
    """Refuse what is longer than a query needs: reading it takes a core as long as it is.

    Raises:
        QueryError: with how long it is.
    """
    most = ID if name == "node" else WORDS
    if len(value) > most:
        raise QueryError(
            f"a {name} has {len(value)} characters", remedy=f"give at most {most} characters"
        )


def _classify(service: Service, kind: str, value: str, labels: list[str]) -> Any:
    service.newest()
    return classify(service.kb, kind, value, labels)


def _one_of(
    service: Service, text: str | None, node: str | None, upload: str | None
) -> tuple[str, str]:
    """The kind and value of the one thing given.

    Raises:
        QueryError: none or several were given.
    """
    given = [(k, v) for k, v in (("text", text), ("node", node), ("upload", upload)) if v]
    if len(given) != 1:
        raise QueryError(
            f"{len(given)} of text, node and upload were given", remedy="give exactly one"
        )
    kind, value = given[0]
    if kind == "upload":
        found = service.uploads.get(value)
        return found.modality, str(found.path)
    return kind, value


async def _search(service: Service, asked: SearchInput) -> SearchConnection:
    """A page of a ranking; what comes after a cursor is found by the node it names."""
    bounded("k", asked.k, 100)
    query = _query(service, asked)
    fingerprint = hashlib.sha256(repr(sorted(query.items())).encode()).hexdigest()[:16]
    position, last = -1, ""
    if asked.after is not None:
        position, last = read_cursor(asked.after, fingerprint)
        if asked.diversity:
            raise QueryError(
                "a diverse answer has one page: what is unlike depends on how many hits there are",
                remedy="ask for a greater k without after",
            )
    started = time.perf_counter()
    if asked.diversity:
        answer, start = await service.work(partial(service.answer, asked.k, **query)), 0
    else:
        answer, start = await _ranked(service, query, position + 1, last, asked.k)
    return page_of(answer, start, asked.k, fingerprint, time.perf_counter() - started)


async def _ranked(
    service: Service, query: dict[str, Any], start: int, last: str, k: int
) -> tuple[Answer, int]:
    """A ranking, and where in it a page of ``k`` begins that comes after ``last``.

    All pages are cut from one ranking: those looked for to another depth may differ in order. Only
    what lies beyond it is looked for in a deeper one.
    """
    for depth in (DEPTH, MOST) if start + k < DEPTH else (MOST,):
        answer = await service.work(partial(service.answer, depth, **query))
        ids = [hit.id for hit in answer.hits]
        # links may have been added meanwhile: go on after the same node, wherever it is now
        found = not last or last in ids
        start = ids.index(last) + 1 if last and found else start
        # one more than the page, to know whether there is more
        if len(ids) < depth or (found and start + k < depth):
            break
    return answer, start


def _query(service: Service, asked: SearchInput) -> dict[str, Any]:
    """Arguments of the knowledge base's search."""
    short = (("text", asked.text), ("node", asked.node), ("upload", asked.upload))
    given = [(kind, str(v), 1.0) for kind, v in short if v]
    for term in asked.terms:
        found = [
            (kind, str(v))
            for kind, v in (("text", term.text), ("node", term.node), ("upload", term.upload))
            if v
        ]
        if len(found) != 1:
            raise QueryError(
                f"a term has {len(found)} of text, node and upload", remedy="give exactly one"
            )
        if not LEAST <= abs(term.weight) <= MOST_WEIGHT:
            raise QueryError(
                f"a term's weight is {term.weight:g}",
                remedy=f"give {LEAST:g} to {MOST_WEIGHT:g}, negative to keep away from it",
            )
        given.append((*found[0], term.weight))
    bounded("the number of terms", len(given), TERMS)
    for kind, value, _ in given:
        _short(kind, value)
    out: dict[str, Any] = {}
    files = service.files([(v, w) for kind, v, w in given if kind == "upload" and w > 0])
    out |= files
    for kind, value, weight in given:
        if kind == "upload" and weight <= 0:
            raise QueryError("an upload's weight is not above 0", remedy="use words or nodes")
        if kind != "upload":
            name = kind if weight >= 0 else "exclude"
            out.setdefault(name, []).append((value, abs(weight)))
    # each is searched as often as it is named
    out["target"] = tuple(dict.fromkeys(asked.targets)) or SEARCHED
    where = asked.filter or FilterInput()
    chosen = {
        "category": where.category,
        "lang": where.lang,
        "collection": where.collection,
        "license": where.license,
        "diversity": asked.diversity,
    }
    return out | {k: v for k, v in chosen.items() if v}


async def _citation(ctx: Context, hit: Hit, path: Path | None) -> Citation:
    loaders = ctx.loaders
    edges = await loaders.edges.load((hit.id, ("DESCRIBES",), "out", 3))
    about = await loaders.nodes([e.dst for e in edges])
    source = await loaders.node.load(hit.source) if hit.source else None
    return Citation(
        text=hit.node.text or hit.node.title or "",
        node=nodes_of([hit.node])[0],
        source=node_of(source),
        about=nodes_of(about),
        score=hit.score,
        confidence=hit.confidence,
        path=path,
    )


def _speaks(said: str | None, lang: str) -> bool:
    return bool(said) and (said == lang or str(said).startswith(f"{lang}_"))


def _tree(service: Service) -> Tree:
    """The newest tree; made again only when the revision has moved."""
    store = service.kb.store
    if service.tree is None or service.tree.revision != store.revision:
        service.tree = tree(store, store.export())
    return service.tree


def _category(tree: Tree, ident: str) -> Category:
    return Category(tree=tree, id=strawberry.ID(ident), title=tree.titles[ident])


def _counts(found: dict[str, int]) -> list[Count]:
    return [Count(name=n, count=c) for n, c in sorted(found.items(), key=lambda x: (-x[1], x[0]))]


def make_schema() -> strawberry.Schema:
    """The whole schema."""
    return strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        config=StrawberryConfig(auto_camel_case=True),
    )


if __name__ == "__main__":
    print(make_schema().as_str())
