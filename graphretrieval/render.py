"""What people see in a terminal: progress on stderr, answers and tables on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import markup
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from graphretrieval.types import JSON, Answer, Hit, Path

if TYPE_CHECKING:
    from graphretrieval.retriever.ingest import Report

# they join letters of Persian or Hindi, and the parts of an emoji
_JOINERS = "\u200c\u200d"
UNBROKEN = 100_000
ARROWS = {"out": "─{}→", "in": "←{}─"}


def printable(text: str) -> str:
    """Text on one line that commands nothing to a terminal: no escapes, no change of direction."""
    return "".join(
        c if c.isprintable() or c in _JOINERS else " " if c.isspace() else "\ufffd" for c in text
    )


def _escaped(text: str) -> str:
    """Text from a collection, as a table or line shows it, whatever it holds."""
    return markup.escape(printable(text))


def console() -> Console:
    """Standard output; in a file or pipe nothing is cut or broken."""
    return Console(width=None if sys.stdout.isatty() else UNBROKEN, highlight=False)


def print_json(value: JSON) -> None:
    """One JSON document on stdout, Chinese as Chinese."""
    print(json.dumps(value, ensure_ascii=False))


@contextmanager
def bars(quiet: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """Progress bars on stderr, one for each thing under way.

    Yields:
        A callback ``(done, total, what)``, as every stage takes it.
    """
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        tasks: dict[str, int] = {}

        def show(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=total or None)  # type: ignore[arg-type]

        yield show
        for task in progress.tasks:  # a stage that was left out, or that ended early, is done too
            progress.update(task.id, completed=task.total)


def print_error(problem: str, remedy: str = "") -> None:
    """What went wrong and what to do, on stderr."""
    err = Console(stderr=True, highlight=False)
    # unbroken, so that a path in it can be copied and a script can look for it
    err.print(f"[bold red]error:[/] {_escaped(problem)}", soft_wrap=True)
    if remedy:
        err.print(f"[dim]→[/] {_escaped(remedy)}", soft_wrap=True)


def print_report(report: Report) -> None:
    """What an ``add`` brought in; refusals with reasons, the first twenty."""
    out = console()
    out.print(
        f"{report.nodes} nodes and {report.edges} edges from {report.files} new or changed files "
        f"in {report.seconds:.1f} s; {report.unchanged} unchanged"
        + (f"; {report.removed} nodes removed" if report.removed else "")
    )
    if report.ignored:
        n = sum(report.ignored.values())
        kinds = ", ".join(f"{ending} {count}" for ending, count in report.ignored.items())
        out.print(f"{n} {'file' if n == 1 else 'files'} passed over: {_escaped(kinds)}")
    if report.refused:
        out.print(f"[yellow]{len(report.refused)} refused:[/]")
        for uri, reason in report.refused[:20]:
            out.print(f"  {_escaped(uri)}: {_escaped(reason)}")
        if len(report.refused) > 20:
            out.print(f"  … and {len(report.refused) - 20} more (--json lists all)")


def print_answer(answer: Answer, *, explain: bool = False) -> None:
    """Hits as a table; with ``explain`` their score parts and paths below each."""
    out = console()
    if not answer.hits:
        out.print(f"nothing found{_escaped(_filters(answer))}")
        return
    if answer.no_match:
        out.print("[yellow]no confident match[/]; the nearest are:")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "score", "sure", "kind", "title", "id"):
        table.add_column(name, overflow="fold")
    for rank, hit in enumerate(answer.hits, 1):
        sure = "" if hit.confidence is None else f"{hit.confidence:.0%}"
        table.add_row(
            str(rank),
            f"{hit.score:.3f}",
            sure,
            hit.node.modality,
            _escaped(title(hit)),
            _escaped(hit.id),
        )
        if explain:
            table.add_row("", "", "", "", f"[dim]{_escaped(parts(hit))}[/]", "")
            table.add_row("", "", "", "", f"[dim]{_escaped(way(hit.path))}[/]", "")
    out.print(table)


def _filters(answer: Answer) -> str:
    """Why there may be nothing: the filters that were asked for, as they are given."""
    where = answer.query.get("where", {})
    given = " ".join(f"--{name} {value}" for name, value in where.items())
    return f"; no item passes the filters ({given})" if given else ""


def title(hit: Hit) -> str:
    """A hit's title or the beginning of its text, with its language and place."""
    node = hit.node
    words = node.text if node.modality == "text" and node.text else node.title or node.id
    words = " ".join(printable(words).split())
    short = words if len(words) <= 70 else words[:69] + "…"
    if node.start is not None and node.unit:
        short += f" ({node.unit} {node.start:g}–{node.end:g})"
    return f"{short} [{node.lang}]" if node.lang else short


def parts(hit: Hit) -> str:
    """Score parts in words, greatest first."""
    shown = sorted(hit.parts.items(), key=lambda item: -abs(item[1]))
    return " + ".join(f"{name} {value:.3f}" for name, value in shown if abs(value) >= 0.0005)


def way(path: Path | None) -> str:
    """A path as one line: ``query ≈ a ─DESCRIBES→ b``."""
    if path is None:
        return "(no path: found by likeness alone)"
    words = [f"query ≈({path.anchor} {path.anchor_weight:.2f}) "] if path.anchor else []
    for i, node in enumerate(path.nodes):
        words.append(node)
        if i < len(path.steps):
            step = path.steps[i]
            words.append(f" {ARROWS[step.direction].format(step.type)} ")
    return "".join(words)


def print_info(info: Mapping[str, JSON]) -> None:
    """Counts of nodes, edges and proposals, and the model in service."""
    out = console()
    out.print(f"{_escaped(str(info['store']))} at revision {info['revision']}")
    for kind in ("nodes", "edges", "proposed"):
        counts = ", ".join(f"{n} {name}" for name, n in sorted(info.get(kind, {}).items()))
        if counts or kind != "proposed":
            out.print(f"{kind}: {_escaped(counts) or 'none'}")
    learned = info["learned"]
    if learned is None:
        out.print("no model yet: run `graphretrieval fit`")
        return
    out.print(
        f"model {info['model']}: learned from revision {learned['revision']} in "
        f"{learned['seconds']} s, seed {learned['seed']}"
    )


def print_rows(rows: Sequence[Mapping[str, JSON]], columns: Sequence[str]) -> None:
    """Rows of a table; numbers with three places."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")  # an id that is cut cannot be copied
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in columns))
    console().print(table)


def _cell(value: JSON) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else _escaped(str(value))
