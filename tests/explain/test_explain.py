"""One hit explained: what it says is what the answer was made of."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval.errors import QueryError, UnknownNode
from graphretrieval.explain import Explanation, explain
from graphretrieval.explain.page import write_page
from graphretrieval.explain.saliency import patches, stretches, words_left_out
from graphretrieval.explain.show import drawn, print_explanation
from graphretrieval.explain.words import RELATIONS, TEXTS, Words
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import AudioContent, ImageContent, Node, Step, TextContent
from graphretrieval.types import Path as Way

CIRCLE = "toy/shapes/circle/red_circle"


@pytest.fixture(scope="module")
def told(kb: gr.Retriever) -> Explanation:
    return explain(kb, {"text": "a red circle", "target": "image"})


# --- score parts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        {"text": "a yellow sun"},
        {"text": "红色的圆", "target": "audio"},
        {"node": f"{CIRCLE}.png", "target": "text"},
        {"text": "circle", "exclude": "blue circle", "target": "image"},
    ],
)
def test_columns_add_up_to_the_score_that_search_gives(kb: gr.Retriever, query: dict) -> None:
    for hit in kb.search(**query, k=5).hits:
        e = explain(kb, query, hit, content=False)
        assert e.hit.score == pytest.approx(hit.score, abs=1e-5)
        assert sum(p.value for p in e.parts) == pytest.approx(e.hit.score, abs=1e-6)
        columns = [c for p in e.parts for c in p.columns]
        assert sum(c.contribution for c in columns) == pytest.approx(e.hit.score, abs=1e-6)
        for p in e.parts:
            assert p.value == pytest.approx(e.hit.parts[p.name], abs=1e-6)
        for c in columns:
            assert c.value * c.weight == pytest.approx(c.contribution, abs=1e-6)


def test_ranks_are_the_places_in_the_answer(kb: gr.Retriever) -> None:
    answer = kb.search("a yellow sun", k=6)
    ranks = [explain(kb, answer, hit, content=False).rank for hit in answer.hits]
    assert ranks == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("more", [{"k": 3}, {"k": 25}, {"k": 8, "diversity": 0.7}])
def test_ranks_and_confidences_are_those_of_the_very_answer(kb: gr.Retriever, more: dict) -> None:
    answer = kb.search("wave", **more)
    told = [explain(kb, answer, hit, content=False) for hit in answer.hits]
    assert [e.rank for e in told] == list(range(1, more["k"] + 1))
    assert [e.hit.confidence for e in told] == [hit.confidence for hit in answer.hits]


def test_an_item_too_far_down_for_the_answer_is_explained_all_the_same(kb: gr.Retriever) -> None:
    hits = kb.search("a red circle", target="image", k=40).hits
    best = kb.search("a red circle", target="image", k=1)
    assert explain(kb, best, hits[-1], content=False).rank == 40


def test_filters_of_an_answer_are_kept(kb: gr.Retriever) -> None:
    answer = kb.search("a red circle", category="shapes", target="image", k=3)
    assert explain(kb, answer, answer.hits[1], content=False).rank == 2
    assert explain(kb, answer, content=False).query["where"] == {"category": "shapes"}


def test_what_the_query_cannot_find_cannot_be_explained(kb: gr.Retriever) -> None:
    with pytest.raises(UnknownNode, match="no node"):
        explain(kb, "a red circle", "nowhere.png")
    with pytest.raises(QueryError, match="not among the candidates"):
        explain(kb, {"text": "a red circle", "target": "audio"}, f"{CIRCLE}.png")


# --- paths -----------------------------------------------------------------------------------


def test_several_paths_begin_with_the_one_that_search_names(kb: gr.Retriever) -> None:
    query = {"node": f"{CIRCLE}.png", "target": "audio"}
    e = explain(kb, query, content=False)
    assert e.ways[0] == kb.search(**query).hits[0].path
    assert len(e.ways) > 1
    assert all(w.nodes[-1] == e.hit.id for w in e.ways)
    assert len({(w.nodes, w.steps) for w in e.ways}) == len(e.ways)


def test_paths_are_read_aloud_in_english_and_chinese(told: Explanation) -> None:
    walked = next(w for w in told.ways if w.steps)
    english, chinese = (Words(lang, told.nodes).path(walked) for lang in ("en", "zh"))
    assert "related to" in english or "describes" in english
    assert english.endswith(".")
    assert re.search("描述|相关", chinese)
    assert chinese.endswith("。")
    assert "DESCRIBES" not in english + chinese


def test_a_symmetric_relation_stands_around_the_name_in_chinese() -> None:
    nodes = {i: Node(i, "audio", title=i.upper()) for i in "ab"}
    say = Words("zh", nodes)
    assert say.path(Way(("a", "b"), (Step("RELATED_TO", "out"),))) == (
        "查询即声音“A”，它与声音“B”相关。"
    )
    assert say.edge(("a", "SIMILAR_TO", "b")) == "声音“A”与声音“B”相似"


def test_paths_that_read_the_same_are_told_once(
    told: Explanation, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = replace(told, ways=(told.ways[0], told.ways[0]))
    for lang, again in (("en", "(2 such paths)"), ("zh", "（共2条）")):
        print_explanation(twice, lang)
        out = capsys.readouterr().out
        assert out.count(Words(lang, told.nodes).path(told.ways[0])) == 1
        assert again in out
    print_explanation(told, "en")
    assert "such paths" not in capsys.readouterr().out


def test_a_table_has_headings_in_the_language_of_the_sentences(
    told: Explanation, capsys: pytest.CaptureFixture[str]
) -> None:
    print_explanation(told, "zh")
    out = capsys.readouterr().out
    for heading in ("部分", "分项", "测得", "× 权重", "= 贡献", "得分"):
        assert heading in out
    assert "; " not in out


@pytest.mark.parametrize(("values", "how"), [((0.6, 0.4), "mostly"), ((0.4, 0.3, 0.3), "chiefly")])
def test_what_is_less_than_half_is_not_called_most(
    told: Explanation, values: tuple[float, ...], how: str
) -> None:
    parts = tuple(replace(p, value=v) for p, v in zip(told.parts, values, strict=False))
    said = Words("en", told.nodes).summary(replace(told, parts=parts))
    assert f"{how} ({max(values):.0%})" in said


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_relation_of_the_collections_own_is_named_in_small_letters(lang: str) -> None:
    nodes = {i: Node(i, "image", title=i.upper()) for i in "ab"}
    say = Words(lang, nodes).path(Way(("a", "b"), (Step("FOUND_IN", "out"),)))
    assert "found in" in say
    assert "“A”" in say
    assert "“B”" in say


def test_both_languages_have_all_sentences_with_the_same_gaps() -> None:
    def gaps(text: str) -> set[str]:
        return set(re.findall(r"{(\w+)", text))

    assert TEXTS["en"].keys() == TEXTS["zh"].keys()
    assert RELATIONS["en"].keys() == RELATIONS["zh"].keys()
    assert all(gaps(TEXTS["en"][k]) == gaps(TEXTS["zh"][k]) for k in TEXTS["en"])


def test_another_language_is_refused(told: Explanation) -> None:
    with pytest.raises(QueryError, match="'fr'"):
        told.to_json("fr")


# --- what of the content counts ---------------------------------------------------------------


def test_the_circle_counts_more_than_the_corners(told: Explanation) -> None:
    [picture] = [s for s in told.saliency if s.side == "hit"]
    assert picture.modality == "image"
    heat = np.abs(np.reshape(picture.drops, (7, 7)))
    corners = heat[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert heat[1:6, 1:6].mean() > 3 * corners.mean()


def test_the_subject_counts_more_than_the_article(told: Explanation) -> None:
    [words] = [s for s in told.saliency if s.side == "query"]
    said = {
        words.text[int(a) : int(b)]: d for (a, b), d in zip(words.places, words.drops, strict=True)
    }
    assert said["circle"] > said["a"]


def test_the_similarity_watched_is_the_content_of_the_score(told: Explanation) -> None:
    content = next(p.value for p in told.parts if p.name == "content")
    for s in told.saliency:
        if s.measure == "content":
            assert s.base == pytest.approx(content, abs=1e-3)


def test_patches_cover_a_picture_once() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 41, 3)).astype(np.uint8)
    places, variants = patches(ImageContent(pixels), 4)
    changed = sum((v.pixels != pixels).any(axis=2).astype(int) for v in variants)
    assert len(places) == 16
    assert changed.max() == 1
    assert changed.mean() > 0.95
    assert sum((c - a) * (d - b) for a, b, c, d in places) == pytest.approx(1)


def test_words_and_han_characters_are_left_out_one_by_one() -> None:
    places, rest = words_left_out(TextContent("a red 圆圈!"))
    said = ["a red 圆圈!"[int(a) : int(b)] for a, b in places]
    assert said == ["a", "red", "圆", "圈"]
    assert [r.text for r in rest] == ["red 圆圈!", "a   圆圈!", "a red  圈!", "a red 圆 !"]


def test_long_texts_are_left_out_in_runs_that_cover_all_words() -> None:
    places, rest = words_left_out(TextContent(" ".join(f"word{i}" for i in range(200))))
    assert len(places) == len(rest) <= 48
    assert places[0][0] == 0
    assert places[-1][1] == len(" ".join(f"word{i}" for i in range(200)))


def test_stretches_silence_a_sound_once() -> None:
    places, variants = stretches(AudioContent(np.ones(16_000, np.float32), 16_000))
    silent = sum((v.samples == 0).astype(int) for v in variants)
    assert (silent == 1).all()
    assert places[0][0] == 0
    assert places[-1][1] == pytest.approx(1.0)
    assert stretches(AudioContent(np.empty(0, np.float32)))[0] == ()


def test_a_file_that_is_gone_is_a_note_and_no_failure(kb: gr.Retriever, tmp_path: Path) -> None:
    from graphretrieval.explain.saliency import _look, _Side

    model = kb.bundles.load("v1")[0]
    out, notes = [], []
    with MediaReader(Limits.of(kb.config)) as reader:
        node = Node("x", "image", uri=str(tmp_path / "gone.png"))
        about = {"side": "hit", "term": None, "measure": "content"}
        _look(out, notes, reader, node, _Side(model, [], []), about)
    assert out == []
    assert "cannot be looked into" in notes[0]


# --- shown -------------------------------------------------------------------------------------


def test_json_has_everything_in_words_and_numbers(told: Explanation) -> None:
    made = json.loads(json.dumps(told.to_json("zh"), ensure_ascii=False))
    assert made["rank"] == 1
    assert "位列第1" in made["summary"]
    assert {"parts", "paths", "deletions", "saliency", "hit", "query"} <= set(made)
    assert made["deletions"][0]["role"] == "key"


def test_a_picture_is_drawn_as_rows_of_shades(told: Explanation) -> None:
    picture = next(s for s in told.saliency if s.modality == "image")
    assert [len(line) for line in drawn(picture)] == [14] * 7


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href")]
        self.ids += [v or "" for k, v in attrs if k == "id"]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_holds_all_it_shows_and_its_links_lead_somewhere(
    kb: gr.Retriever, told: Explanation, tmp_path: Path, lang: str
) -> None:
    with MediaReader(Limits.of(kb.config)) as reader:
        write_page(tmp_path / "why.html", told, reader, lang)
    seen = Seen()
    seen.feed((tmp_path / "why.html").read_text("utf-8"))
    assert {"svg", "image", "rect", "img", "audio", "table"} <= set(seen.tags)
    assert all(link.startswith(("data:", "#")) for link in seen.links)
    inner = {link[1:] for link in seen.links if link.startswith("#")}
    assert inner
    assert inner <= set(seen.ids)


def test_words_of_query_and_collection_cannot_become_markup(
    kb: gr.Retriever, tmp_path: Path
) -> None:
    e = explain(kb, {"text": "<script>alert(1)</script> circle", "target": "image"})
    evil = Node(e.hit.id, "image", uri=e.hit.node.uri, title='"><script>alert(2)</script>')
    nodes = {i: evil if i == e.hit.id else n for i, n in e.nodes.items()}
    from dataclasses import replace

    bad = replace(e, nodes=nodes, hit=replace(e.hit, node=evil))
    with MediaReader(Limits.of(kb.config)) as reader:
        write_page(tmp_path / "why.html", bad, reader)
    text = (tmp_path / "why.html").read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
