"""The application: routes, the guard around them, and what happens at start and stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from graphretrieval import __version__
from graphretrieval.api import endpoint, page, rest
from graphretrieval.api.auth import Gatekeeper, Keys, is_loopback
from graphretrieval.api.documents import Documents
from graphretrieval.api.guard import Guard
from graphretrieval.api.logs import LOG
from graphretrieval.api.media import Media
from graphretrieval.api.metrics import Metrics
from graphretrieval.api.problems import code_of, described, headers_of, status_of
from graphretrieval.api.schema import make_schema
from graphretrieval.api.service import Service
from graphretrieval.errors import GraphRetrievalError, NotFitted
from graphretrieval.retriever import Retriever


@dataclass
class Application:
    """What ``make`` returns: the ASGI callable, and handles for the process and for tests."""

    asgi: Any
    service: Service
    gatekeeper: Gatekeeper
    documents: Documents
    metrics: Metrics


def make(kb: Retriever, *, host: str = "127.0.0.1", secure: bool = False) -> Application:
    """The service over a knowledge base.

    Args:
        kb: closed by whoever opened it, after the application has stopped.
        host: address the process listens on; anonymous reading is for loopback by default.
        secure: whether browsers reach it by https.
    """
    config = kb.config
    service = Service(kb)
    keys = Keys(kb.path.with_name(kb.path.name + ".keys"))
    gatekeeper = Gatekeeper(keys, config, loopback=is_loopback(host))
    schema = make_schema()
    documents = Documents(schema._schema, trusted_only=config["trusted_only"])
    shipped = documents.trust(files("graphretrieval.api") / "web" / "documents")
    if config["trusted_documents"]:
        documents.trust(Path(config["trusted_documents"]))
    metrics = Metrics(service, documents)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # load the model before the first query waits for it; without one the service still lives
        warming = asyncio.create_task(_warm(service))
        yield
        service.queue.closing = True
        warming.cancel()
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="graphretrieval",
        version=__version__,
        summary="Images, texts and sounds in one graph, searched from anything to anything.",
        docs_url=None,  # the stock pages load from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=lifespan,
    )

    def _refusal(error: Exception) -> Response:
        metrics.refused.labels(code_of(error)).inc()
        return JSONResponse({"error": described(error)}, status_of(error), headers_of(error))

    @app.exception_handler(GraphRetrievalError)
    async def ours(request: Request, error: Exception) -> Response:
        return _refusal(error)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        # the guard logs it under the same id
        return JSONResponse({"error": described(error) | {"id": request.state.id}}, 500)

    @app.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        metrics.refused.labels("UNFIT").inc()
        # what was given is not repeated: it may be a secret
        return JSONResponse(
            {
                "error": {
                    "code": "UNFIT",
                    "message": f"{place}: {first['msg']}",
                    "remedy": "see /openapi.json",
                }
            },
            422,
        )

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "BAD_REQUEST")
        body = {
            "error": {"code": code, "message": str(error.detail), "remedy": "see /openapi.json"}
        }
        return JSONResponse(body, error.status_code, error.headers)

    media = Media(service)
    app.include_router(rest.routes(service, gatekeeper, metrics, media, secure=secure))
    app.include_router(page.routes(documents, shipped))
    app.include_router(endpoint.routes(schema, documents, service))
    guarded = Guard(app, gatekeeper, config=config, metrics=metrics, host=host)
    return Application(guarded, service, gatekeeper, documents, metrics)


async def _warm(service: Service) -> None:
    try:
        await asyncio.to_thread(service.newest)
    except NotFitted:
        LOG.warning("nothing has been learned yet: run `graphretrieval fit`")
    except Exception:
        LOG.exception("the model could not be loaded")
