"""GraphQL mutations and subscriptions: edit the graph, teach the model, watch the work."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import strawberry
from strawberry.scalars import JSON

from graphretrieval import lifecycle, proposals
from graphretrieval import types as graph
from graphretrieval.api import living
from graphretrieval.api.jobs import Job as JobState
from graphretrieval.api.types import Edge, Info, Node, bounded, context, edge_of, node_of
from graphretrieval.errors import QueryError, UnknownNode


@strawberry.type(description="A change of the graph.")
class Change:
    """``revision`` is the store's after it."""

    revision: int
    edge: Edge | None = None
    node: Node | None = None


@strawberry.type(description="What a person decided on a proposal.")
class Decision:
    """``verdict`` is accepted, rejected or, after an undo, open."""

    id: strawberry.ID
    verdict: str
    by: str
    revision: int


@strawberry.type(description="Long work: its progress and, when it has ended, its result.")
class Job:
    """``state`` is running, done or failed."""

    id: strawberry.ID
    kind: str
    state: str
    done: int
    total: int = strawberry.field(description="0 means unknown.")
    what: str
    seconds: float
    result: JSON | None
    error: JSON | None


@strawberry.input(description="A node to add; an id is made where none is given.")
class NodeInput:
    """Texts are kept inline; files come in by ``graphretrieval add``."""

    text: str
    id: strawberry.ID | None = None
    title: str | None = None
    lang: str | None = None
    license: str | None = None
    collection: str | None = None
    category: str | None = strawberry.field(default=None, description="Id of a category.")
    describes: strawberry.ID | None = strawberry.field(
        default=None, description="Id of the node this text describes."
    )


@strawberry.type(description="Change the collection or the model; needs a key or a session.")
class Mutation:
    """Every field says which role it needs."""

    @strawberry.mutation(description="Assert a link; the next search uses it. Role: write.")
    async def link(
        self,
        info: Info,
        source: strawberry.ID,
        type: str,
        target: strawberry.ID,
        weight: float = 1.0,
    ) -> Change:
        """Repeating it changes nothing."""
        ctx = context(info)
        ctx.caller.require("write")
        kb = ctx.service.kb
        revision = await ctx.service.read(kb.link, source, type, target, weight=weight)
        edge = graph.Edge(source, type.upper(), target, weight, "user")
        return Change(revision=revision, edge=edge_of(edge))

    @strawberry.mutation(description="Remove a link. Role: write.")
    async def unlink(
        self, info: Info, source: strawberry.ID, type: str, target: strawberry.ID
    ) -> Change:
        """The next search does without it."""
        ctx = context(info)
        ctx.caller.require("write")
        revision = await ctx.service.read(ctx.service.kb.unlink, source, type, target)
        return Change(revision=revision)

    @strawberry.mutation(description="Add a text, with its links. Role: write.")
    async def add_node(self, info: Info, input: NodeInput) -> Change:
        """One transaction."""
        ctx = context(info)
        ctx.caller.require("write")
        node, edges = _new(input)
        if (await ctx.loaders.node.load(node.id)) is not None:
            raise QueryError(f"there is a node {node.id!r} already", remedy="choose another id")
        revision = await ctx.service.read(ctx.service.kb.store.upsert, [node], edges)
        return Change(revision=revision, node=node_of(node))

    @strawberry.mutation(description="Forget nodes and all made of them. Role: admin.")
    async def forget(self, info: Info, ids: list[strawberry.ID]) -> JSON:
        """Returns the certificate of what was removed from where."""
        ctx = context(info)
        ctx.caller.require("admin")
        bounded("the number of ids", len(ids), 1000)
        found = await ctx.loaders.node.load_many(list(ids))
        lost = [i for i, n in zip(ids, found, strict=True) if n is None]
        if lost:
            raise UnknownNode(f"no node is called {lost[0]!r}", remedy="check the ids")
        names = [str(i) for i in ids]
        # what a job has read already would be in its result
        ctx.service.jobs.idle()
        kb, by = ctx.service.kb, ctx.caller.name
        return JSON(await ctx.service.read(lifecycle.forget, kb, names, by=by))

    @strawberry.mutation(description="Look for missing links in the background. Role: write.")
    async def propose(
        self, info: Info, type: str | None = None, limit: int = 50, by_usefulness: bool = False
    ) -> Job:
        """They are kept as proposed, which no search uses; watch it by ``progress``."""
        ctx = context(info)
        ctx.caller.require("write")
        bounded("limit", limit, 1000)
        look = partial(ctx.service.inbox.look, type.upper() if type else None, limit, by_usefulness)
        return job_of(ctx.service.jobs.start("propose", look))

    @strawberry.mutation(description="Make a proposed link an asserted one. Role: write.")
    async def accept(self, info: Info, id: strawberry.ID) -> Decision:
        """The next search uses it."""
        return await _decided(info, proposals.accept, id)

    @strawberry.mutation(description="Say that a proposed link is wrong. Role: write.")
    async def reject(self, info: Info, id: strawberry.ID) -> Decision:
        """It is learned from and not proposed again."""
        return await _decided(info, proposals.reject, id)

    @strawberry.mutation(description="Take back the last decision on a proposal. Role: write.")
    async def undo(self, info: Info, id: strawberry.ID) -> Decision:
        """It is open again."""
        return await _decided(info, proposals.undo, id)

    @strawberry.mutation(description="Learn a new version in the background. Role: admin.")
    async def refit(self, info: Info, seed: int = 0) -> Job:
        """Watch it by the subscription ``progress``."""
        ctx = context(info)
        ctx.caller.require("admin")
        kb = ctx.service.kb
        return job_of(ctx.service.jobs.start("refit", partial(_refit, kb, seed)))

    @strawberry.mutation(description="Put the former version back in service. Role: admin.")
    async def rollback(self, info: Info) -> str:
        """Returns its name."""
        ctx = context(info)
        ctx.caller.require("admin")
        ctx.service.jobs.idle()
        return await ctx.service.read(lifecycle.rollback, ctx.service.kb)


async def _decided(info: Info, decide: Any, id: str) -> Decision:
    ctx = context(info)
    ctx.caller.require("write")
    said = await ctx.service.read(decide, ctx.service.kb, str(id), ctx.caller.name)
    return Decision(
        id=strawberry.ID(said["proposal"]),
        verdict="open" if said.get("undone_at") else said["verdict"],
        by=said.get("undone_by") or said["by"],
        revision=said["revision"],
    )


def _refit(kb: Any, seed: int, progress: Any) -> dict[str, Any]:
    return living.refit(kb, seed, progress)


def _new(given: NodeInput) -> tuple[graph.Node, list[graph.Edge]]:
    import hashlib

    text = given.text.strip()
    if not text or len(text) > 10_000:
        raise QueryError(f"the text has {len(text)} characters", remedy="give 1 to 10000")
    digest = hashlib.sha256(f"{given.describes}\n{text}".encode()).hexdigest()
    node = graph.Node(
        str(given.id or f"user/{digest[:16]}"),
        "text",
        sha256=digest,
        media_type="text/plain",
        title=given.title,
        text=text,
        lang=given.lang,
        license=given.license,
        collection=given.collection or "user",
    )
    edges = []
    if given.category:
        edges.append(graph.Edge(node.id, graph.IN_CATEGORY, given.category, origin="user"))
    if given.describes:
        edges.append(graph.Edge(node.id, graph.DESCRIBES, given.describes, origin="user"))
    return node, edges


def job_of(job: JobState) -> Job:
    """A job as a GraphQL value."""
    return Job(
        id=strawberry.ID(job.id),
        kind=job.kind,
        state=job.state,
        done=job.done,
        total=job.total,
        what=job.what,
        seconds=job.seconds,
        result=None if job.result is None else JSON(job.result),
        error=None if job.error is None else JSON(job.error),
    )


@strawberry.type(description="Watch long work, as server-sent events.")
class Subscription:
    """One subscription a request."""

    @strawberry.subscription(
        description="Progress of a job until it ends, or of whatever runs. Role: read."
    )
    async def progress(
        self, info: Info, job: strawberry.ID | None = None
    ) -> AsyncGenerator[Job, None]:
        """Ingest and training report the same way."""
        ctx = context(info)
        ctx.caller.require("read")
        if job is not None and job not in ctx.service.jobs.all:
            raise QueryError(f"no job is called {str(job)[:40]!r}", remedy="check the id")
        async for state in ctx.service.jobs.watch(job):
            yield job_of(state)
