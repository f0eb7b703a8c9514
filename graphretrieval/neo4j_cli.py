"""Commands around Neo4j: a server of one's own, migrations, copying, the Browser's guide."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphretrieval.config import Config
from graphretrieval.errors import GraphRetrievalError, QueryError

if TYPE_CHECKING:
    from graphretrieval.stores.server import Status

Home = Annotated[Path | None, typer.Option(help="Folder of its data and password.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
GUIDE_PORT = 8475


def mount(app: typer.Typer, given: Callable[[], tuple[Config, bool]]) -> None:
    """Add the commands; ``given`` tells the settings and whether JSON was asked for."""
    neo4j_app = typer.Typer(
        help="A Neo4j Community server of one's own, without Docker.", no_args_is_help=True
    )
    app.add_typer(neo4j_app, name="neo4j")
    _mount_server(neo4j_app, given)

    @app.command()
    def migrate(
        url: Annotated[str, typer.Argument(help="Store file or neo4j://user@host:7687.")],
        dry_run: Annotated[bool, typer.Option(help="Only say what would be applied.")] = False,
        json: Json = False,
    ) -> None:
        """Bring a store's schema up to date; a changed or missing migration is refused."""
        done = migrate_url(url, given()[0], dry_run=dry_run)
        if json or given()[1]:
            _print_json({"migrations": done, "applied": not dry_run})
        else:
            verb = "to be applied" if dry_run else "applied"
            typer.echo("\n".join(f"{verb}: {name}" for name in done) or "up to date")

    @app.command()
    def sync(
        source: Annotated[str, typer.Argument(help="Store file or URL to copy from.")],
        target: Annotated[str, typer.Argument(help="Store file or URL to copy to.")],
        prune: Annotated[bool, typer.Option(help="Remove what the source has not.")] = False,
        models: Annotated[bool, typer.Option(help="Also copy the model in service.")] = True,
        json: Json = False,
    ) -> None:
        """Copy graph and model between stores, and compare them; run again to go on."""
        sync_urls(source, target, given()[0], prune=prune, models=models, json=json or given()[1])


def _mount_server(app: typer.Typer, given: Callable[[], tuple[Config, bool]]) -> None:
    @app.command()
    def start(
        home: Home = None,
        version: Annotated[str | None, typer.Option(help="Neo4j version.")] = None,
        bolt_port: Annotated[int, typer.Option(min=1, max=65535)] = 7687,
        http_port: Annotated[int, typer.Option(min=1, max=65535)] = 7474,
        heap_mb: Annotated[int, typer.Option(min=256, help="Java heap.")] = 1024,
        json: Json = False,
    ) -> None:
        """Fetch Neo4j if need be, start it on this machine only, and wait until it answers."""
        from graphretrieval.stores import server

        made = server.start(
            home or server.default_home(),
            Path(given()[0]["cache_dir"]).expanduser(),
            version=version or server.LTS,
            bolt_port=bolt_port,
            http_port=http_port,
            heap_mb=heap_mb,
        )
        _say(made, json or given()[1])

    @app.command()
    def stop(home: Home = None) -> None:
        """Stop it in good order; its data stay."""
        from graphretrieval.stores import server

        stopped = server.stop(home or server.default_home())
        typer.echo("stopped" if stopped else "it was not running", err=True)

    @app.command()
    def status(home: Home = None, json: Json = False) -> None:
        """Whether it runs, and how to reach it; exit code 1 if it does not."""
        from graphretrieval.stores import server

        found = server.status(home or server.default_home())
        if found is None:
            raise QueryError(
                f"there is no server in {home or server.default_home()}",
                remedy="run `graphretrieval neo4j start`",
            )
        _say(found, json or given()[1])
        if found.pid is None:
            raise typer.Exit(1)

    @app.command()
    def guide(
        port: Annotated[int, typer.Option(min=1, max=65535)] = GUIDE_PORT,
    ) -> None:
        """Serve the Browser's guide, style and favourites on this machine until stopped."""
        from graphretrieval.stores import guide as pages

        with pages.server(port) as http:
            typer.echo(f"in Neo4j Browser type  :play {pages.address(http)}/guide.html", err=True)
            typer.echo(f"and                    :style {pages.address(http)}/style.grass", err=True)
            http.serve_forever()


def migrate_url(url: str, config: Config, *, dry_run: bool) -> list[str]:
    """Apply (or only list) a store's pending migrations."""
    if _is_remote(url):
        from graphretrieval.stores import chain, remote
        from graphretrieval.stores.bolt import Bolt

        address, user, database = remote.parse(url)
        password = remote.password_for(address, user)
        bolt = Bolt(address, (user, password), database=database, quick=10)
        try:
            return chain.migrate(bolt, dry_run=dry_run)
        finally:
            bolt.close()
    return _migrate_file(Path(url.removeprefix("sqlite:///")), dry_run)


def _migrate_file(path: Path, dry_run: bool) -> list[str]:
    import sqlite3

    from graphretrieval.stores import migrate

    if not path.exists():
        raise QueryError(
            f"there is no store at {path}",
            remedy=f"run `graphretrieval --store {shlex.quote(str(path))} add FOLDER` first",
        )
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return migrate.migrate(connection, dry_run=dry_run)
    finally:
        connection.close()


def sync_urls(
    source: str, target: str, config: Config, *, prune: bool, models: bool, json: bool
) -> None:
    """Copy, compare, print; exit code 1 if they differ."""
    from graphretrieval import render
    from graphretrieval.retriever import open
    from graphretrieval.retriever.sync import sync

    if not _is_remote(source) and not Path(source.removeprefix("sqlite:///")).exists():
        raise QueryError(f"there is no store at {source}", remedy="check the path")
    if source == target:
        raise QueryError("source and target are the same store", remedy="name two")
    with (
        open(source, config=config) as a,
        open(target, config=config) as b,
        render.bars() as progress,
    ):
        done = sync(a, b, prune=prune, models=models, progress=progress)
    if json:
        _print_json(done.to_json())
    else:
        columns = ("kind", "name", "source", "target", "equal")
        shown = [{c: getattr(row, c) for c in columns} for row in done.rows]
        render.print_rows([{**r, "equal": "yes" if r["equal"] else "no"} for r in shown], columns)
    if not done.equal:
        raise GraphRetrievalError(
            "the stores differ after copying",
            remedy="the target has more than the source: --prune removes that; or it was written "
            "meanwhile: run again",
        )


def _is_remote(url: str) -> bool:
    return url.partition("://")[0].partition("+")[0] in ("neo4j", "bolt") and "://" in url


def _say(found: Status, json: bool) -> None:
    from dataclasses import asdict

    if json:
        _print_json({**asdict(found), "url": found.url, "running": found.pid is not None})
        return
    state = "is not running" if found.pid is None else f"runs as process {found.pid}"
    typer.echo(f"Neo4j {found.version} {state}")
    typer.echo(f"store     {found.url}")
    typer.echo(f"Browser   {found.browser}")
    typer.echo(f"password  in {found.password_file}, found by itself for this address")


def _print_json(value: Any) -> None:
    from graphretrieval.render import print_json

    print_json(value)
