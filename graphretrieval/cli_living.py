"""Commands of a graph that lives: retrain, go back, propose and decide, change and forget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphretrieval.errors import QueryError

if TYPE_CHECKING:
    from graphretrieval.retriever import Retriever

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
By = Annotated[str, typer.Option(help="Who decides.", envvar="GRAPHRETRIEVAL_BY")]

_open: Callable[[], Retriever]
_as_json: Callable[[bool], bool]


def mount(
    app: typer.Typer,
    models: typer.Typer,
    opened: Callable[[], Retriever],
    as_json: Callable[[bool], bool],
) -> None:
    """Add the commands.

    Args:
        app: the command line.
        models: its commands on versions.
        opened: opens the store that the options before the command name.
        as_json: whether JSON is wanted, by the command's own option or by that before it.
    """
    global _open, _as_json
    _open, _as_json = opened, as_json
    commands: list[Callable[..., None]] = [refit, update, forget, propose, accept, reject, undo]
    for command in commands:
        app.command()(command)
    on_versions: dict[str, Callable[..., None]] = {
        "list": models_list,
        "show": models_show,
        "diff": models_diff,
        "promote": models_promote,
        "rollback": models_rollback,
        "prune": models_prune,
    }
    for name, command in on_versions.items():
        models.command(name)(command)


def refit(
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    after_links: Annotated[int, typer.Option(help="Only after so many new links.")] = 0,
    after_minutes: Annotated[float, typer.Option(help="Only after so many minutes.")] = 0,
    json: Json = False,
) -> None:
    """Learn from new links; the result serves only if it is not worse than what does."""
    from graphretrieval import lifecycle, render

    policy = lifecycle.Policy(after_links, after_minutes)
    new: tuple[int, float] = (0, 0.0)
    with _open() as kb, render.bars() as progress:
        if after_links or after_minutes:
            new = lifecycle.new_links(kb)
            report = lifecycle.refit_if_due(kb, policy, seed=seed, progress=progress)
        else:
            report = lifecycle.refit(kb, seed=seed, progress=progress)
    if report is None:
        links, minutes = new[0], round(new[1] / 60, 1)
        if _as_json(json):
            render.print_json({"due": False, "new_links": links, "minutes": minutes})
        else:
            count = f"{links} new {'link' if links == 1 else 'links'}"
            typer.echo(f"not due: {count} in the {minutes:g} minutes since it was last tried")
    elif _as_json(json):
        render.print_json(report.to_json())
    else:
        said = "promoted" if report.promoted else "not promoted"
        typer.echo(f"{report.version} {said}: {report.reason}")
        if report.slices:
            columns = ("slice", "questions", "champion", "candidate", "difference")
            render.print_rows(report.slices, columns)


def update(
    id: str,
    title: Annotated[str | None, typer.Option(help="New title.")] = None,
    text: Annotated[str | None, typer.Option(help="New text.")] = None,
    lang: Annotated[str | None, typer.Option(help="New language.")] = None,
    license: Annotated[str | None, typer.Option(help="New licence.")] = None,
    json: Json = False,
) -> None:
    """Change a node's title, text, language or licence; the next search uses it."""
    given = {"title": title, "text": text, "lang": lang, "license": license}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise QueryError("nothing is to be changed", remedy="give --title, --text, …")
    with _open() as kb:
        _say({"revision": kb.update(id, **changes)}, json)


def forget(
    ids: Annotated[list[str], typer.Argument(help="Nodes; a source's fragments go with it.")],
    by: Annotated[str | None, typer.Option(help="Who asks for it.")] = None,
    json: Json = False,
) -> None:
    """Remove nodes and all that was made from them; prints the certificate."""
    from graphretrieval import lifecycle, render

    with _open() as kb:
        certificate = lifecycle.forget(kb, ids, by)
    if _as_json(json):
        render.print_json(certificate)
        return
    removed = certificate["removed"]
    typer.echo(f"certificate {certificate['certificate']}: {removed['nodes']} nodes removed")
    if certificate["statistics_in_models"]:
        typer.echo("statistics of all items were learned with them: run `fit` to learn without")
    for other in certificate["same_content_in"]:
        typer.echo(f"the same content is in {other}")


def propose(
    type: Annotated[str | None, typer.Option(help="DESCRIBES, IN_CATEGORY or RELATED_TO.")] = None,
    limit: Annotated[int, typer.Option(help="How many.")] = 20,
    by_usefulness: Annotated[bool, typer.Option(help="What is most worth an answer.")] = False,
    reliability: Annotated[
        bool, typer.Option(help="Instead: how often such links are right, by how sure.")
    ] = False,
    json: Json = False,
) -> None:
    """Links that may be missing, with how sure that is and why."""
    from graphretrieval import proposals, render

    if reliability:
        with _open() as kb:
            about = proposals.reliability(kb, (type or "DESCRIBES").upper())
        columns = ("from", "to", "pairs", "said", "right")
        _rows([about] if _as_json(json) else about["bins"], columns, json)
        return
    with _open() as kb:
        found = proposals.propose(
            kb, type=type.upper() if type else None, limit=limit, by_usefulness=by_usefulness
        )
    rows = [p.to_json() for p in found]
    if _as_json(json):
        render.print_json(rows)
    else:
        rows = [{**row, "reasons": "; ".join(row["reasons"])} for row in rows]
        render.print_rows(rows, ("id", "confidence", "src", "type", "dst", "reasons"))


def accept(id: str, by: By, json: Json = False) -> None:
    """Make a proposed link a true one."""
    from graphretrieval import proposals

    with _open() as kb:
        _say(_decision(proposals.accept(kb, id, by)), json)


def reject(id: str, by: By, json: Json = False) -> None:
    """Say that a proposed link is wrong; it is not proposed again."""
    from graphretrieval import proposals

    with _open() as kb:
        _say(_decision(proposals.reject(kb, id, by)), json)


def undo(id: str, by: By, json: Json = False) -> None:
    """Take back the last decision on a proposal."""
    from graphretrieval import proposals

    with _open() as kb:
        _say(_decision(proposals.undo(kb, id, by)), json)


def models_list(json: Json = False) -> None:
    """All versions, the one in service marked."""
    from graphretrieval import lifecycle

    with _open() as kb:
        rows = lifecycle.models(kb)
    columns = ("version", "in_service", "kind", "parent", "revision", "seed", "promoted", "mrr")
    _rows(rows, columns, json)


def models_show(version: str, json: Json = True) -> None:
    """What a version was learned from and how it was judged, as JSON."""
    from graphretrieval import lifecycle, render

    with _open() as kb:
        render.print_json(lifecycle.show(kb, version))


def models_diff(a: str, b: str, json: Json = False) -> None:
    """In what two versions differ."""
    from graphretrieval import lifecycle

    with _open() as kb:
        found = lifecycle.diff(kb, a, b)
    rows = [{"": name, a: x, b: y} for name, (x, y) in found.items()]
    _rows(rows, ("", a, b), json)


def models_promote(version: str, json: Json = False) -> None:
    """Put a version in service by hand."""
    from graphretrieval import lifecycle

    with _open() as kb:
        _say({"in service": lifecycle.promote(kb, version)}, json)


def models_rollback(json: Json = False) -> None:
    """Put the version that served before back in service."""
    from graphretrieval import lifecycle

    with _open() as kb:
        _say({"in service": lifecycle.rollback(kb)}, json)


def models_prune(
    keep: Annotated[int, typer.Option(help="How many of the newest stay.")] = 3,
    json: Json = False,
) -> None:
    """Delete old versions; the one in service and the one before it stay."""
    from graphretrieval import lifecycle, render

    with _open() as kb:
        removed = lifecycle.prune(kb, keep=keep)
    if _as_json(json):
        render.print_json({"removed": removed})
    else:
        typer.echo(f"removed {', '.join(removed)}" if removed else "nothing to remove")


def _decision(made: Mapping[str, Any]) -> dict[str, Any]:
    names = ("proposal", "verdict", "by", "undone_by", "src", "type", "dst", "revision")
    return {name: made[name] for name in names if name in made}


def _rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], json: bool) -> None:
    from graphretrieval import render

    if _as_json(json):
        render.print_json(rows)
    else:
        render.print_rows(rows, columns)


def _say(result: Mapping[str, Any], json: bool) -> None:
    from graphretrieval import render

    if _as_json(json):
        render.print_json(result)
    else:
        typer.echo(", ".join(f"{name} {value}" for name, value in result.items()))
