"""The outermost layer: hosts, sizes, origins, headers, request ids, a log line for each request."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse

from graphretrieval.api.auth import COOKIE, Caller, Gatekeeper
from graphretrieval.api.logs import LOG
from graphretrieval.api.metrics import Metrics
from graphretrieval.api.problems import Refused, code_of, described, headers_of, status_of
from graphretrieval.config import Config
from graphretrieval.errors import GraphRetrievalError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Only what this service itself serves; blobs are pictures and sounds that the reader gave.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "microphone=(self), camera=(), geolocation=()"),
)
_LOCAL = ("localhost", "127.0.0.1", "[::1]", "testserver")
# small requests only, except where files come in
SMALL = 1 << 20
_SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Wraps the application."""

    def __init__(
        self, app: Any, gatekeeper: Gatekeeper, *, config: Config, metrics: Metrics, host: str
    ) -> None:
        self.app, self.gatekeeper, self.metrics = app, gatekeeper, metrics
        names = {*_LOCAL, host, *_listed(config["allowed_hosts"])}
        self.any_host = "*" in names
        self.hosts = names
        self.origins = frozenset(_listed(config["cors_origins"]))
        self.body = config["max_body_mb"] << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, pass on, add headers, count and log."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        ident = secrets.token_hex(8)
        headers = Headers(scope=scope)
        scope.setdefault("state", {})["id"] = ident
        status = 500
        sent = False

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status, sent = message["status"], True
                self._dress(MutableHeaders(scope=message), ident, headers.get("origin"))
            await send(message)

        try:
            self._check(scope, headers)
            if self._is_preflight(scope, headers):
                await JSONResponse(None, 204, _preflight(headers))(scope, receive, sending)
            else:
                scope["state"]["caller"] = self._identify(scope, headers)
                limit = self.body if scope["path"] == "/api/uploads" else SMALL
                await self.app(scope, _counted(receive, limit), sending)
        except GraphRetrievalError as e:
            if sent:
                raise
            answer = JSONResponse({"error": described(e)}, status_of(e), headers_of(e))
            self.metrics.refused.labels(code_of(e)).inc()
            await answer(scope, receive, sending)
        except Exception as e:
            LOG.exception("request failed", extra={"fields": {"id": ident}})
            if not sent:
                answer = JSONResponse({"error": described(e) | {"id": ident}}, 500)
                await answer(scope, receive, sending)
        finally:
            self._note(scope, status, time.perf_counter() - started, ident)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Hosts against DNS rebinding, origins against other sites, the announced size."""
        name = re.sub(r":\d+$", "", headers.get("host", "")).lower()
        if not self.any_host and name not in self.hosts:
            raise Refused(
                "UNKNOWN_HOST",
                421,
                "this service is not known by the name it was asked under",
                remedy="add the name to the setting allowed_hosts",
            )
        origin = headers.get("origin")
        if origin and scope["method"] not in _SAFE and not self._may(origin, headers):
            raise Refused(
                "FOREIGN_ORIGIN",
                403,
                "another site may not call this service",
                remedy="add the origin to the setting cors_origins",
            )
        limit = self.body if scope["path"] == "/api/uploads" else SMALL
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            raise _too_large(limit)

    def _identify(self, scope: Scope, headers: Headers) -> Caller:
        cookies = cookie_parser(headers.get("cookie", ""))
        client = (scope.get("client") or ("", 0))[0]
        return self.gatekeeper.caller(headers, client, cookies.get(COOKIE))

    def _may(self, origin: str, headers: Headers) -> bool:
        own = origin.split("://", 1)[-1].lower() == headers.get("host", "").lower()
        return own or origin in self.origins

    def _is_preflight(self, scope: Scope, headers: Headers) -> bool:
        return (
            scope["method"] == "OPTIONS"
            and headers.get("origin") in self.origins
            and "access-control-request-method" in headers
        )

    def _dress(self, headers: MutableHeaders, ident: str, origin: str | None) -> None:
        for name, value in _HEADERS:
            headers.setdefault(name, value)
        headers.setdefault("content-security-policy", CSP)
        headers["x-request-id"] = ident
        if origin in self.origins:
            headers["access-control-allow-origin"] = str(origin)
            headers["cross-origin-resource-policy"] = "cross-origin"
            headers.add_vary_header("Origin")

    def _note(self, scope: Scope, status: int, seconds: float, ident: str) -> None:
        route = scope.get("route")
        # never the path itself: it may hold words and ids, and has no end of values
        name = getattr(route, "path", None) or "other"
        self.metrics.requests.labels(name, _method(scope), str(status)).inc()
        self.metrics.seconds.labels(name).observe(seconds)
        caller = scope.get("state", {}).get("caller")
        LOG.info(
            "request",
            extra={
                "fields": {
                    "id": ident,
                    "method": _method(scope),
                    "route": name,
                    "status": status,
                    "ms": round(1000 * seconds, 1),
                    "caller": getattr(caller, "by", None),
                    "cost": scope.get("state", {}).get("cost"),
                }
            },
        )


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in (*_SAFE, "POST", "PUT", "DELETE", "PATCH") else "other"


def _listed(text: str) -> list[str]:
    return [x.strip().rstrip("/").lower() for x in text.split(",") if x.strip()]


def _too_large(limit: int) -> Refused:
    return Refused(
        "BODY_TOO_LARGE",
        413,
        f"the request is larger than {limit >> 20} MB",
        remedy="send less, or raise max_body_mb",
    )


def _counted(receive: Receive, limit: int) -> Receive:
    """The body, refused as soon as it is longer than was allowed, whatever was announced."""
    got = 0

    async def receiving() -> MutableMapping[str, Any]:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > limit:
            raise _too_large(limit)
        return message

    return receiving


def _preflight(headers: Headers) -> dict[str, str]:
    return {
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "authorization, content-type, x-api-key",
        "access-control-max-age": "600",
    }
