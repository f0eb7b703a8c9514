"""REST beside GraphQL: search, nodes, files, uploads, sessions, health and metrics, by OpenAPI."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Header, Query, Request, Response, UploadFile
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from graphretrieval import __version__
from graphretrieval.api.auth import COOKIE, SESSION_SECONDS, Gatekeeper
from graphretrieval.api.documents import COSTS
from graphretrieval.api.media import Media
from graphretrieval.api.metrics import Metrics
from graphretrieval.api.problems import Refused
from graphretrieval.api.service import Service
from graphretrieval.errors import UnknownNode
from graphretrieval.types import SEARCHED, Answer, Hit

#: No control characters: ids and words stand on one line.
_LINE = r"^[^\x00-\x1f\x7f]*$"
NodeId = Annotated[
    str, Query(min_length=1, max_length=1024, pattern=_LINE, description="Id of a node.")
]
Target = Literal["image", "text", "audio"]


class Problem(BaseModel):
    """Why a request was not answered, and what to do."""

    code: str
    message: str
    remedy: str = ""


class Failure(BaseModel):
    """The body of every error."""

    error: Problem


class SearchRequest(BaseModel):
    """A query: at least one of text, nodes and uploads."""

    model_config = {"extra": "forbid"}
    text: str | None = Field(default=None, max_length=2000, description="Words in any language.")
    nodes: list[Annotated[str, Field(min_length=1, max_length=1024)]] = Field(
        default=[], max_length=12
    )
    uploads: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        default=[], max_length=4
    )
    exclude: list[Annotated[str, Field(min_length=1, max_length=1024)]] = Field(
        default=[], max_length=12, description="Words or node ids to stay away from."
    )
    targets: list[Target] = Field(default=[], max_length=3, description="All of them if empty.")
    k: int = Field(default=10, ge=1, le=100)
    category: str | None = Field(default=None, max_length=1024)
    lang: str | None = Field(default=None, max_length=32)
    collection: str | None = Field(default=None, max_length=256)
    license: str | None = Field(default=None, max_length=256)
    diversity: float = Field(
        default=0.0, ge=0, le=1, description="How much being unlike earlier hits counts."
    )


class FoundHit(BaseModel):
    """A hit; the parts add up to the score."""

    id: str
    modality: str
    title: str | None
    text: str | None
    lang: str | None
    license: str | None
    collection: str | None
    media: str | None = Field(description="Where the content is.")
    thumbnail: str | None
    score: float
    confidence: float | None
    parts: dict[str, float]
    path: list[dict[str, Any]]
    place: dict[str, Any] | None


class SearchAnswer(BaseModel):
    """Ranked hits and the model and data they were made from."""

    model: str | None
    revision: int
    degraded: bool
    no_match: bool
    hits: list[FoundHit]


class Uploaded(BaseModel):
    """An upload that queries may name."""

    id: str
    modality: str
    media_type: str
    name: str
    size: int


class SessionRequest(BaseModel):
    """The token of the admin link."""

    model_config = {"extra": "forbid"}
    token: str = Field(min_length=1, max_length=200)


class Me(BaseModel):
    """Who is asking."""

    role: str | None
    by: str


class Health(BaseModel):
    """Whether the process lives."""

    status: str
    version: str


def _errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Responses of a route that are no success; all routes share the first ones."""
    return {code: {"model": Failure} for code in (400, 401, 403, 413, 421, 422, 429, 503, *codes)}


def routes(
    service: Service, gatekeeper: Gatekeeper, metrics: Metrics, media: Media, *, secure: bool
) -> APIRouter:
    """All of REST."""
    router = APIRouter()

    async def ask(request: Request, asked: SearchRequest) -> SearchAnswer:
        request.state.caller.require("read")
        cost = COSTS["search"] + asked.k
        request.state.cost = cost
        service.budget.charge(request.state.caller.name, cost)
        query: dict[str, Any] = service.files([(u, 1.0) for u in asked.uploads])
        if asked.text:
            query["text"] = [(asked.text, 1.0)]
        if asked.nodes:
            query["node"] = [(n, 1.0) for n in asked.nodes]
        if asked.exclude:
            query["exclude"] = [(x, 1.0) for x in asked.exclude]
        query["target"] = tuple(dict.fromkeys(asked.targets)) or SEARCHED
        for name in ("category", "lang", "collection", "license", "diversity"):
            if value := getattr(asked, name):
                query[name] = value
        async with service.queue.turn():
            answer = await service.work(partial(service.answer, asked.k, **query))
        return _answer(answer)

    @router.get(
        "/api/search",
        responses=_errors(404, 409, 415),
        summary="Search by words or by a node",
        tags=["search"],
    )
    async def search(
        request: Request,
        text: Annotated[str | None, Query(max_length=2000)] = None,
        node: Annotated[str | None, Query(min_length=1, max_length=1024)] = None,
        target: Annotated[list[Target] | None, Query(max_length=3)] = None,
        k: Annotated[int, Query(ge=1, le=100)] = 10,
        category: Annotated[str | None, Query(max_length=1024)] = None,
        lang: Annotated[str | None, Query(max_length=32)] = None,
        diversity: Annotated[float, Query(ge=0, le=1)] = 0.0,
    ) -> SearchAnswer:
        """Ranked hits, each with its score's parts and the path to it."""
        return await ask(
            request,
            SearchRequest(
                text=text,
                nodes=[node] if node else [],
                targets=target or [],
                k=k,
                category=category,
                lang=lang,
                diversity=diversity,
            ),
        )

    @router.post(
        "/api/search",
        responses=_errors(404, 409, 415),
        summary="Search by words, nodes and uploads together",
        tags=["search"],
    )
    async def search_by(request: Request, asked: SearchRequest) -> SearchAnswer:
        """As GET, with several terms."""
        return await ask(request, asked)

    @router.get("/api/node", responses=_errors(404), summary="A node", tags=["nodes"])
    async def node(request: Request, id: NodeId) -> dict[str, Any]:
        """Its attributes, without its links."""
        request.state.caller.require("read")
        found = (await service.read(service.kb.store.get, [id]))[0]
        if found is None:
            raise UnknownNode(f"no node is called {id!r}", remedy="check the id")
        return _shown(Hit(found, 0.0, {})) | {"properties": dict(found.properties)}

    @router.get(
        "/api/media",
        responses={
            200: {"content": {"application/octet-stream": {}}},
            206: {"description": "A range of it."},
            304: {"description": "Not changed."},
            416: {"description": "No such range."},
            **_errors(404),
        },
        response_class=Response,
        summary="The file of a node, whole or in ranges",
        tags=["nodes"],
    )
    async def file(
        request: Request, id: NodeId, if_none_match: Annotated[str | None, Header()] = None
    ) -> Response:
        """With an ETag; sounds can be sought in."""
        request.state.caller.require("read")
        return await media.file(id, if_none_match)

    @router.get(
        "/api/thumbnail",
        responses={
            200: {"content": {"image/webp": {}}},
            304: {"description": "Not changed."},
            **_errors(404),
        },
        response_class=Response,
        summary="A small picture",
        tags=["nodes"],
    )
    async def thumbnail(
        request: Request,
        id: NodeId,
        side: Annotated[int, Query(ge=16, le=512)] = 256,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """WebP, drawn in a child process and remembered."""
        request.state.caller.require("read")
        return await media.thumbnail(id, side, if_none_match)

    @router.post(
        "/api/uploads",
        responses=_errors(415),
        status_code=201,
        summary="Upload a picture or sound to search by",
        tags=["search"],
    )
    async def upload(request: Request, file: Annotated[UploadFile, File()]) -> Uploaded:
        """Kept for an hour; queries name it by its id."""
        request.state.caller.require("read")
        service.budget.charge(request.state.caller.name, 200)
        data = await file.read()
        if not data:
            raise Refused("EMPTY_FILE", 422, "the file is empty", remedy="choose another")

        async with service.queue.turn():
            found = await service.read(
                service.media,
                lambda reader: service.uploads.put(
                    data, file.filename or "", file.content_type or "", reader
                ),
            )
        return Uploaded(
            id=found.id,
            modality=found.modality,
            media_type=found.media_type,
            name=found.name,
            size=found.size,
        )

    @router.post(
        "/api/session", responses=_errors(), summary="Trade the admin link", tags=["session"]
    )
    async def begin(asked: SessionRequest) -> Response:
        """Sets a cookie that scripts cannot read and other sites cannot send."""
        session = gatekeeper.sessions.begin(asked.token)
        answer = JSONResponse({"role": "admin", "by": "session"})
        answer.set_cookie(
            COOKIE,
            session,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return answer

    @router.delete("/api/session", responses=_errors(), summary="Log out", tags=["session"])
    async def end(request: Request) -> Response:
        """Ends the session and removes the cookie."""
        gatekeeper.sessions.end(request.cookies.get(COOKIE, ""))
        answer = JSONResponse({"role": None, "by": "anonymous"})
        answer.delete_cookie(COOKIE)
        return answer

    @router.get("/api/session", responses=_errors(), summary="Who am I", tags=["session"])
    async def me(request: Request) -> Me:
        """The role that the key, token or session gives."""
        return Me(role=request.state.caller.role, by=request.state.caller.by)

    @router.get("/healthz", responses=_errors(), summary="Is the process alive", tags=["health"])
    async def healthz() -> Health:
        """Needs no key and touches no store."""
        return Health(status="ok", version=__version__)

    @router.get(
        "/readyz", responses=_errors(), summary="Would a query be answered", tags=["health"]
    )
    async def readyz() -> Response:
        """503 until a model is loaded, while stopping, and while the queue is full."""
        full = service.queue.inside >= service.queue.workers + service.queue.waiting
        ok = service.ready and not service.queue.closing and not full
        return JSONResponse({"status": "ready" if ok else "not ready"}, 200 if ok else 503)

    @router.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {}}}, **_errors()},
        response_class=Response,
        summary="For Prometheus",
        tags=["health"],
    )
    async def scraped(request: Request) -> Response:
        """Counters and histograms; no ids and no words."""
        request.state.caller.require("read")
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _answer(answer: Answer) -> SearchAnswer:
    return SearchAnswer(
        model=answer.model,
        revision=answer.revision,
        degraded=answer.degraded,
        no_match=answer.no_match,
        hits=[FoundHit(**_shown(hit)) for hit in answer.hits],
    )


def _shown(hit: Hit) -> dict[str, Any]:
    """A hit as clients see it: no path of the server's disk."""
    from urllib.parse import quote

    row = hit.to_json()
    name = quote(hit.id, safe="")
    media = f"/api/media?id={name}" if row.pop("uri") else None
    small = f"/api/thumbnail?id={name}" if media and hit.node.modality == "image" else None
    return {**row, "media": media, "thumbnail": small, "place": row.get("place")}
