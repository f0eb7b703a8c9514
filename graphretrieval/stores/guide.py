"""The pages that Neo4j Browser is given: guide, style and favourites, served on this machine."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from graphretrieval.errors import ServerError
from graphretrieval.stores.server import folder


class _Pages(SimpleHTTPRequestHandler):
    """Files of one folder, readable by the Browser, which is another origin."""

    extensions_map = {  # noqa: RUF012
        **SimpleHTTPRequestHandler.extensions_map,
        ".grass": "text/plain",
        ".cypher": "text/plain",
    }

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "*")
        super().end_headers()

    def do_OPTIONS(self) -> None:
        """The Browser asks before it fetches."""
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a page of a guide is no event."""


def server(port: int) -> ThreadingHTTPServer:
    """A server of the guide's pages, not yet serving; port 0 takes a free one.

    Raises:
        ServerError: the port is taken.
    """
    pages = partial(_Pages, directory=str(folder() / "browser"))
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), pages)
    except OSError as e:
        raise ServerError(
            f"port {port} is in use ({e.strerror})", remedy="choose another with --port"
        ) from e


def address(http: ThreadingHTTPServer) -> str:
    """Where it answers, by the name that Neo4j Browser allows guides from."""
    return f"http://localhost:{http.server_port}"
