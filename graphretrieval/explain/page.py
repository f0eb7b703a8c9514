"""One HTML file that explains a hit: media inside it, heat maps as SVG, nothing fetched."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path as FilePath

from graphretrieval.explain.explanation import Explanation, Saliency
from graphretrieval.explain.show import salient, shares
from graphretrieval.explain.words import Words
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import ImageContent, Modality, Node, Path

PICTURE, THUMBNAIL = 420, 120
# sounds larger than this are named but not put into the page
SOUND_BYTES = 4_000_000
COLOURS = {"content": "#4c78a8", "graph": "#59a14f", "path": "#e19c24", "lexical": "#b07aa1"}
#: What counts for the hit, and what counts against it.
FOR, AGAINST = "215, 48, 39", "69, 117, 180"
HEADINGS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Why this hit?",
        "query": "Query",
        "hit": "Hit",
        "parts": "What the score adds up from",
        "paths": "Paths",
        "deletions": "Without an edge",
        "content": "What of the content counts",
        "column": "measured as",
        "value": "value",
        "weight": "× weight",
        "adds": "= adds",
        "score": "score",
        "rank": "rank",
        "edge": "edge left out",
        "key": "red counts for the hit, blue against it; of {base:.3f} ({measure})",
        "nodes": "The nodes on these paths",
        "made": "model {model}, data revision {revision}",
        "notes": "Notes",
    },
    "zh": {
        "title": "为何命中？",
        "query": "查询",
        "hit": "命中项",
        "parts": "得分的组成",
        "paths": "路径",
        "deletions": "去掉一条关联",
        "content": "内容中重要之处",
        "column": "度量",
        "value": "数值",
        "weight": "× 权重",
        "adds": "= 贡献",
        "score": "得分",
        "rank": "名次",
        "edge": "去掉的关联",
        "key": "红色有利，蓝色不利；总计 {base:.3f}（{measure}）",
        "nodes": "这些路径上的节点",
        "made": "模型 {model}，数据版本 {revision}",
        "notes": "说明",
    },
}
STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; margin: 2rem auto;
       max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
.pair { display: flex; flex-wrap: wrap; gap: 1.5rem } .pair > div { flex: 1 1 18rem }
.bar { display: flex; height: 1.1rem; border-radius: .3rem; overflow: hidden; margin: .5rem 0 }
table { border-collapse: collapse } td, th { padding: .15rem .7rem .15rem 0; text-align: right }
td:first-child, th:first-child { text-align: left } th { font-weight: normal; opacity: .7 }
tr.part td { font-weight: 600; border-top: 1px solid var(--line) }
ol { padding-left: 1.3rem } li { margin: .5rem 0 }
.way { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem }
.way a, .card { border: 1px solid var(--line); border-radius: .4rem; padding: .35rem;
       font-size: .8rem; max-width: 9rem; overflow-wrap: anywhere; color: inherit }
.card { max-width: 14rem } .card:target { outline: 3px solid #e19c24 }
.cards { display: flex; flex-wrap: wrap; gap: .6rem }
.way img, .card img { display: block; height: 64px; max-width: 100%; object-fit: contain;
       margin: 0 auto .2rem; background: #fff }
.step { font-size: .75rem; opacity: .75 } .dim { opacity: .7; font-size: .85rem }
.worse { color: #d73027; font-weight: 600 } svg { max-width: 100%; height: auto; display: block }
.text { font-size: 1.25rem; line-height: 2 } .text span { border-radius: .2rem; padding: .1rem }
audio { width: 100%; max-width: 26rem; display: block }
"""


def write_page(file: FilePath, e: Explanation, reader: MediaReader, lang: str = "en") -> None:
    """Write the page; it needs no other file and no network."""
    file.write_text(_Page(e, reader, lang).html(), "utf-8")


class _Page:
    def __init__(self, e: Explanation, reader: MediaReader, lang: str) -> None:
        self.e, self.reader = e, reader
        self.say, self.head = Words(lang, e.nodes), HEADINGS.get(lang, HEADINGS["en"])
        self.pictures: dict[tuple[str, int], tuple[str, int, int] | None] = {}

    def html(self) -> str:
        """The whole page."""
        h, e = self.head, self.e
        made = h["made"].format(model=e.model, revision=e.revision)
        return (
            f'<!doctype html><html lang="{self.say.lang}"><meta charset="utf-8">'
            f"<title>{escape(h['title'])}</title>"
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'; img-src data:; media-src data:\">"
            f"<style>{STYLE}</style><h1>{escape(self.say.summary(e))}</h1>"
            f'<p class="dim">{escape(e.hit.id)} · {escape(made)}</p>'
            f'<div class="pair"><div><h2>{h["query"]}</h2>{self._query()}</div>'
            f"<div><h2>{h['hit']}</h2>{self._media(e.hit.node, PICTURE)}"
            f"<p>{escape(self._words(e.hit.node))}</p></div></div>"
            f"<h2>{h['parts']}</h2>{self._parts()}"
            f"<h2>{h['paths']}</h2>{self._paths()}"
            f"{self._deletions()}{self._content()}{self._notes()}"
            f'<h2>{h["nodes"]}</h2><div class="cards">{self._cards()}</div></html>\n'
        )

    def _query(self) -> str:
        out = []
        for term in self.e.query["terms"]:
            kind, value = term["kind"], term["value"]
            node = self.e.nodes.get(value) if kind == "node" else None
            if kind in (Modality.IMAGE, Modality.AUDIO):
                node = Node("query", kind, uri=str(FilePath(value).resolve()))
            shown = self._media(node, PICTURE) if node is not None else ""
            weight = "" if term["weight"] == 1.0 else f" × {term['weight']:g}"
            words = self._words(node) if kind == "node" and node is not None else str(value)
            out.append(f"{shown}<p>{escape(words)}{weight}</p>")
        return "".join(out)

    def _words(self, node: Node) -> str:
        return (node.text if node.modality == "text" else node.title) or node.id

    def _parts(self) -> str:
        h, e = self.head, self.e
        total = sum(max(p.value, 0.0) for p in e.parts) or 1.0
        bar = "".join(
            f'<i style="width:{100 * max(p.value, 0.0) / total:.2f}%;background:{COLOURS[p.name]}"'
            f' title="{p.name} {p.value:.3f}"></i>'
            for p in e.parts
        )
        rows = []
        for p in e.parts:
            rows.append(
                f'<tr class="part"><td><span style="color:{COLOURS[p.name]}">■</span> {p.name}'
                f"</td><td></td><td></td><td>{p.value:.6f}</td></tr>"
            )
            rows += [
                f"<tr><td>{escape(c.name)}{f' ({c.term + 1})' if c.term else ''}</td>"
                f"<td>{c.value:.4f}</td><td>{c.weight:.4f}</td><td>{c.contribution:.6f}</td></tr>"
                for c in p.columns
                if c.contribution
            ]
        return (
            f'<div class="bar">{bar}</div><table><tr><th>{h["column"]}<th>{h["value"]}'
            f"<th>{h['weight']}<th>{h['adds']}</tr>{''.join(rows)}"
            f'<tr class="part"><td>{h["score"]}</td><td></td><td></td>'
            f"<td>{e.hit.score:.6f}</td></tr></table>"
        )

    def _paths(self) -> str:
        if not self.e.ways:
            return f"<p>{escape(self.say.path(None))}</p>"
        return f"<ol>{''.join(self._way(p) for p in self.e.ways)}</ol>"

    def _way(self, path: Path) -> str:
        shown = [self._linked(path.nodes[0])]
        for step, node in zip(path.steps, path.nodes[1:], strict=True):
            arrow = "→" if step.direction == "out" else "←"
            relation = escape(self.say.relation(step.type, step.direction))
            shown.append(f'<span class="step">{arrow} {relation}</span>{self._linked(node)}')
        return (
            f'<li>{escape(self.say.path(path))} <span class="dim">{path.strength:.3f}</span>'
            f'<div class="way">{"".join(shown)}</div></li>'
        )

    def _linked(self, id: str) -> str:
        node = self.e.nodes.get(id)
        picture = self._image(node, THUMBNAIL) if node is not None else ""
        return f'<a href="#{self._anchor(id)}">{picture}{escape(self.say.name(id))}</a>'

    def _anchor(self, id: str) -> str:
        return f"n{list(self.e.nodes).index(id)}" if id in self.e.nodes else "top"

    def _cards(self) -> str:
        on_paths = dict.fromkeys(n for w in self.e.ways for n in w.nodes)
        return "".join(
            f'<div class="card" id="{self._anchor(i)}">{self._media(self.e.nodes[i], THUMBNAIL)}'
            f"<strong>{escape(self._words(self.e.nodes[i]))}</strong><br>"
            f'<span class="dim">{escape(i)}</span></div>'
            for i in on_paths
            if i in self.e.nodes
        )

    def _deletions(self) -> str:
        h, e = self.head, self.e
        if not e.deletions:
            return ""
        worse = ' class="worse"'
        rows = "".join(
            f"<tr><td>{escape(self.say.edge(d.edge))}</td>"
            f"<td{worse if d.ranks_lost > 0 else ''}>{d.rank_before} → {d.rank_after}"
            f"</td><td>{d.score_before:.4f} → {d.score_after:.4f}</td></tr>"
            for d in e.deletions
        )
        return (
            f"<h2>{h['deletions']}</h2><table><tr><th>{h['edge']}<th>{h['rank']}<th>{h['score']}"
            f"</tr>{rows}</table>"
        )

    def _content(self) -> str:
        if not self.e.saliency:
            return ""
        shown = "".join(f"<div>{self._salient(s)}</div>" for s in self.e.saliency)
        return f'<h2>{self.head["content"]}</h2><div class="pair">{shown}</div>'

    def _salient(self, s: Saliency) -> str:
        draw = {"image": self._heat, "text": self._marked, "audio": self._timeline}[s.modality]
        key = self.head["key"].format(base=s.base, measure=s.measure)
        said = escape(salient(s, self.say))
        return f'{draw(s)}<p>{said}<br><span class="dim">{escape(key)}</span></p>'

    def _heat(self, s: Saliency) -> str:
        """The picture with its patches, the stronger the colour the more it counts."""
        source = self._encoded(Node("picture", "image", uri=s.uri), PICTURE)
        if source is None:
            return ""
        data, wide, high = source
        patches = "".join(
            f'<rect x="{a * wide:.1f}" y="{b * high:.1f}" width="{(c - a) * wide:.1f}" '
            f'height="{(d - b) * high:.1f}" fill="{_colour(v)}"/>'
            for (a, b, c, d), v in zip(s.places, shares(s.drops), strict=True)
        )
        label = escape(salient(s, self.say))
        return (
            f'<svg viewBox="0 0 {wide} {high}" width="{wide}" role="img" aria-label="{label}">'
            f'<image href="{data}" width="{wide}" height="{high}"/>{patches}</svg>'
        )

    def _marked(self, s: Saliency) -> str:
        text, at, out = s.text or "", 0, []
        for (a, b), v, d in zip(s.places, shares(s.drops), s.drops, strict=True):
            first, last = int(a), int(b)
            out.append(escape(text[at:first]))
            out.append(
                f'<span style="background:{_colour(v)}" title="{d:+.4f}">'
                f"{escape(text[first:last])}</span>"
            )
            at = last
        return f'<p class="text">{"".join(out)}{escape(text[at:])}</p>'

    def _timeline(self, s: Saliency) -> str:
        wide, high = PICTURE, 90
        end = s.places[-1][1] or 1.0
        bars = "".join(
            f'<rect x="{a / end * wide:.1f}" width="{max((b - a) / end * wide - 1, 1):.1f}" '
            f'y="{high / 2 - max(v, 0) * high / 2:.1f}" height="{abs(v) * high / 2:.1f}" '
            f'fill="{_colour(1 if v > 0 else -1)}"><title>{a:.2f}–{b:.2f} s: {d:+.4f}</title>'
            "</rect>"
            for (a, b), v, d in zip(s.places, shares(s.drops), s.drops, strict=True)
        )
        sound = self._sound(Node("sound", "audio", uri=s.uri))
        label = escape(salient(s, self.say))
        return (
            f'{sound}<svg viewBox="0 0 {wide} {high}" width="{wide}" role="img" '
            f'aria-label="{label}"><line x2="{wide}" y1="{high / 2}" y2="{high / 2}" '
            f'stroke="#8888"/>{bars}</svg>'
        )

    def _notes(self) -> str:
        if not self.e.notes:
            return ""
        notes = "".join(f"<li>{escape(n)}</li>" for n in self.e.notes)
        return f"<h2>{self.head['notes']}</h2><ul>{notes}</ul>"

    def _media(self, node: Node | None, side: int) -> str:
        if node is None:
            return ""
        return self._image(node, side) + (self._sound(node) if node.modality == "audio" else "")

    def _image(self, node: Node, side: int) -> str:
        made = self._encoded(node, side) if node.modality == Modality.IMAGE else None
        if made is None:
            return ""
        return f'<img alt="{escape(node.title or node.id)}" src="{made[0]}">'

    def _encoded(self, node: Node, side: int) -> tuple[str, int, int] | None:
        """A picture as inline data at most so large, with its width and height."""
        from PIL import Image

        key = (node.uri or "", side)
        if key not in self.pictures:
            content = next(iter(self.reader.load([node])))
            self.pictures[key] = None
            if isinstance(content, ImageContent):
                picture = Image.fromarray(content.pixels)
                picture.thumbnail((side, side))
                buffer = io.BytesIO()
                picture.save(buffer, "JPEG", quality=85)
                data = _inline("image/jpeg", buffer.getvalue())
                self.pictures[key] = data, picture.width, picture.height
        return self.pictures[key]

    def _sound(self, node: Node) -> str:
        """A player; only what is known to be a sound gets into the page."""
        from graphretrieval.errors import InputRefused

        file = FilePath(node.uri) if node.uri else None
        if file is None or not file.is_file() or file.stat().st_size > SOUND_BYTES:
            return ""
        found = self.reader.inspect([file])[0]
        if isinstance(found, InputRefused) or found.modality != Modality.AUDIO:
            return ""
        data = _inline(found.media_type or "audio/ogg", file.read_bytes())
        return f'<audio controls preload="none" src="{data}"></audio>'


def _colour(value: float) -> str:
    """From clear to full: red for what counts for the hit, blue against."""
    return f"rgba({FOR if value > 0 else AGAINST}, {0.65 * min(abs(value), 1.0):.2f})"


def _inline(kind: str, data: bytes) -> str:
    return f"data:{escape(kind)};base64,{base64.b64encode(data).decode()}"
