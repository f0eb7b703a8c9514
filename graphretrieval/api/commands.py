"""The command line of the service: serve, mcp and keys; nothing heavy until one is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from graphretrieval.api.auth import Keys
    from graphretrieval.retriever import Retriever

Open = Callable[[], "Retriever"]


def mount(app: typer.Typer, opened: Open, as_json: Callable[[bool], bool]) -> None:
    """Add the commands.

    Args:
        app: the command line.
        opened: opens the store that the options name.
        as_json: whether JSON is wanted, by the command's own option or by that before it.
    """

    @app.command()
    def serve(
        host: Annotated[
            str, typer.Option(help="Address to listen on; loopback may be read without a key.")
        ] = "127.0.0.1",
        port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
        link: Annotated[bool, typer.Option(help="Print a one-time admin link.")] = True,
        certificate: Annotated[str | None, typer.Option(help="TLS certificate (PEM).")] = None,
        key: Annotated[str | None, typer.Option(help="Its private key (PEM).")] = None,
    ) -> None:
        """Serve the web page, GraphQL and REST."""
        from graphretrieval.api.process import serve as run

        with opened() as kb:
            run(kb, host=host, port=port, link=link, certificate=certificate, key=key)

    @app.command()
    def mcp() -> None:
        """Offer search, node and path tools to language models (MCP, stdio)."""
        from graphretrieval.api.mcp import run

        with opened() as kb:
            run(kb)

    keys = typer.Typer(help="API keys of the service; only hashes are kept.", no_args_is_help=True)
    app.add_typer(keys, name="keys")

    @keys.command("create")
    def create(
        name: str, role: Annotated[str, typer.Option(help="read, write or admin.")] = "read"
    ) -> None:
        """Make a key and show it, this once, on stdout."""
        typer.echo(_keys(opened).create(name, role))

    @keys.command("revoke")
    def revoke(name: str) -> None:
        """Make a key useless, in a running service too."""
        _keys(opened).revoke(name)
        typer.echo(f"revoked {name}", err=True)

    @keys.command("list")
    def listed(
        json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
    ) -> None:
        """Names, roles and dates."""
        from graphretrieval import render

        rows = _keys(opened).names()
        if as_json(json):
            render.print_json(rows)
        elif rows:
            render.print_rows(rows, ("name", "role", "created"))
        else:
            typer.echo("there are no keys", err=True)


def _keys(opened: Open) -> Keys:
    from graphretrieval.api.auth import Keys

    with opened() as kb:
        path: Path = kb.path
    return Keys(path.with_name(path.name + ".keys"))
