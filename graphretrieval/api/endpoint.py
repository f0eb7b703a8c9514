"""GraphQL over HTTP: one operation a request, by text or by hash, and subscriptions as events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from fastapi import APIRouter, Request, Response
from graphql import (
    ExecutionResult,
    GraphQLError,
    OperationType,
    execute,
    subscribe,
)
from starlette.responses import JSONResponse, RedirectResponse, StreamingResponse
from strawberry import Schema

from graphretrieval.api.documents import Documents, Invalid, Plan
from graphretrieval.api.logs import LOG
from graphretrieval.api.problems import Refused, code_of, described, headers_of, status_of
from graphretrieval.api.service import Service
from graphretrieval.api.types import Context
from graphretrieval.errors import GraphRetrievalError

# a comment now and then, so that proxies keep a quiet stream open
HEARTBEAT = 15.0
# seconds after which a stream has noticed that the service is stopping
NOTICE = 1.0
#: Errors that are about the whole request, not about one field: they set the HTTP status.
_WHOLE = frozenset({401, 403, 429, 503})


@dataclass(frozen=True)
class Asked:
    """What a request wants run."""

    plan: Plan
    operation: str | None
    variables: dict[str, Any]


def routes(schema: Schema, documents: Documents, service: Service) -> APIRouter:
    """``/graphql`` and the schema's text."""
    router = APIRouter(include_in_schema=False)
    core = schema._schema
    printed = schema.as_str()

    @router.get("/schema.graphql")
    async def sdl() -> Response:
        return Response(printed + "\n", media_type="text/plain; charset=utf-8")

    @router.get("/graphql")
    async def ask(request: Request) -> Response:
        given: dict[str, Any] = dict(request.query_params)
        if not given and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/console", 303)
        for name in ("variables", "extensions"):
            if name in given:
                given[name] = _json(given[name], name)
        return await answer(request, given)

    @router.post("/graphql")
    async def post(request: Request) -> Response:
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind not in ("application/json", "application/graphql+json"):
            # a form of another site could send anything else without asking first
            raise Refused(
                "UNSUPPORTED_MEDIA",
                415,
                f"a body of type {kind[:40] or 'none'} is not read",
                remedy="send application/json",
            )
        return await answer(request, _json(await request.body(), "the body"))

    async def answer(request: Request, given: Any) -> Response:
        request.state.caller.require("read")
        try:
            asked = _asked(given, documents)
        except Invalid as e:
            return JSONResponse({"errors": [_plain(x) for x in e.errors]}, 400)
        cost = asked.plan.cost(asked.operation, asked.variables)
        request.state.cost = cost
        service.budget.charge(request.state.caller.name, cost)
        kind = asked.plan.operation(asked.operation).operation
        if kind == OperationType.SUBSCRIPTION:
            return await _stream(request, asked)
        if kind == OperationType.MUTATION and request.method != "POST":
            raise Refused("METHOD_NOT_ALLOWED", 405, "mutations are sent by POST")
        async with service.queue.turn():
            result = await _run(request, asked)
        return _finished(result)

    async def _run(request: Request, asked: Asked) -> ExecutionResult:
        running = execute(
            core,
            asked.plan.document,
            context_value=Context(service, request.state.caller),
            variable_values=asked.variables,
            operation_name=asked.operation or None,
        )
        if isinstance(running, ExecutionResult):
            return running
        try:
            return await asyncio.wait_for(running, service.config["query_seconds"])
        except TimeoutError as e:
            raise Refused(
                "TIMED_OUT", 503, "the query took too long", remedy="ask for less at once"
            ) from e

    async def _stream(request: Request, asked: Asked) -> Response:
        name = request.state.caller.name
        service.streams.enter(name)
        try:
            begun = subscribe(
                core,
                asked.plan.document,
                context_value=Context(service, request.state.caller),
                variable_values=asked.variables,
                operation_name=asked.operation or None,
            )
            source = await begun if isawaitable(begun) else begun
        except BaseException:
            service.streams.leave(name)
            raise
        if isinstance(source, ExecutionResult):
            service.streams.leave(name)
            return _finished(source)
        return StreamingResponse(
            _events(source, service, name),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    return router


async def _events(
    source: AsyncIterator[ExecutionResult], service: Service, name: str
) -> AsyncIterator[str]:
    """Results as server-sent events (the GraphQL over SSE protocol's ``next`` and ``complete``)."""
    coming: asyncio.Task[ExecutionResult] | None = None
    quiet = 0.0
    try:
        yield ": open\n\n"
        while not service.queue.closing:
            coming = coming or asyncio.ensure_future(anext(source))
            done, _ = await asyncio.wait([coming], timeout=NOTICE)
            quiet = 0.0 if done else quiet + NOTICE
            if quiet >= HEARTBEAT:
                quiet = 0.0
                yield ": still here\n\n"
            if not done:
                continue
            try:
                result = coming.result()
            except StopAsyncIteration:
                break
            coming = None
            yield f"event: next\ndata: {json.dumps(_body(result), ensure_ascii=False)}\n\n"
        yield "event: complete\ndata: {}\n\n"
    finally:
        if coming is not None:
            coming.cancel()
        service.streams.leave(name)


def _asked(given: Any, documents: Documents) -> Asked:
    if isinstance(given, list):
        raise Refused("NO_BATCHES", 400, "batches are not run", remedy="send one by one")
    if not isinstance(given, Mapping):
        raise Refused("BAD_REQUEST", 400, "the body is not a JSON object", remedy="send {query}")
    variables = given.get("variables") or {}
    operation = given.get("operationName") or None
    extensions = given.get("extensions") or {}
    if (
        not isinstance(variables, dict)
        or not isinstance(operation, str | None)
        or not isinstance(extensions, dict)
    ):
        raise Refused(
            "BAD_REQUEST", 400, "variables, extensions or operationName are of the wrong type"
        )
    persisted = extensions.get("persistedQuery")
    digest = given.get("documentId") or (
        persisted.get("sha256Hash") if isinstance(persisted, dict) else None
    )
    text = given.get("query")
    if isinstance(text, str) and text:
        plan = documents.by_text(text)
    elif isinstance(digest, str):
        plan = documents.by_hash(digest.removeprefix("sha256:"))
    else:
        raise Refused(
            "BAD_REQUEST",
            400,
            "there is neither a query nor a documentId",
            remedy='send {"query": "{ stats { revision } }"}',
        )
    return Asked(plan, operation, variables)


def _json(text: str | bytes, what: str) -> Any:
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()
        return found
    except UnicodeEncodeError as e:
        # no character: neither digests nor stores take it
        raise Refused(
            "BAD_REQUEST", 400, f"{what} holds half a surrogate", remedy="send whole characters"
        ) from e
    except (ValueError, RecursionError) as e:
        raise Refused("BAD_REQUEST", 400, f"{what} is no JSON", remedy="check it") from e


def _finished(result: ExecutionResult) -> Response:
    """200 with data and errors, unless an error is about the whole request."""
    status, headers = 200, {}
    for error in result.errors or ():
        cause = error.original_error
        if isinstance(cause, Exception) and status_of(cause) in _WHOLE:
            status, headers = status_of(cause), headers_of(cause)
    if result.data is None and result.errors and status == 200:
        # variables that do not fit are found before any field is asked
        status = 400 if all(e.original_error is None and not e.path for e in result.errors) else 200
    return JSONResponse(_body(result), status, headers)


def _body(result: ExecutionResult) -> dict[str, Any]:
    out: dict[str, Any] = {"data": result.data}
    if result.errors:
        out["errors"] = [_plain(e) for e in result.errors]
    return out


def _plain(error: GraphQLError) -> dict[str, Any]:
    """An error with its code and remedy; of what is not ours only that it happened."""
    cause = error.original_error
    out: dict[str, Any] = {"message": error.message}
    if error.locations:
        out["locations"] = [{"line": p.line, "column": p.column} for p in error.locations]
    if error.path:
        out["path"] = error.path
    if cause is None or isinstance(cause, GraphQLError):
        out["extensions"] = {
            "code": "BAD_REQUEST",
            "remedy": "see /graphql in a browser for the schema and examples",
        }
        return out
    said = described(cause)
    if not isinstance(cause, GraphRetrievalError):
        LOG.error("a field failed", exc_info=cause, extra={"fields": {"path": error.path}})
    out["message"] = said["message"]
    out["extensions"] = {"code": code_of(cause), "remedy": said["remedy"]}
    return out
