"""GraphQL queries over the toy museum."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from museum import copied

from api.conftest import RED_CIRCLE, Site, open_site

SEARCH = """query ($input: SearchInput!) { search(input: $input) {
  edges { cursor score confidence parts { name value }
          node { id modality title description(lang: "zh") }
          path { anchor nodes { id title } edges { type direction } } explanation(lang: "zh") }
  pageInfo { hasNextPage endCursor } model { version } revision degraded noMatch } }"""


@pytest.fixture(scope="module")
def site(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Without a budget: all these queries in a minute are more than one client may ask."""
    yield from open_site(copied(fitted, tmp_path_factory.mktemp("queries")), cost_per_minute=0)


def ids(page: dict[str, Any]) -> list[str]:
    return [e["node"]["id"] for e in page["search"]["edges"]]


@pytest.mark.parametrize("text", ["a red circle", "红色的圆"])
def test_words_in_two_languages_find_the_same_picture(site: Site, text: str) -> None:
    page = site.ask(SEARCH, input={"text": text, "targets": ["image"], "k": 3})
    assert ids(page)[0] == RED_CIRCLE
    assert page["search"]["model"] == {"version": "v1"}
    assert page["search"]["noMatch"] is False


def test_parts_add_up_to_the_score_and_the_path_ends_at_the_hit(site: Site) -> None:
    page = site.ask(SEARCH, input={"text": "a blue wave", "k": 10})
    for edge in page["search"]["edges"]:
        assert sum(p["value"] for p in edge["parts"]) == pytest.approx(edge["score"], abs=1e-3)
        if edge["path"]:
            assert edge["path"]["nodes"][-1]["id"] == edge["node"]["id"]
            assert len(edge["path"]["edges"]) == len(edge["path"]["nodes"]) - 1
        assert "主要依据" in edge["explanation"]


def test_pages_go_on_where_the_last_ended(site: Site) -> None:
    whole = ids(site.ask(SEARCH, input={"text": "sun", "targets": ["image"], "k": 9}))
    pages: list[str] = []
    after = None
    for _ in range(3):
        page = site.ask(SEARCH, input={"text": "sun", "targets": ["image"], "k": 3, "after": after})
        pages += ids(page)
        after = page["search"]["pageInfo"]["endCursor"]
    assert pages == whole


def pages(site: Site, k: int, **asked: Any) -> list[str]:
    """Ids of all pages, one after the other."""
    found: list[str] = []
    after = None
    while True:
        page = site.ask(SEARCH, input={**asked, "k": k, "after": after})
        found += ids(page)
        after = page["search"]["pageInfo"]["endCursor"]
        if not page["search"]["pageInfo"]["hasNextPage"]:
            return found


@pytest.mark.parametrize("k", [7, 64])
def test_pages_over_several_kinds_lose_and_repeat_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, k: int
) -> None:
    depths: list[int] = []
    real = site.kb.search

    def noted(*words: Any, **query: Any) -> Any:
        depths.append(query["k"])
        return real(*words, **query)

    monkeypatch.setattr(site.kb, "search", noted)
    words = f"a yellow moon, {k} a page"
    found = pages(site, k, text=words)
    assert sorted(set(depths)) == depths == [128, 1000]
    assert len(found) == len(set(found)) > 200
    whole = [h.id for h in real(words, k=128).hits]
    assert found[: 127 - 127 % k] == whole[: 127 - 127 % k]
    assert set(found) == {h.id for h in real(words, k=1000).hits}


def test_a_page_is_remembered_for_the_next_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = site.ask(SEARCH, input={"text": "an orange wave", "k": 5})
    monkeypatch.setattr(site.kb, "search", None)
    after = first["search"]["pageInfo"]["endCursor"]
    second = site.ask(SEARCH, input={"text": "an orange wave", "k": 20, "after": after})
    assert len({*ids(first), *ids(second)}) == 25


def test_a_cursor_whose_node_has_gone_down_is_found_deeper(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = site.ask(SEARCH, input={"text": "one purple sun", "k": 100})
    last, after = ids(first)[-1], first["search"]["pageInfo"]["endCursor"]
    real = site.kb.search

    def moved(*words: Any, k: int, **query: Any) -> Any:
        answer = real(*words, k=1000, **query)
        hits = sorted(answer.hits, key=lambda h: h.id == last)
        hits.insert(150, hits.pop())
        return replace(answer, hits=tuple(hits[:k]))

    monkeypatch.setattr(site.kb, "search", moved)
    site.service._answers.clear()
    found = site.ask(SEARCH, input={"text": "one purple sun", "k": 20, "after": after})
    assert ids(found) == [h.id for h in moved("one purple sun", k=1000).hits[151:171]]


def test_a_diverse_answer_is_that_of_rest_and_has_one_page(site: Site) -> None:
    asked = {"text": "a red circle", "k": 6, "diversity": 0.7}
    page = site.ask(SEARCH, input={**asked, "targets": ["image"]})
    rest = site.client.get("/api/search", params={**asked, "target": "image"}).json()["hits"]
    assert ids(page) == [h["id"] for h in rest]
    plain = site.ask(SEARCH, input={"text": "a red circle", "targets": ["image"], "k": 6})
    assert ids(page) != ids(plain)
    assert page["search"]["pageInfo"]["hasNextPage"] is False
    after = page["search"]["pageInfo"]["endCursor"]
    error = site.refused(SEARCH, input={**asked, "targets": ["image"], "after": after})
    assert "greater k" in error["remedy"]


@pytest.mark.parametrize("diversity", [-0.1, 1.5])
def test_diversity_beyond_its_range_is_refused(site: Site, diversity: float) -> None:
    error = site.refused(SEARCH, input={"text": "sun", "diversity": diversity})
    assert "from 0 to 1" in error["remedy"]


def test_a_cursor_of_another_query_is_refused(site: Site) -> None:
    page = site.ask(SEARCH, input={"text": "sun", "k": 2})
    after = page["search"]["pageInfo"]["endCursor"]
    error = site.refused(SEARCH, input={"text": "moon", "k": 2, "after": after})
    assert error["code"] == "BAD_CURSOR"
    assert "begin again" in error["remedy"]


@pytest.mark.parametrize(
    "after",
    [
        *("", "x", "%%%", "W10", "bnVsbA"),
        *(base64.urlsafe_b64encode(b).decode() for b in (b"[1,2,3]", 100_000 * b"[")),
    ],
    ids=range(7),
)
def test_a_cursor_that_is_none_is_refused(site: Site, after: str) -> None:
    error = site.refused(SEARCH, input={"text": "sun", "after": after})
    assert error["code"] == "BAD_CURSOR"


def test_a_cursor_outlives_a_change_of_the_graph(own: Site) -> None:
    first = own.ask(SEARCH, input={"text": "sun", "targets": ["image"], "k": 4})
    own.kb.link("toy/nature/moon/red_moon.png", "RELATED_TO", "toy/nature/sun/red_sun.png")
    after = first["search"]["pageInfo"]["endCursor"]
    second = own.ask(SEARCH, input={"text": "sun", "targets": ["image"], "k": 4, "after": after})
    whole = ids(own.ask(SEARCH, input={"text": "sun", "targets": ["image"], "k": 20}))
    place = whole.index(ids(first)[-1])
    assert ids(second) == whole[place + 1 : place + 5]


def test_several_terms_pull_and_push(site: Site) -> None:
    plain = ids(site.ask(SEARCH, input={"text": "circle", "targets": ["image"], "k": 6}))
    terms = [{"text": "circle"}, {"node": RED_CIRCLE, "weight": -0.2}]
    pushed = ids(site.ask(SEARCH, input={"terms": terms, "targets": ["image"], "k": 6}))
    assert RED_CIRCLE in plain
    assert RED_CIRCLE not in pushed
    assert any("circle" in i for i in pushed)


def test_filters_keep_to_a_category_and_a_language(site: Site) -> None:
    where = {"category": "cat:nature", "lang": "zh"}
    page = site.ask(SEARCH, input={"text": "红色的", "targets": ["text"], "filter": where, "k": 8})
    assert ids(page)
    assert all(i.startswith("toy/nature/") and i.endswith("#zh_CN") for i in ids(page))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "number of terms"),
        ({"text": "   "}, "empty"),
        ({"text": "x", "k": 0}, "k is 0"),
        ({"text": "x", "k": 101}, "k is 101"),
        ({"text": "x", "targets": ["video"]}, "'video' is not a modality"),
        ({"node": "nowhere"}, "no node is called 'nowhere'"),
        ({"upload": "up_x"}, "no upload is called"),
        ({"terms": [{"text": "a", "node": "b"}]}, "a term has 2"),
        ({"terms": [{"text": "a"}] * 13}, "number of terms is 13"),
        ({"terms": [{"text": "a", "weight": 1e39}]}, "weight is 1e+39"),
        ({"terms": [{"text": "a"}, {"node": RED_CIRCLE, "weight": -1e308}]}, "weight is -1e+308"),
        ({"terms": [{"text": "a", "weight": 0}]}, "weight is 0"),
        ({"text": "x", "filter": {"category": "zzz"}}, "no category 'zzz'"),
    ],
)
def test_a_search_that_cannot_be_understood_says_why(
    site: Site, asked: dict[str, Any], said: str
) -> None:
    error = site.refused(SEARCH, input=asked)
    assert said in error["message"]
    assert error["remedy"]
    assert error["status"] in (200, 400)


def test_a_target_is_searched_once_however_often_it_is_named(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    real = site.kb.search

    def noted(*words: Any, **query: Any) -> Any:
        asked.append(query["target"])
        return real(*words, **query)

    monkeypatch.setattr(site.kb, "search", noted)
    targets = ["image", "audio"] * 1000
    often = ids(site.ask(SEARCH, input={"text": "a green square", "targets": targets, "k": 5}))
    assert asked == [("image", "audio")]
    once = {"text": "a green square", "targets": ["image", "audio"], "k": 5}
    assert ids(site.ask(SEARCH, input=once)) == often


LONG = "sun " * 501


@pytest.mark.parametrize(
    "query",
    [
        "($long: String) { search(input: {text: $long}) { noMatch } }",
        "($long: String) { search(input: {terms: [{text: $long}]}) { noMatch } }",
        '($long: ID!) { recommend(liked: ["a"], disliked: [$long]) { noMatch } }',
        "($long: String) { ask(question: $long) { noMatch } }",
        '($long: String) { classify(text: $long, labels: ["a"]) { label } }',
        '($long: String!) { classify(text: "a", labels: ["b", $long]) { label } }',
    ],
)
def test_words_and_ids_are_as_long_as_rest_allows_and_no_longer(site: Site, query: str) -> None:
    error = site.refused(f"query {query}", long=LONG)
    assert "has 2004 characters" in error["message"]
    assert "give at most" in error["remedy"]


@pytest.mark.parametrize(
    "body",
    [
        rb'{"query": "{ stats { revision } } # \ud800"}',
        rb'{"query": "query ($i: ID!) { node(id: $i) { id } }", "variables": {"i": "\ud800"}}',
        rb'{"query": "{ stats { revision } }", "variables": {"\udc00": 1}}',
    ],
    ids=["document", "variable", "name"],
)
def test_half_a_surrogate_is_no_request(site: Site, body: bytes) -> None:
    answer = site.client.post(
        "/graphql", content=body, headers={"content-type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_REQUEST")
    variables = '{"i": "\\ud800"}'
    asked = {"query": "query ($i: ID!) { node(id: $i) { id } }", "variables": variables}
    assert site.client.get("/graphql", params=asked).status_code == 400
    rest = site.client.post(
        "/api/search", content=rb'{"text": "\ud800"}', headers={"content-type": "application/json"}
    )
    assert rest.status_code == 422


def test_a_node_shows_its_descriptions_categories_and_links(site: Site) -> None:
    query = """query ($id: ID!) { node(id: $id) { id uri thumbnail description(lang: "es")
      descriptions(lang: "zh", first: 1) { text lang } categories { id }
      neighbours(types: ["describes"], direction: "in") { type source { id } target { id } } } }"""
    node = site.ask(query, id=RED_CIRCLE)["node"]
    assert node["description"] == "Un círculo rojo."
    assert node["descriptions"] == [{"text": "一个红色的圆。", "lang": "zh_CN"}]
    assert node["categories"] == [{"id": "cat:shapes/circle"}]
    assert {e["target"]["id"] for e in node["neighbours"]} == {RED_CIRCLE}
    assert len(node["neighbours"]) == 3
    assert str(site.kb.path.parent) not in str(node)


def test_nodes_come_in_order_with_null_for_those_that_are_not_there(site: Site) -> None:
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    found = site.ask(query, ids=["nowhere", RED_CIRCLE, "cat:shapes"])["nodes"]
    assert [n and n["id"] for n in found] == [None, RED_CIRCLE, "cat:shapes"]


def test_a_path_joins_a_sound_to_a_text(site: Site) -> None:
    query = """query ($s: [ID!]!, $t: [ID!]!) { paths(sources: $s, targets: $t, maxHops: 4) {
      nodes { id } edges { type direction } } }"""
    sound, text = "toy/shapes/circle/red_circle.wav", "toy/shapes/circle/red_circle.txt#en"
    found = site.ask(query, s=[sound, sound], t=[text, "nowhere"])["paths"]
    assert found[0]["nodes"][0]["id"] == sound
    assert found[0]["nodes"][-1]["id"] == text
    assert found[1] is None


def test_categories_form_a_tree_with_counts_that_add_up(site: Site) -> None:
    query = """{ categories(first: 9) { id total { name count } cover { id }
      children { id total { name count } parent { id } items { name count } } } }"""
    tops = site.ask(query)["categories"]
    assert [t["id"] for t in tops] == ["cat:nature", "cat:shapes"]
    for top in tops:
        total = {c["name"]: c["count"] for c in top["total"]}
        below: Counter[str] = Counter()
        for child in top["children"]:
            assert child["parent"]["id"] == top["id"]
            below.update({c["name"]: c["count"] for c in child["total"]})
        assert total == {"image": 24, "audio": 12, "text": 72} == dict(below)
        assert top["cover"]["id"].endswith(".png")


def test_as_many_children_come_as_are_asked_for(site: Site) -> None:
    query = 'query ($n: Int!) { categories(id: "cat:shapes") { children(first: $n) { id } } }'
    whole = site.ask(query, n=200)["categories"][0]["children"]
    assert len(whole) > 2
    assert site.ask(query, n=2)["categories"][0]["children"] == whole[:2]
    for n in (0, 201):
        error = site.refused(query, n=n)
        assert (error["message"], error["remedy"]) == (f"first is {n}", "give 1 to 200")


def test_labels_are_told_apart_without_training(site: Site) -> None:
    query = """query ($node: ID, $labels: [String!]!) {
      classify(node: $node, labels: $labels) { label share } }"""
    found = site.ask(query, node=RED_CIRCLE, labels=["moon", "圆", "wave"])["classify"]
    assert found[0]["label"] == "圆"
    assert sum(x["share"] for x in found) == pytest.approx(1, abs=1e-4)


def test_classify_wants_one_thing_and_some_labels(site: Site) -> None:
    assert "0 of text, node" in site.refused('{ classify(labels: ["a"]) { label } }')["message"]
    both = '{ classify(text: "a", node: "b", labels: ["a"]) { label } }'
    assert "2 of text, node" in site.refused(both)["message"]
    none = '{ classify(text: "a", labels: []) { label } }'
    assert "0 labels" in site.refused(none)["message"]


def test_recommend_is_like_the_liked_and_leaves_them_out(site: Site) -> None:
    liked = [f"toy/nature/wave/{c}_wave.png" for c in ("red", "blue")]
    query = """query ($l: [ID!]!) {
      recommend(liked: $l, targets: ["image"], k: 3) { edges { node { id } } } }"""
    found = [e["node"]["id"] for e in site.ask(query, l=liked)["recommend"]["edges"]]
    assert not set(found) & set(liked)
    assert all("wave" in i for i in found)


def test_a_question_is_answered_with_citations_of_the_collection(site: Site) -> None:
    query = """{ ask(question: "a blue wave", lang: "en") {
      noMatch citations { text node { id } about { id } } } }"""
    found = site.ask(query)["ask"]
    assert found["citations"][0]["text"] == "A blue wave."
    assert "toy/nature/wave/blue_wave.png" in {n["id"] for n in found["citations"][0]["about"]}


def test_a_picture_is_captioned_by_what_is_known_then_by_what_is_found(site: Site) -> None:
    query = 'query ($n: ID) { caption(node: $n, lang: "es", k: 3) { text known lang } }'
    found = site.ask(query, n=RED_CIRCLE)["caption"]
    assert found[0] == {"text": "Un círculo rojo.", "known": True, "lang": "es"}
    assert [c["known"] for c in found] == [True, False, False]


def test_a_neighbourhood_has_its_centre_at_the_origin(site: Site) -> None:
    query = """query ($id: ID!) { neighbourhood(id: $id, hops: 2, limit: 20) {
      nodes { x y hop node { id } } edges { sourceId targetId } leftOut } }"""
    found = site.ask(query, id=RED_CIRCLE)["neighbourhood"]
    at = {n["node"]["id"]: n for n in found["nodes"]}
    assert (at[RED_CIRCLE]["x"], at[RED_CIRCLE]["y"], at[RED_CIRCLE]["hop"]) == (0, 0, 0)
    assert 3 < len(at) <= 20
    assert all(abs(n["x"]) <= 1.001 and abs(n["y"]) <= 1.001 for n in found["nodes"])
    assert all({e["sourceId"], e["targetId"]} <= set(at) for e in found["edges"])


def test_stats_and_models_say_what_serves(site: Site) -> None:
    found = site.ask(
        "{ stats { revision model nodes { name count } } "
        "models { version inService directions { source target map queries } } }"
    )
    assert {"name": "image", "count": 48} in found["stats"]["nodes"]
    (model,) = found["models"]
    assert (model["version"], model["inService"]) == ("v1", True)
    assert all(0 <= d["map"] <= 1 for d in model["directions"])


def test_a_page_costs_as_many_store_calls_for_fifty_hits_as_for_five(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    store = site.kb.store
    for name in ("get", "neighbours", "paths"):
        real = getattr(store, name)

        def counted(*a: Any, _real: Any = real, _name: str = name, **k: Any) -> Any:
            calls.append(_name)
            return _real(*a, **k)

        monkeypatch.setattr(store, name, counted)
    query = """query ($k: Int!) { search(input: {text: "sun", k: $k}) { edges {
      node { id description(lang: "zh") descriptions { id } categories { id title } source { id }
        neighbours(first: 5) { source { id } target { id } } }
      path { nodes { id description } } explanation } } }"""
    counts = {}
    for k in (5, 50):
        calls.clear()
        assert len(site.ask(query, k=k)["search"]["edges"]) == k
        counts[k] = len(calls)
    assert counts[50] <= counts[5] + 2
    assert counts[50] <= 24
