"""One process that listens: the application in uvicorn, with the admin link and a calm end."""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING

from graphretrieval.api.logs import to_stderr
from graphretrieval.errors import ConfigError

if TYPE_CHECKING:
    from graphretrieval.retriever import Retriever

# seconds that running queries may take to end after the service was asked to stop
GRACE = 20


def serve(
    kb: Retriever,
    *,
    host: str,
    port: int,
    link: bool = True,
    certificate: str | None = None,
    key: str | None = None,
) -> None:
    """Serve until stopped; SIGTERM and Ctrl-C let running queries finish.

    Raises:
        ConfigError: a certificate was given without its key, or the other way round.
    """
    import uvicorn

    from graphretrieval.api.app import make

    if (certificate is None) != (key is None):
        raise ConfigError("a certificate and its key belong together", remedy="give both")
    to_stderr()
    application = make(kb, host=host, secure=certificate is not None)
    config = uvicorn.Config(
        application.asgi,
        host=host,
        port=port,
        log_config=None,
        access_log=False,  # the guard writes better lines, without paths
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=15,
        h11_max_incomplete_event_size=32 << 10,
        backlog=256,
        limit_concurrency=512,
        lifespan="on",
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    scheme = "http" if certificate is None else "https"
    name = f"[{host}]" if ":" in host else host
    print(f"listening on {scheme}://{name}:{port}", file=sys.stderr)
    if link:
        # behind '#', so that it reaches neither the log of a proxy nor a referrer
        token = application.gatekeeper.sessions.link()
        print(
            f"as admin, once, within the hour: {scheme}://{name}:{port}/#admin={token}",
            file=sys.stderr,
        )

    class Server(uvicorn.Server):
        """Tells the application at once: what follows waits for open connections to end."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            application.service.queue.closing = True
            super().handle_exit(sig, frame)

    Server(config).run()
