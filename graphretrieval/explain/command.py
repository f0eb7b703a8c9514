"""The command ``explain``: a hit of a query in sentences, as JSON or as a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphretrieval.errors import QueryError

if TYPE_CHECKING:
    from graphretrieval.explain.deletion import EdgeKey
    from graphretrieval.retriever import Retriever


def mount(
    app: typer.Typer,
    open_store: Callable[[], Retriever],
    term: Callable[[str], tuple[str, float]],
    as_json: Callable[[], bool],
) -> None:
    """Add the command; ``term`` reads ``VALUE:0.5``, ``as_json`` tells whether JSON was asked."""

    @app.command()
    def explain(
        text: Annotated[str | None, typer.Argument(help="Words, in any language.")] = None,
        hit: Annotated[
            str | None, typer.Option(help="Id of the hit; the best one if not given.")
        ] = None,
        image: Annotated[list[str] | None, typer.Option(help="Picture file, or FILE:0.5.")] = None,
        audio: Annotated[list[str] | None, typer.Option(help="Sound file, or FILE:0.5.")] = None,
        node: Annotated[list[str] | None, typer.Option(help="Stored item, or ID:0.5.")] = None,
        exclude: Annotated[
            list[str] | None, typer.Option("--not", help="Words or an id to stay away from.")
        ] = None,
        target: Annotated[list[str] | None, typer.Option(help="image, text, audio or any.")] = None,
        category: Annotated[str | None, typer.Option(help="Only in or below a category.")] = None,
        language: Annotated[
            str | None,
            typer.Option("--hit-lang", help="Only hits in a language; pictures have none."),
        ] = None,
        collection: Annotated[str | None, typer.Option(help="Only of a collection.")] = None,
        license: Annotated[str | None, typer.Option(help="Only under a licence.")] = None,
        without: Annotated[
            list[str] | None,
            typer.Option(help='Also leave out an edge, "SRC TYPE DST"; repeatable.'),
        ] = None,
        paths: Annotated[int, typer.Option(min=1, max=100, help="Most paths shown.")] = 5,
        content: Annotated[
            bool, typer.Option(help="Also find what of the content counts (slower).")
        ] = True,
        lang: Annotated[str, typer.Option(help="Language of the sentences: en or zh.")] = "en",
        html: Annotated[Path | None, typer.Option(help="Write a page with pictures.")] = None,
        json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
    ) -> None:
        """Say why a hit is one: paths, score parts, deletions, what of the content counts."""
        from graphretrieval import render
        from graphretrieval.explain import explain as explained
        from graphretrieval.explain.page import write_page
        from graphretrieval.explain.show import print_explanation
        from graphretrieval.explain.words import Words
        from graphretrieval.sources.limits import Limits
        from graphretrieval.sources.media import MediaReader

        Words(lang, {})  # a wrong language is refused before anything is asked
        query = {
            "text": text,
            "image": [term(x) for x in image or ()],
            "audio": [term(x) for x in audio or ()],
            "node": [term(x) for x in node or ()],
            "exclude": [term(x) for x in exclude or ()],
            "target": target or "any",
            "category": category,
            "lang": language,
            "collection": collection,
            "license": license,
        }
        edges = [_edge(x) for x in without or ()]
        with open_store() as kb:
            found = explained(kb, query, hit, edges=edges, paths=paths, content=content)
            if html is not None:
                with MediaReader(Limits.of(kb.config)) as reader:
                    write_page(html, found, reader, lang)
        if json or as_json():
            render.print_json(found.to_json(lang))
        elif html is not None:
            typer.echo(f"written to {html}", err=True)
        else:
            print_explanation(found, lang)


def _edge(text: str) -> EdgeKey:
    parts: Sequence[str] = text.split()
    if len(parts) != 3:
        raise QueryError(
            f"--without {text!r} is not SRC TYPE DST",
            remedy='e.g. --without "a.txt DESCRIBES a.png"',
        )
    return parts[0], parts[1].upper(), parts[2]
