"""Get a real collection, ingest it, learn, measure, answer, and say what to try next."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich.markup import escape

from graphretrieval import render
from graphretrieval.config import Config
from graphretrieval.demo.collections import Collection, obtain
from graphretrieval.demo.page import Shown, write_page
from graphretrieval.evaluation import protocols
from graphretrieval.retriever import Retriever, open
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import JSON

HITS = 5
#: What to ask next, in English of pictures and in Chinese of sounds.
TRY = {"stamps": ("something that flies", "乐器"), "toy": ("a yellow sun", "波浪")}


def run(name: str, out: Path, config: Config, *, seed: int = 0) -> None:
    """The whole demo; run again, it uses what is there and does the rest."""
    started = time.perf_counter()
    screen = render.console()
    out.mkdir(parents=True, exist_ok=True)
    collection = obtain(name, Path(config["cache_dir"]).expanduser())
    screen.print(f"[bold]collection[/] {collection.name}: {collection.about}")
    with open(out / f"{collection.name}.db", config=config) as kb:
        with render.bars() as progress:
            report = kb.add(
                collection.folder,
                collection=collection.name,
                lang=collection.lang,
                progress=progress,
            )
            kb.fit(seed=seed, progress=progress)
        render.print_report(report)
        render.print_info(kb.info())
        checks = _checks(kb, collection, screen)
        shown = _answers(kb, collection, screen)
        page = out / "answers.html"
        with MediaReader(Limits.of(config)) as reader:
            intro = f"{collection.about}. Green frames are the answers written down beforehand."
            write_page(page, f"graphretrieval: {collection.name}", intro, shown, reader)
        (out / "checks.json").write_text(json.dumps(checks, ensure_ascii=False, indent=1), "utf-8")
    screen.print(f"\n{time.perf_counter() - started:.0f} s in all. The answers: {page}")
    _next(collection, out, screen)


def _checks(kb: Retriever, collection: Collection, screen: Any) -> dict[str, JSON]:
    """Descriptions of one language taken out and used as queries: do they find their picture?"""
    screen.print("\n[bold]measured[/]: descriptions hidden, then asked (connected protocol)")
    with render.bars() as progress:
        plan = protocols.Plan("connected", hide_lang=("es", "zh"), parts=True)
        result = protocols.evaluate(kb, plan, data=collection.name, progress=progress)
    rows = [
        {"hidden": row["slice"], "part": row["method"], **row}
        for row in result.rows
        if row["target"] == "image"
    ]
    columns = ("hidden", "part", "recall@1", "recall@10", "map", "mrr", "n_query", "n_gallery")
    render.print_rows(rows, columns)
    return result.to_json()


def _answers(kb: Retriever, collection: Collection, screen: Any) -> list[Shown]:
    """The written-down queries, then queries across media."""
    shown = []
    right = 0
    queries = written_down(collection.name)
    screen.print(f"\n[bold]{len(queries)} queries written down beforehand[/]")
    for query in queries:
        answer = kb.search(query["text"], target=query["target"], k=HITS)
        wanted = frozenset(query["right"])
        first = bool(answer.hits) and answer.hits[0].id in wanted
        right += first
        mark = "[green]✓[/]" if first else "[red]✗[/]"
        best = escape(render.title(answer.hits[0])) if answer.hits else "nothing"
        screen.print(f" {mark} {query['text']} → {query['target']}: {best}", markup=True)
        heading = f"{query['text']} → {query['target']}"
        shown.append(Shown(heading, answer, wanted))
    if queries:
        screen.print(f"{right} of {len(queries)} right at the first place")
    for heading, arguments in across(kb, collection.name):
        answer = kb.search(**arguments, k=HITS)
        screen.print(f"\n[bold]{heading}[/]")
        render.print_answer(answer, explain=True)
        shown.append(Shown(heading, answer))
    return shown


def written_down(name: str) -> list[Mapping[str, Any]]:
    """The queries whose right answers were written down before the first run."""
    if name != "stamps":
        circle = ["toy/shapes/circle/red_circle.png"]
        moon = [
            f"toy/nature/moon/{x}" for x in ("red_moon.wav", "blue_moon.flac", "black_moon.wav")
        ]
        return [
            {"text": text, "target": target, "right": right}
            for text, target, right in (
                ("a red circle", "image", circle),
                ("红色的圆", "image", circle),
                ("un círculo rojo", "image", circle),
                ("moon", "audio", moon),
                ("月亮", "audio", moon),
            )
        ]
    lines = files("graphretrieval.demo").joinpath("queries.jsonl").read_text("utf-8")
    return [json.loads(line) for line in lines.splitlines()]


def across(kb: Retriever, name: str) -> Sequence[tuple[str, dict[str, Any]]]:
    """Queries from any medium to any other, by items that the collection has."""
    if name == "stamps":
        cats = "stamps/animals/mammals/cats"
        music = "stamps/hobbies/music"
        return (
            ("a picture of a lion → sounds", {"node": f"{cats}/lion.png", "target": "audio"}),
            ("a lion's roar → pictures", {"node": f"{cats}/lion.ogg", "target": "image"}),
            (
                "a violin's picture → texts",
                {"node": f"{music}/string/violin.png", "target": "text"},
            ),
            ("a cello's sound → sounds", {"node": f"{music}/string/cello.ogg", "target": "audio"}),
            (
                "a tiger's picture and the word 'bird' → pictures",
                {"text": "bird", "node": f"{cats}/tiger.png", "target": "image"},
            ),
        )
    first = {m: next(kb.store.nodes(m), None) for m in ("image", "audio")}
    return [
        (f"{node.title} ({m}) → {other}", {"node": node.id, "target": other})
        for m, node in first.items()
        if node is not None
        for other in ("image", "audio")
        if other != m
    ]


def _next(collection: Collection, out: Path, screen: Any) -> None:
    store = f"graphretrieval --store {out / collection.name}.db"
    if shutil.which("graphretrieval") is None:
        store = f".venv/bin/{store}"
    screen.print("Try next:")
    words, chinese = TRY.get(collection.name, TRY["toy"])
    for command in (
        f'{store} search "{words}" --target image --explain',
        f"{store} search {chinese} --target audio",
        f"{store} info",
    ):
        screen.print(f"  {command}", markup=False, highlight=False)
