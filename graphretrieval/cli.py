"""The command line: results on stdout, progress and messages on stderr.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some inputs were refused.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from graphretrieval import __version__, cli_living, cpus, neo4j_cli
from graphretrieval import config as settings
from graphretrieval.api import commands
from graphretrieval.errors import (
    ConfigError,
    GraphRetrievalError,
    NotRegistered,
    QueryError,
    of_system,
)
from graphretrieval.explain import command as explain_command

if TYPE_CHECKING:
    from graphretrieval.retriever import Retriever

FAILED, USAGE, REFUSED, STOPPED = 1, 2, 3, 130

# typer brings its own copy of click, of which this is the error of a wrong command line
_WRONG_USAGE: type[typer.BadParameter] = typer.BadParameter.__mro__[1]


class _Commands(TyperGroup):
    """The commands; what is often written in the wrong place is put right in the error."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except _WRONG_USAGE as e:
            e.message += _hint(e)
            raise
        except KeyboardInterrupt:
            from graphretrieval.render import print_error

            print_error("stopped", "what was acknowledged is kept; run the same command to go on")
            raise typer.Exit(STOPPED) from None


def _hint(error: typer.BadParameter) -> str:
    command = error.ctx.command_path.rpartition("graphretrieval ")[2] if error.ctx else ""
    option = getattr(error, "option_name", None)
    if option in ("--store", "--config", "--verbose", "-v"):
        return f". It stands before the command: graphretrieval {option} … {command} …"
    if "unexpected extra argument" in error.message and command in ("search", "explain"):
        return f'. Put several words into quotes: graphretrieval {command} "…"'
    return ""


app = typer.Typer(
    cls=_Commands,
    help="Search images, texts and sounds together, over a graph that says why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models_app = typer.Typer(help="Versions of what was learned.", no_args_is_help=True)
app.add_typer(models_app, name="models")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Refiner = Annotated[
    str | None,
    typer.Option(help="propagate, none, sage, gat, rgcn, hgt, sign or auto (docs/refiners.md)."),
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]


@dataclass
class _Globals:
    """Options before the command."""

    store: str | None = None
    config: settings.Config = field(default_factory=settings.Config)
    json: bool = False


_given = _Globals()


def _version(show: bool) -> None:
    if show:
        typer.echo(f"graphretrieval {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    store: Annotated[
        str | None,
        typer.Option(
            help="File path, sqlite:///path or neo4j://user@host:7687.",
            envvar="GRAPHRETRIEVAL_STORE",
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (TOML).")] = None,
    json: Json = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show full errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    _given.config = settings.load(config, store=store)
    _given.json = json
    if verbose:
        app.pretty_exceptions_enable = True


def _open(*, must_exist: bool = True) -> Retriever:
    from graphretrieval.retriever import open

    where = str(_given.config["store"])
    file = Path(where.removeprefix("sqlite:///"))
    if "://" not in where.removeprefix("sqlite://"):
        if file.is_dir():
            raise QueryError(
                f"{file} is a folder, and a store is a file",
                remedy=f"name a file, such as --store {file / 'museum.db'}; folders are for `add`",
            )
        if must_exist and not file.exists():
            raise QueryError(
                f"there is no store at {file}", remedy=f"run `{_command('add FOLDER')}` first"
            )
    return open(where, config=_given.config)


def _command(words: str) -> str:
    """A command line for the store that was given."""
    where = str(_given.config["store"])
    named = "" if where == settings.Config()["store"] else f"--store {shlex.quote(where)} "
    return f"graphretrieval {named}{words}"


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(help="Folders, manifests, tables or PDFs.")],
    format: Annotated[str | None, typer.Option(help="Source format, if not by its look.")] = None,
    collection: Annotated[str | None, typer.Option(help="Name of the collection.")] = None,
    lang: Annotated[str | None, typer.Option(help="Language of texts that do not say.")] = None,
    category: Annotated[str | None, typer.Option(help="Category for everything added.")] = None,
    map: Annotated[
        list[str] | None, typer.Option(help="Table columns: FIELD=COLUMN, repeatable.")
    ] = None,
    prune: Annotated[bool, typer.Option(help="Remove what has vanished from disk.")] = False,
    json: Json = False,
) -> None:
    """Bring in media; run again, only what is new or changed is read."""
    from graphretrieval import render

    mapping = dict(_pair(m) for m in map) if map else None
    for path in paths:  # before a store is made for nothing
        _check_source(path, format)
    reports = []
    with _open(must_exist=False) as kb, render.bars() as progress:
        for path in paths:
            report = kb.add(
                path,
                format=format,
                collection=collection,
                lang=lang,
                category=category,
                mapping=mapping,
                prune=prune,
                progress=progress,
            )
            reports.append(report)
    if json or _given.json:
        render.print_json([r.to_json() for r in reports])
    else:
        for report in reports:
            render.print_report(report)
    if any(r.refused for r in reports):
        raise typer.Exit(REFUSED)


@app.command()
def fit(
    seed: Seed = 0,
    method: Annotated[str | None, typer.Option(help="Aligners to learn, joined by commas.")] = None,
    refiner: Refiner = None,
    json: Json = False,
) -> None:
    """Learn from what was added; writes a model version and puts it in service."""
    from graphretrieval import render

    _given.config = _learning(method, refiner)
    cpus.keep_freed_memory()
    with _open() as kb, render.bars() as progress:
        version = kb.fit(seed=seed, progress=progress)
        info = kb.info()
    if json or _given.json:
        render.print_json({"model": version, "learned": info["learned"]})
    else:
        render.print_info(info)


@app.command()
def search(
    text: Annotated[str | None, typer.Argument(help="Words, in any language.")] = None,
    image: Annotated[list[str] | None, typer.Option(help="Picture file, or FILE:0.5.")] = None,
    audio: Annotated[list[str] | None, typer.Option(help="Sound file, or FILE:0.5.")] = None,
    node: Annotated[list[str] | None, typer.Option(help="Stored item, or ID:0.5.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--not", help="Words or an id to stay away from.")
    ] = None,
    target: Annotated[list[str] | None, typer.Option(help="image, text, audio or any.")] = None,
    k: Annotated[int, typer.Option("--k", "-k", help="How many hits.")] = 10,
    category: Annotated[str | None, typer.Option(help="Only in or below a category.")] = None,
    lang: Annotated[
        str | None,
        typer.Option(help="Only in a language, such as zh; what has none, as pictures, is out."),
    ] = None,
    collection: Annotated[str | None, typer.Option(help="Only of a collection.")] = None,
    license: Annotated[str | None, typer.Option(help="Only under a licence.")] = None,
    diversity: Annotated[
        float, typer.Option(help="How much being unlike earlier hits counts, 0 to 1.")
    ] = 0.0,
    explain: Annotated[bool, typer.Option(help="Show score parts and paths.")] = False,
    json: Json = False,
) -> None:
    """Rank items for words, files and nodes together, each hit with the path to it."""
    from graphretrieval import render

    with _open() as kb:
        answer = kb.search(
            text,
            image=[_term(x) for x in image or ()],
            audio=[_term(x) for x in audio or ()],
            node=[_term(x) for x in node or ()],
            exclude=[_term(x) for x in exclude or ()],
            target=target or "any",
            k=k,
            category=category,
            lang=lang,
            collection=collection,
            license=license,
            diversity=diversity,
        )
    if json or _given.json:
        render.print_json(answer.to_json())
    else:
        render.print_answer(answer, explain=explain)


@app.command()
def link(src: str, type: str, dst: str, weight: float = 1.0, json: Json = False) -> None:
    """Assert an edge, such as `link a.txt DESCRIBES b.png`; the next search uses it."""
    with _open() as kb:
        _say({"revision": kb.link(src, type, dst, weight=weight)}, json)


@app.command()
def unlink(src: str, type: str, dst: str, json: Json = False) -> None:
    """Remove an edge."""
    with _open() as kb:
        _say({"revision": kb.unlink(src, type, dst)}, json)


@app.command()
def info(json: Json = False) -> None:
    """What is in the store, and which model serves it."""
    from graphretrieval import render

    with _open() as kb:
        about = kb.info()
    if json or _given.json:
        render.print_json(about)
    else:
        render.print_info(about)


@app.command()
def export(folder: Path, json: Json = False) -> None:
    """Write everything as a manifest folder (JSONL and CSV), with provenance."""
    with _open() as kb:
        kb.export(folder)
    _done("written to", folder, json)


@app.command()
def backup(folder: Path, json: Json = False) -> None:
    """Copy store and models into a new folder, consistent while in use."""
    with _open() as kb:
        kb.backup(folder)
    _done("written to", folder, json)


@app.command()
def restore(folder: Path, json: Json = False) -> None:
    """Bring a backup back as the store named by --store, which must not exist yet."""
    from graphretrieval.retriever.retriever import restore as bring_back

    target = str(_given.config["store"]).removeprefix("sqlite:///")
    bring_back(folder, target)
    _done("restored as", Path(target), json)


@app.command()
def evaluate(
    data: Annotated[
        Path | None, typer.Argument(help="Manifest folder; the store itself by default.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="inductive, few-labels, connected or links.")
    ] = "inductive",
    relevance: Annotated[str | None, typer.Option(help="category or instance.")] = None,
    labels: Annotated[int, typer.Option(help="few-labels: labelled nodes per category.")] = 10,
    complete_categories: Annotated[
        bool, typer.Option(help="Only categories marked complete.")
    ] = False,
    lang: Annotated[str | None, typer.Option(help="Only texts in this language.")] = None,
    hide_lang: Annotated[
        str | None,
        typer.Option(help="connected: hide all descriptions in these languages (zh,es)."),
    ] = None,
    undescribed: Annotated[
        float, typer.Option(help="connected: strip this share of the gallery.")
    ] = 0.0,
    missing: Annotated[
        float,
        typer.Option(
            help="This share of the pictures and sounds sought has lost its content, not its "
            "links; right answers with and without content are told apart. Not for links."
        ),
    ] = 0.0,
    controls: Annotated[bool, typer.Option(help="Also without and with wrong graphs.")] = False,
    noise: Annotated[
        bool, typer.Option(help="Also with 10 to 50 % of the edges wrong, and with false ones.")
    ] = False,
    slices: Annotated[
        str | None,
        typer.Option(
            help="Also parts of the queries, joined by commas: lang; parallel (languages, on what "
            "is asked for in more than one); size (of the category); direct (yes where one link, "
            "hidden or not, leads to a right answer); alike (yes where a wrong item is nearest in "
            "content to a right one, and nearer than three of four such neighbours); or a property."
        ),
    ] = None,
    parts: Annotated[bool, typer.Option(help="Also each part of the score alone.")] = False,
    calibration: Annotated[
        bool,
        typer.Option(
            help="Also how sure the best and the first five hits are said to be, and how "
            "often they are right. Not for links."
        ),
    ] = False,
    method: Annotated[str | None, typer.Option(help="Aligners, joined by commas.")] = None,
    refiner: Refiner = None,
    seeds: Annotated[int, typer.Option(help="How many seeds.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write the rows as JSON.")] = None,
    json: Json = False,
) -> None:
    """Measure retrieval by a named protocol, each figure beside chance and the controls."""
    from graphretrieval import render
    from graphretrieval.evaluation import protocols, results

    config = _given.config = _learning(method, refiner)
    plan = protocols.Plan(
        protocol,
        relevance=relevance,
        labels=labels,
        complete_categories=complete_categories,
        lang=lang,
        hide_lang=tuple(filter(None, (hide_lang or "").split(","))),
        undescribed=undescribed,
        missing=missing,
        controls=controls,
        noise=noise,
        slices=tuple(filter(None, (slices or "").split(","))),
        parts=parts,
        calibration=calibration,
        seeds=seeds,
    )
    cpus.keep_freed_memory()
    with render.bars() as progress:
        if data is None:
            with _open() as kb:
                result = protocols.evaluate(kb, plan, progress=progress)
        else:
            result = protocols.evaluate_folder(data, plan, config, progress=progress)
    if out is not None:
        import json as json_

        out.write_text(json_.dumps(result.to_json(), ensure_ascii=False, indent=1), "utf-8")
    if json or _given.json:
        render.print_json(result.to_json())
    else:
        results.print_result(result)


@app.command()
def demo(
    collection: Annotated[str, typer.Option(help="stamps (real) or toy (generated).")] = "stamps",
    out: Annotated[Path, typer.Option(help="Folder for the store and the page.")] = Path(".demo"),
    seed: Seed = 0,
) -> None:
    """The main job from end to end on a real collection, with a page of the answers."""
    from graphretrieval.demo.run import run

    cpus.keep_freed_memory()
    run(collection, out, _given.config, seed=seed)


explain_command.mount(app, lambda: _open(), lambda x: _term(x), lambda: _given.json)
commands.mount(app, lambda: _open(), lambda own: own or _given.json)
neo4j_cli.mount(app, lambda: (_given.config, _given.json))


def _learning(method: str | None, refiner: str | None) -> settings.Config:
    """The settings with what a command says about learning; names are checked before any work."""
    from graphretrieval import registry

    given = {"aligners": method, "refiner": refiner}
    config = _given.config.replace(**{k: v for k, v in given.items() if v is not None})
    registry.resolve("refiner", config["refiner"])
    names = [name.strip() for name in str(config["aligners"]).split(",") if name.strip()]
    if not names:
        raise ConfigError(
            "no aligner is named",
            remedy=f"name some of {', '.join(registry.names('aligner'))}, joined by commas",
        )
    for name in names:
        registry.resolve("aligner", name)
    return config


def _done(what: str, place: Path, json: bool) -> None:
    """What was written where: a message, or JSON."""
    from graphretrieval import render

    if json or _given.json:
        render.print_json({what.split()[0]: str(place)})
    else:
        typer.echo(f"{what} {place}", err=True)


def _say(result: dict[str, Any], json: bool) -> None:
    from graphretrieval import render

    if json or _given.json:
        render.print_json(result)
    else:
        typer.echo(", ".join(f"{name} {value}" for name, value in result.items()))


def _check_source(path: Path, format: str | None) -> None:
    from graphretrieval import registry
    from graphretrieval.retriever.ingest import detect

    if format is not None:
        registry.resolve("source", format)
    if format is None or not path.exists():
        detect(path)


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name or not value:
        raise ConfigError(f"--map {text!r} is not FIELD=COLUMN", remedy="e.g. --map title=dc:title")
    return name, value


def _term(text: str) -> tuple[str, float]:
    """``VALUE:0.5`` → the value and its weight; a colon within the value is left alone."""
    value, found, weight = text.rpartition(":")
    try:
        return (value, float(weight)) if found and value else (text, 1.0)
    except ValueError:
        return text, 1.0


cli_living.mount(app, models_app, _open, lambda own: own or _given.json)


def main() -> None:
    """Run the command line; errors become one line, a remedy and an exit code."""
    from graphretrieval.render import print_error

    try:
        app()
    except GraphRetrievalError as e:
        print_error(e.problem, e.remedy)
        sys.exit(USAGE if isinstance(e, QueryError | ConfigError | NotRegistered) else FAILED)
    except BrokenPipeError:
        sys.exit(FAILED)
    except OSError as e:
        if app.pretty_exceptions_enable:  # --verbose
            raise
        print_error(*of_system(e))
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
