"""An explanation in the terminal: sentences, score parts as bars, what counts of the content."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from graphretrieval import render
from graphretrieval.explain.explanation import Explanation, Saliency
from graphretrieval.explain.words import Words

WIDTH = 30
# a picture's patches from those that speak against to those that count most
SHADES = " ·░▒▓█"


def print_explanation(e: Explanation, lang: str) -> None:
    """All of it, the sentences in a language."""
    say, out = Words(lang, e.nodes), render.console()
    out.print(f"[bold]{escape(say.summary(e))}[/]  [dim]{escape(e.hit.id)}[/]")
    for line in _ways(e, say):
        out.print(line)
    out.print(_parts(e, say))
    for d in e.deletions:
        out.print(f"  {escape(say.deletion(d))}")
    for s in e.saliency:
        out.print(f"[bold]{escape(salient(s, say))}[/]")
        for line in drawn(s):
            out.print(f"  {escape(line)}")
    for note in e.notes:
        out.print(f"[dim]{escape(note)}[/]")


def _ways(e: Explanation, say: Words) -> list[str]:
    """The paths in words, those that read the same together, the strongest of them first."""
    alike: dict[str, list[float]] = {}
    for path in e.ways:
        alike.setdefault(say.path(path), []).append(path.strength)
    lines = []
    for words, strengths in alike.items():
        again = say.text("again", times=len(strengths)) if len(strengths) > 1 else ""
        lines.append(f"  [dim]{max(strengths):.3f}[/]  {escape(words)}[dim]{escape(again)}[/]")
    return lines or [f"  {escape(say.path(None))}"]


def _parts(e: Explanation, say: Words) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in say.text("headings").split("|"):
        table.add_column(name)
    most = max((abs(p.value) for p in e.parts), default=0.0) or 1.0
    for part in e.parts:
        bar = "█" * round(WIDTH * max(part.value, 0.0) / most)
        table.add_row(f"[bold]{part.name}[/]", bar, "", "", "", f"[bold]{part.value:.6f}[/]")
        for c in part.columns:
            if c.contribution:
                name = say.text("term", column=c.name, term=c.term + 1) if c.term else c.name
                cells = (f"{c.value:.4f}", f"{c.weight:.4f}", f"{c.contribution:.6f}")
                table.add_row("", "", f"[dim]{escape(name)}[/]", *cells)
    table.add_row(say.text("score"), "", "", "", "", f"[bold]{e.hit.score:.6f}[/]")
    return table


def salient(s: Saliency, say: Words, most: int = 3) -> str:
    """The places that count most, as a sentence."""
    what = say.text(s.side)
    order = sorted(range(len(s.drops)), key=lambda i: -s.drops[i])[:most]
    places = [_place(s, i, say) for i in order if s.drops[i] > 0]
    if not places:
        return say.text("nothing_salient", what=what)
    return say.text("salient", what=what, places=say.text("between").join(places))


def _place(s: Saliency, i: int, say: Words) -> str:
    place = s.places[i]
    if s.modality == "image":
        across, down = (place[0] + place[2]) / 2, (place[1] + place[3]) / 2
        return say.text("patch", across=across, down=down)
    if s.modality == "audio":
        return say.text("seconds", start=place[0], end=place[1])
    return f"“{(s.text or '')[int(place[0]) : int(place[1])]}”"


def drawn(s: Saliency) -> list[str]:
    """Drops as characters: a picture's as rows of shades, others as one bar for each place."""
    heat = shares(s.drops)
    if s.modality == "image":
        rows: dict[float, str] = {}
        for place, value in zip(s.places, heat, strict=True):
            shade = SHADES[min(len(SHADES) - 1, int(max(value, 0.0) * len(SHADES)))]
            rows[place[1]] = rows.get(place[1], "") + 2 * shade
        return list(rows.values())
    out = []
    for place, value, drop in zip(s.places, heat, s.drops, strict=True):
        if s.modality == "audio":
            label = f"{place[0]:6.2f}–{place[1]:6.2f} s"
        else:
            label = (s.text or "")[int(place[0]) : int(place[1])]
        out.append(f"{label:<16} {drop:+.4f} {'█' * round(WIDTH * max(value, 0.0))}")
    return out


def shares(drops: Sequence[float]) -> list[float]:
    """Drops over the greatest of them, in [-1, 1]."""
    most = max((abs(d) for d in drops), default=0.0)
    return [d / most if most else 0.0 for d in drops]
