"""One process that listens: the application in uvicorn, with the admin link and a calm end."""

from __future__ import annotations

import errno
import socket
import ssl
import sys
from pathlib import Path
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
        ConfigError: a certificate was given without its key, or the other way round; or the two
            cannot be read or do not fit; or the address is taken or not this machine's.
    """
    import uvicorn

    from graphretrieval.api.app import make

    if (certificate is None) != (key is None):
        raise ConfigError("a certificate and its key belong together", remedy="give both")
    if certificate is not None and key is not None:
        _check(certificate, key)
    _free(host, port)
    if kb.bundles.current() is None:
        print("nothing has been learned yet: run `graphretrieval fit` to search", file=sys.stderr)
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


def _check(certificate: str, key: str) -> None:
    """Read both files before the server starts: it would not say which of them is missing."""
    for name, file in (("certificate", certificate), ("key", key)):
        try:
            Path(file).read_bytes()
        except OSError as e:
            raise ConfigError(
                f"the {name} {file} cannot be read ({e.strerror})", remedy="give a PEM file"
            ) from e
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except ssl.SSLError as e:
        raise ConfigError(
            f"{certificate} and {key} are no certificate and its private key",
            remedy="give two PEM files that belong together",
        ) from e


def _free(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on before anything says it is."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                one.bind(address)
    except OSError as e:
        taken = e.errno == errno.EADDRINUSE
        raise ConfigError(
            f"port {port} of {host} is taken by another program"
            if taken
            else f"{host}:{port} cannot be listened on ({e.strerror})",
            remedy="name another with --port, or stop what listens there"
            if taken
            else "name another --host or --port",
        ) from e
