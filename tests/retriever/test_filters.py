"""Filters, several terms, and what hits say about themselves, on a store of texts alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.errors import GraphRetrievalError, QueryError
from graphretrieval.types import Edge, Node

SUBJECTS = {
    "lion": ("狮子", "animals/cats"),
    "owl": ("猫头鹰", "animals/birds"),
    "violin": ("小提琴", "music"),
    "trumpet": ("小号", "music"),
    "ship": ("轮船", "travel"),
    "train": ("火车", "travel"),
}
PLACES = ("harbour", "museum", "garden", "kitchen", "mountain", "market", "school", "bridge")
LONG = "The lighthouse keeper wrote of gales. " * 20 + "Then a narwhal surfaced at dawn. " * 20


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Retriever]:
    """Forty-eight things with descriptions in two languages, collections and licences."""
    folder = tmp_path_factory.mktemp("filters")
    nodes, edges = [], []
    for above in ("animals", *(c for _, c in SUBJECTS.values())):
        nodes.append(Node(f"cat:{above}", "category", title=above.rpartition("/")[2]))
    for below in ("animals/cats", "animals/birds"):
        edges.append(Edge(f"cat:{below}", "SUBCATEGORY_OF", "cat:animals"))
    for s, (english, (chinese, category)) in enumerate(SUBJECTS.items()):
        for i, place in enumerate(PLACES):
            thing = f"{english}-{place}"
            about = {
                "collection": "east" if i % 2 else "west",
                "license": "CC0" if i < 4 else "CC-BY-4.0",
            }
            nodes.append(Node(thing, "object", title=thing, **about))
            for lang, words in (
                ("en", f"A {english} in the {place}."),
                ("zh_CN" if s % 2 else "zh_TW", f"{place}里的{chinese}。"),
            ):
                text = f"{thing}#{lang}"
                nodes.append(Node(text, "text", text=words, lang=lang, **about))
                edges.append(Edge(text, "DESCRIBES", thing))
                edges.append(Edge(text, "IN_CATEGORY", f"cat:{category}"))
    (folder / "letters").mkdir()
    (folder / "letters/keeper.txt").write_text(LONG, "utf-8")
    with gr.open(folder / "f.db", config=Config({"text_model": "none"})) as kb:
        kb.store.upsert(nodes, edges)
        assert kb.add(folder / "letters", lang="en").refused == ()
        kb.fit()
        yield kb


def nodes(answer: gr.Answer) -> list[gr.Node]:
    return [hit.node for hit in answer.hits]


def test_a_language_is_kept_with_its_variants(base: gr.Retriever) -> None:
    assert {n.lang for n in nodes(base.search("lion owl", lang="zh", k=50))} == {"zh_TW", "zh_CN"}
    assert {n.lang for n in nodes(base.search("lion owl", lang="zh_CN", k=50))} == {"zh_CN"}
    assert {n.lang for n in nodes(base.search("狮子", lang="en", k=5))} == {"en"}


@pytest.mark.parametrize(
    ("category", "subjects"),
    [
        ("animals", {"lion", "owl"}),
        ("animals/cats", {"lion"}),
        ("cat:music", {"violin", "trumpet"}),
    ],
)
def test_a_category_is_kept_with_all_below_it(
    base: gr.Retriever, category: str, subjects: set[str]
) -> None:
    found = nodes(base.search("in the garden", category=category, k=100))
    assert {n.id.partition("-")[0] for n in found} == subjects
    assert len(found) == 16 * len(subjects)


def test_collection_and_licence_are_kept(base: gr.Retriever) -> None:
    found = nodes(base.search("violin", collection="west", license="CC0", k=100))
    assert {(n.collection, n.license) for n in found} == {("west", "CC0")}
    assert len(found) == 24


def test_filters_narrow_together_and_the_best_still_comes_first(base: gr.Retriever) -> None:
    found = nodes(base.search("violin", category="music", lang="en", license="CC0", k=100))
    assert {n.id.partition("#")[2] for n in found} == {"en"}
    assert len(found) == 8
    assert found[0].id.startswith("violin-")


def test_a_filter_that_nothing_passes_gives_no_hits(base: gr.Retriever) -> None:
    assert base.search("lion", license="none of ours").hits == ()


def test_other_kinds_of_node_are_searched_only_when_asked_for(base: gr.Retriever) -> None:
    assert {n.modality for n in nodes(base.search("lion", k=100))} == {"text"}


def test_two_terms_meet_where_both_are_true(base: gr.Retriever) -> None:
    found = nodes(base.search(["violin", "bridge"], lang="en", k=3))
    assert found[0].id == "violin-bridge#en"


def test_weights_decide_which_term_is_heard(base: gr.Retriever) -> None:
    loud = nodes(base.search([("violin", 1.0), ("ship", 0.05)], lang="en", k=5))
    other = nodes(base.search([("violin", 0.05), ("ship", 1.0)], lang="en", k=5))
    assert {n.id.partition("-")[0] for n in loud} == {"violin"}
    assert {n.id.partition("-")[0] for n in other} == {"ship"}


def test_what_is_excluded_goes_down(base: gr.Retriever) -> None:
    asked = [n.id for n in nodes(base.search("in the bridge", lang="en", k=60))]
    spared = base.search("in the bridge", exclude="violin", lang="en", k=60)
    after = [n.id for n in nodes(spared)]
    assert asked.index("violin-bridge#en") < 6
    assert "violin-bridge#en" not in after[:6]
    weights = [term["weight"] for term in spared.to_json()["query"]["terms"]]
    assert weights == [1.0, -1.0]


def test_an_excluded_id_is_a_node_and_anything_else_is_words(base: gr.Retriever) -> None:
    answer = base.search("ship", exclude=["ship-garden#en", "no such id"])
    kinds = [term["kind"] for term in answer.to_json()["query"]["terms"]]
    assert kinds == ["text", "node", "text"]


def test_nothing_good_enough_is_called_no_match(base: gr.Retriever) -> None:
    lost = base.search("qzxv wkjf", lang="en", k=3)
    assert lost.no_match
    assert lost.to_json()["no_match"] is True
    found = base.search("A lion in the museum.", lang="en", k=3)
    assert not found.no_match
    assert "no_match" not in found.to_json()


def test_a_categorys_name_finds_what_is_in_it_or_below_it(kb: gr.Retriever) -> None:
    for name in ("nature", "shapes"):
        answer = kb.search(name, target="image", k=20)
        assert not answer.no_match
        assert {hit.id.split("/")[1] for hit in answer.hits} == {name}
        assert all(hit.parts["lexical"] > 0 for hit in answer.hits)


def test_a_fragment_tells_its_source_and_place(base: gr.Retriever) -> None:
    hit = base.search("a narwhal surfaced", k=1).hits[0]
    assert "narwhal" in (hit.node.text or "")
    place = hit.to_json()["place"]
    assert place["source"] == hit.source == "letters/keeper.txt"
    assert place["unit"] == "characters"
    assert LONG[int(place["start"]) : int(place["end"])] == hit.node.text
    assert hit.to_json()["collection"] == "letters"
    whole = base.search("A lion in the museum.", lang="en", k=1).hits[0].to_json()
    assert "place" not in whole
    assert whole["license"] == "CC0"


@pytest.mark.parametrize("k", [1, 7, 96, 10_000])
def test_as_many_hits_come_as_were_asked_for(base: gr.Retriever, k: int) -> None:
    hits = base.search("lion", category="animals", k=k).hits
    assert len(hits) == min(k, 32)
    assert len({hit.id for hit in hits}) == len(hits)
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"exclude": "lion"}, "the query is empty"),
        ({"text": "lion", "k": 10_001}, "k is 10001"),
        ({"text": ("lion", float("nan"))}, "weight"),
        ({"text": "lion", "exclude": ("ship", -1.0)}, "weight"),
        ({"node": "lion-museum"}, "no content to search by"),
        ({"text": "lion", "category": "lion-museum#en"}, "no category"),
    ],
)
def test_what_cannot_be_asked_says_why(
    base: gr.Retriever, given: dict[str, object], why: str
) -> None:
    with pytest.raises(GraphRetrievalError, match=why) as found:
        base.search(**given)  # type: ignore[arg-type]
    assert isinstance(found.value, QueryError)


def test_a_collection_without_sounds_cannot_be_asked_by_sound(
    base: gr.Retriever, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(8_000), 8_000)
    with pytest.raises(QueryError, match="has no audio encoder, so it cannot be asked by audio"):
        base.search(audio=tmp_path / "a.wav")
    with pytest.raises(QueryError, match=r"there is no file .*gone\.wav"):
        base.search(audio=tmp_path / "gone.wav")
    with pytest.raises(QueryError, match="is a folder, no file"):
        base.search(audio=tmp_path)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("animal", "did you mean animals? Categories are named by folder, e.g. animals"),
        ("zzz", "Categories are named by folder, e.g. nature/moon"),
    ],
)
def test_a_category_that_is_not_there_brings_the_nearest_names(
    base: gr.Retriever, asked: str, said: str
) -> None:
    with pytest.raises(QueryError) as found:
        base.search("lion", category=asked)
    assert found.value.remedy == said


def test_attributes_and_weights_reach_networkx(base: gr.Retriever) -> None:
    graph = base.to_networkx()
    assert graph.nodes["lion-museum"]["license"] == "CC0"
    assert graph.edges["lion-museum#en", "lion-museum", "DESCRIBES"]["weight"] == 1.0
    assert graph.graph["revision"] == base.store.revision


def test_rows_of_torch_geometric_are_the_nodes_named(base: gr.Retriever) -> None:
    data = base.to_pyg()
    ends = data["text", "DESCRIBES", "object"].edge_index
    texts, things = data["text"].ids, data["object"].ids
    for a, b in zip(*ends.tolist(), strict=True):
        assert texts[a].partition("#")[0] == things[b]
    row = texts.index("owl-bridge#en")
    assert data["text"].x[row].tolist() == pytest.approx(base.vectors(["owl-bridge#en"])[0])


def test_a_backup_into_something_that_exists_is_refused(base: gr.Retriever, tmp_path: Path) -> None:
    from graphretrieval.retriever.retriever import restore

    for act in (base.backup, base.save):
        with pytest.raises(QueryError, match="exists already"):
            act(tmp_path)
    with pytest.raises(QueryError, match="is no backup"):
        restore(tmp_path, tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()
    with pytest.raises(QueryError, match="exists already"):
        restore(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []
