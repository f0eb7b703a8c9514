"""The web page's own files: plain modules, style and documents; nothing comes from afar."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from graphretrieval.api.documents import Documents
from graphretrieval.api.problems import Refused

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def routes(documents: Documents, shipped: Mapping[str, str]) -> APIRouter:
    """``/``, ``/web/…`` and the page's registered documents."""
    router = APIRouter(include_in_schema=False)
    folder = files("graphretrieval.api") / "web"
    known = {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if any(file.name.endswith(suffix) for suffix in _TYPES)
    }
    tags = {name: f'"{hashlib.sha256(data).hexdigest()[:24]}"' for name, data in known.items()}

    def serve(request: Request, name: str) -> Response:
        if name not in known:
            raise Refused("NOT_FOUND", 404, "there is no such file", remedy="begin at /")
        headers = {"etag": tags[name], "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=304, headers=headers)
        kind = _TYPES[name[name.rindex(".") :]]
        return Response(known[name], media_type=kind, headers=headers)

    @router.get("/")
    async def index(request: Request) -> Response:
        return serve(request, "index.html")

    @router.get("/console")
    async def console(request: Request) -> Response:
        return serve(request, "console.html")

    @router.get("/web/documents.json")
    async def registered() -> Response:
        return JSONResponse(
            {n: {"id": h, "text": documents.trusted[h].text} for n, h in shipped.items()}
        )

    @router.get("/web/{name}")
    async def file(request: Request, name: str) -> Response:
        return serve(request, name)

    return router
