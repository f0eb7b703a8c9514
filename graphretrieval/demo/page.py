"""One HTML file with the answers: pictures and sounds inside it, score parts as bars, the paths."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from graphretrieval import render
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import Answer, Hit, ImageContent, Modality, Node

# a page of forty answers stays under about ten megabytes
THUMBNAIL = 120
SOUND_BYTES = 60_000

COLOURS = {"content": "#4c78a8", "graph": "#59a14f", "path": "#e19c24", "lexical": "#b07aa1"}

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.45 system-ui, "Noto Sans CJK SC", sans-serif; margin: 2rem auto;
       max-width: 74rem; padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin: 2rem 0 .4rem }
.hits { display: flex; flex-wrap: wrap; gap: .8rem; padding: 0; list-style: none }
.hit { width: 13.2rem; border: 1px solid var(--line); border-radius: .5rem; padding: .6rem;
       box-sizing: border-box }
.hit img { display: block; margin: 0 auto .4rem; max-width: 100%; height: 120px;
           object-fit: contain; background: #fff; border-radius: .3rem }
.hit audio { width: 100%; height: 2rem } .hit.right { border-color: #59a14f; border-width: 2px }
.bar { display: flex; height: .45rem; border-radius: .2rem; overflow: hidden; margin: .35rem 0 }
.path, .id { font-size: .75rem; opacity: .75; overflow-wrap: anywhere }
.none { opacity: .7; font-style: italic }
.key span { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem;
            margin: 0 .3rem 0 .9rem; vertical-align: -1px }
"""


@dataclass(frozen=True)
class Shown:
    """An answer with its heading and, where they are known, the ids of right answers."""

    heading: str
    answer: Answer
    right: frozenset[str] = frozenset()


def write_page(
    file: Path, title: str, intro: str, shown: Sequence[Shown], reader: MediaReader
) -> None:
    """Write the page; it needs no other file and no network."""
    key = "".join(f'<span style="background:{c}"></span>{name}' for name, c in COLOURS.items())
    body = "\n".join(_section(s, reader) for s in shown)
    file.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style><h1>{escape(title)}</h1><p>{escape(intro)}</p>"
        f'<p class="key">Parts of a score:{key}</p>{body}</html>\n',
        "utf-8",
    )


def _section(shown: Shown, reader: MediaReader) -> str:
    hits = "".join(_card(hit, hit.id in shown.right, reader) for hit in shown.answer.hits)
    note = '<p class="none">no confident match; the nearest are:</p>'
    return (
        f"<section><h2>{escape(shown.heading)}</h2>{note if shown.answer.no_match else ''}"
        f'<ul class="hits">{hits}</ul></section>'
    )


def _card(hit: Hit, right: bool, reader: MediaReader) -> str:
    total = sum(max(v, 0) for v in hit.parts.values()) or 1.0
    bar = "".join(
        f'<i style="width:{100 * max(value, 0) / total:.1f}%;background:{COLOURS[name]}" '
        f'title="{name} {value:.3f}"></i>'
        for name, value in hit.parts.items()
    )
    sure = "" if hit.confidence is None else f" · {hit.confidence:.0%} sure"
    return (
        f'<li class="hit{" right" if right else ""}">{_media(hit.node, reader)}'
        f"<strong>{escape(render.title(hit))}</strong>"
        f'<div class="bar" role="img" aria-label="{escape(render.parts(hit))}">{bar}</div>'
        f'<div class="id">{hit.score:.3f}{sure}</div>'
        f'<div class="path">{escape(render.way(hit.path))}</div></li>'
    )


def _media(node: Node, reader: MediaReader) -> str:
    if node.modality == Modality.IMAGE:
        return _picture(node, reader)
    if node.modality == Modality.AUDIO and node.uri:
        data = Path(node.uri)
        if data.exists() and data.stat().st_size <= SOUND_BYTES:
            kind = node.media_type or "audio/ogg"
            return (
                f'<audio controls preload="none" src="{_inline(kind, data.read_bytes())}"></audio>'
            )
    return ""


def _picture(node: Node, reader: MediaReader) -> str:
    from PIL import Image

    content = next(iter(reader.load([node])))
    if not isinstance(content, ImageContent):
        return ""
    picture = Image.fromarray(content.pixels)
    picture.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    source = _inline("image/jpeg", buffer.getvalue())
    return f'<img alt="{escape(node.title or node.id)}" src="{source}">'


def _inline(kind: str, data: bytes) -> str:
    return f"data:{escape(kind)};base64,{base64.b64encode(data).decode()}"
