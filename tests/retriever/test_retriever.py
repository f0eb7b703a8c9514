"""From a folder of media to ranked, explained answers, on a generated museum."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import graphretrieval as gr
from graphretrieval import lifecycle
from graphretrieval.config import Config
from graphretrieval.errors import (
    NotFitted,
    NothingToLearn,
    QueryError,
    UnknownNode,
)
from graphretrieval.retriever import query
from graphretrieval.retriever.fresh import raw_of
from graphretrieval.retriever.weighing import Gate, gate
from graphretrieval.sources.toy import write_toy
from graphretrieval.types import Hit, Node

CIRCLE = "toy/shapes/circle/red_circle"


def titles(hits: tuple[Hit, ...]) -> list[str]:
    return [hit.node.title or "" for hit in hits]


# --- asking ---------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["a red circle", "一个红色的圆", "un círculo rojo"])
def test_words_in_any_language_find_the_picture_they_describe(kb: gr.Retriever, words: str) -> None:
    hits = kb.search(words, target="image", k=3).hits
    assert hits[0].id == f"{CIRCLE}.png"


def test_traditional_characters_find_what_simplified_ones_describe(kb: gr.Retriever) -> None:
    simplified = kb.search("蓝色的圆", target="image", k=3).hits
    assert titles(simplified)[0] == "blue circle"
    assert titles(kb.search("藍色的圓", target="image", k=3).hits)[0] == "blue circle"


def test_words_find_sounds_through_the_pictures_they_describe(kb: gr.Retriever) -> None:
    hits = kb.search("a red circle", target="audio", k=3).hits
    assert "circle" in titles(hits)[0]
    assert all(hit.node.modality == "audio" for hit in hits)


def test_a_picture_file_finds_sounds_of_its_subject(kb: gr.Retriever, fitted: Path) -> None:
    picture = fitted.parent / "toy/shapes/square/green_square.png"
    hits = kb.search(image=picture, target="audio", k=5).hits
    assert sum("square" in title for title in titles(hits)) >= 3


def test_a_sound_file_finds_pictures_of_its_subject(kb: gr.Retriever, fitted: Path) -> None:
    sound = fitted.parent / "toy/nature/wave/red_wave.wav"
    hits = kb.search(audio=sound, target="image", k=5).hits
    assert sum("wave" in title for title in titles(hits)) >= 3


def test_a_node_finds_its_own_descriptions_first(kb: gr.Retriever) -> None:
    hits = kb.search(node=f"{CIRCLE}.png", target="text", k=3).hits
    assert {hit.id.split("#")[0] for hit in hits} == {f"{CIRCLE}.txt"}


def test_a_node_is_never_its_own_answer(kb: gr.Retriever) -> None:
    hits = kb.search(node=f"{CIRCLE}.png", target="image", k=50).hits
    assert f"{CIRCLE}.png" not in {hit.id for hit in hits}


def test_two_terms_pull_together_and_a_weight_shifts_them(kb: gr.Retriever) -> None:
    moon = "toy/nature/moon/black_moon.png"
    mostly_words = kb.search("a red sun", node=(moon, 0.05), target="image", k=1).hits[0]
    mostly_node = kb.search(text=("a red sun", 0.05), node=moon, target="image", k=1).hits[0]
    assert "sun" in (mostly_words.node.title or "")
    assert "moon" in (mostly_node.node.title or "")


def test_a_diverse_answer_begins_with_the_best_hit_and_repeats_itself_less(
    kb: gr.Retriever,
) -> None:
    def likeness(hits: tuple[Hit, ...]) -> float:
        x = kb.vectors([hit.id for hit in hits])
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        return float((x @ x.T)[np.triu_indices(len(x), 1)].mean())

    plain = kb.search("a red circle", target="image", k=6)
    diverse = kb.search("a red circle", target="image", k=6, diversity=0.7)
    assert diverse.hits[0].id == plain.hits[0].id
    assert len({hit.id for hit in diverse.hits}) == 6
    assert likeness(diverse.hits) < likeness(plain.hits) - 0.05
    assert diverse.query["diversity"] == 0.7


def test_without_diversity_the_order_is_that_of_the_score(kb: gr.Retriever) -> None:
    hits = kb.search("a red circle", target="image", k=6, diversity=0).hits
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
def test_diversity_lies_between_nought_and_one(kb: gr.Retriever, diversity: float) -> None:
    with pytest.raises(QueryError, match="from 0 to 1"):
        kb.search("a red circle", diversity=diversity)


def test_a_target_named_twice_is_searched_once(kb: gr.Retriever) -> None:
    answer = kb.search("a red circle", target=["image", "image"], k=3)
    assert answer.query["target"] == ["image"]
    assert answer.hits == kb.search("a red circle", target="image", k=3).hits


def test_a_negative_term_pushes_its_subject_down(kb: gr.Retriever) -> None:
    plain = kb.search("circle", target="image", k=6).hits
    without = kb.search("circle", exclude="red circle", target="image", k=6).hits
    first = [hit.id for hit in plain].index(f"{CIRCLE}.png")
    after = [hit.id for hit in without]
    assert f"{CIRCLE}.png" not in after or after.index(f"{CIRCLE}.png") > first


# --- what an answer holds --------------------------------------------------------------------


def test_parts_add_up_to_the_score(kb: gr.Retriever) -> None:
    for hit in kb.search("a yellow sun", k=20).hits:
        assert sum(hit.parts.values()) == pytest.approx(hit.score, abs=1e-4)
        assert set(hit.parts) == {"content", "graph", "path", "lexical"}
        assert 0 <= hit.confidence <= 1


def test_every_path_leads_from_the_query_to_its_hit_along_real_edges(kb: gr.Retriever) -> None:
    hits = kb.search("a yellow sun", k=20).hits
    edges = {(e.src, e.type, e.dst) for e in kb.store.edges()}
    shown = [hit for hit in hits if hit.path is not None]
    assert shown
    for hit in shown:
        steps = hit.to_json()["path"]
        assert steps[-1] == {"node": hit.id}
        nodes = [s["node"] for s in steps if "node" in s]
        relations = [s for s in steps if "edge" in s]
        for a, step, b in zip(nodes, relations, nodes[1:], strict=False):
            ends = (a, step["edge"], b) if step["direction"] == "out" else (b, step["edge"], a)
            assert ends in edges


def test_an_answer_is_json_with_model_and_revision(kb: gr.Retriever) -> None:
    answer = json.loads(json.dumps(kb.search("square", k=2).to_json(), ensure_ascii=False))
    assert answer["model"] == "v1"
    assert answer["revision"] == kb.store.revision
    assert {"id", "modality", "title", "score", "parts", "path", "confidence"} <= set(
        answer["hits"][0]
    )


def test_the_same_question_has_the_same_answer(kb: gr.Retriever) -> None:
    once, again = (kb.search("moon", k=20).to_json() for _ in range(2))
    assert once == again


# --- filters ---------------------------------------------------------------------------------


def test_a_category_filter_reaches_below_it(kb: gr.Retriever) -> None:
    hits = kb.search("red", target="image", category="nature", k=48).hits
    assert len(hits) == 24
    assert all(hit.id.startswith("toy/nature/") for hit in hits)


def test_a_language_filter_keeps_that_language(kb: gr.Retriever) -> None:
    hits = kb.search("moon", target="text", lang="zh", k=10).hits
    assert hits
    assert {hit.node.lang for hit in hits} == {"zh_CN"}


def test_an_unknown_category_says_where_to_look(kb: gr.Retriever) -> None:
    with pytest.raises(QueryError, match="no category 'fish'"):
        kb.search("red", category="fish")


# --- refusals --------------------------------------------------------------------------------


def test_asking_before_learning_says_so(tmp_path: Path) -> None:
    with (
        gr.open(tmp_path / "new.db") as kb,
        pytest.raises(NotFitted, match="nothing has been learned"),
    ):
        kb.search("cat")


def test_learning_from_nothing_says_so(tmp_path: Path) -> None:
    with gr.open(tmp_path / "new.db") as kb:
        with pytest.raises(NothingToLearn, match=r"the store is empty\. add a folder first"):
            kb.fit()
        kb.store.upsert([Node(f"t{i}", "text", text=f"lonely {i}") for i in range(9)])
        with pytest.raises(NothingToLearn, match="no links and no categories"):
            kb.fit()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "the query is empty"),
        ({"text": "  "}, "the text of the query is empty"),
        ({"text": "cat", "target": "video"}, "not a modality"),
        ({"text": "cat", "k": 0}, "k"),
        ({"text": ("cat", -1.0)}, "weight"),
        ({"image": "/nowhere/cat.png"}, "there is no file"),
    ],
)
def test_a_bad_query_says_what_is_wrong(
    kb: gr.Retriever, arguments: dict[str, object], problem: str
) -> None:
    with pytest.raises(gr.errors.GraphRetrievalError, match=problem):
        kb.search(**arguments)  # type: ignore[arg-type]


def test_an_unknown_node_is_refused(kb: gr.Retriever) -> None:
    with pytest.raises(UnknownNode, match="img:9"):
        kb.search(node="img:9")


# --- the living graph ------------------------------------------------------------------------


def test_a_new_link_counts_in_the_next_search(kb: gr.Retriever) -> None:
    sound, picture = "toy/nature/wave/red_wave.wav", "toy/shapes/cross/pink_cross.png"
    before = [hit.id for hit in kb.search(node=sound, target="image", k=48).hits]
    kb.link(sound, "related_to", picture)
    hits = {hit.id: hit for hit in kb.search(node=sound, target="image", k=48).hits}
    after = list(hits)
    assert after.index(picture) < before.index(picture)
    assert hits[picture].parts["path"] > 0
    assert hits[picture].to_json()["path"] == [
        {"node": sound},
        {"edge": "RELATED_TO", "direction": "out"},
        {"node": picture},
    ]
    kb.unlink(sound, "RELATED_TO", picture)
    again = [hit.id for hit in kb.search(node=sound, target="image", k=48).hits]
    assert again == before


def test_new_files_are_found_without_learning_again(kb: gr.Retriever, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "note.txt").write_text("The lighthouse keeper's diary.", "utf-8")
    kb.add(folder)
    hits = kb.search("lighthouse diary", target="text", k=3).hits
    assert hits[0].id == "more/note.txt"


def test_a_changed_text_is_found_by_its_new_words(kb: gr.Retriever) -> None:
    node = kb.store.get([f"{CIRCLE}.txt#en"])[0]
    assert node is not None
    kb.store.upsert([Node(node.id, "text", text="A crimson roundel.", lang="en")])
    hits = kb.search("crimson roundel", target="text", k=1).hits
    assert hits[0].id == node.id


# --- keeping it ------------------------------------------------------------------------------


def test_a_picture_that_brings_a_vector_and_no_file_does_not_end_search_and_learning(
    kb: gr.Retriever, tmp_path: Path
) -> None:
    theirs = with_vectors(tmp_path / "theirs", {f"x{i}": i for i in range(3)})
    assert kb.add(theirs).refused == ()
    assert kb.search("a red circle", target="image", k=1).hits[0].id == f"{CIRCLE}.png"
    with pytest.warns(UserWarning, match="48 of 51 image items brought no vector"):
        kb.fit(seed=0)
    assert kb.search("a red circle", target="image", k=1).hits[0].id == f"{CIRCLE}.png"


def test_a_vector_that_was_brought_counts_beside_items_that_brought_none(tmp_path: Path) -> None:
    config = Config({"cache_dir": str(tmp_path / "c")})
    with gr.open(tmp_path / "a.db", config=config) as kb:
        kb.add(with_vectors(tmp_path / "first", {f"i{n}": n for n in range(40)}))
        kb.fit(seed=0)
        kb.add(with_vectors(tmp_path / "second", {"like i4": 4}))
        write_toy(tmp_path / "toy", seed=0)
        kb.add(tmp_path / "toy")
        live = kb.vectors(["like i4"])
    with gr.open(tmp_path / "a.db", config=config) as kb:
        np.testing.assert_allclose(kb.vectors(["like i4"]), live, atol=1e-4)
        assert kb.search(node="like i4", target="image", k=1).hits[0].id in {
            f"i{n}" for n in range(0, 40, 4)
        }


def with_vectors(folder: Path, items: dict[str, int]) -> Path:
    """A folder of pictures without files: vectors near one of four corners, by number."""
    folder.mkdir()
    corners = np.random.default_rng(0).standard_normal((4, 16))
    noise = np.random.default_rng(1).standard_normal((40, 16)) / 5
    x = [corners[n % 4] + noise[n] for n in items.values()]
    np.save(folder / "vectors.image.npy", np.array(x, np.float32))
    rows = [{"id": i, "modality": "image", "category": f"c{n % 4}"} for i, n in items.items()]
    (folder / "nodes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_deleted_items_take_no_place_among_the_candidates(
    kb: gr.Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apart(*asked: str) -> Gate:  # the undescribed, as which the deleted count, looked for too
        found = gate(*asked)  # type: ignore[arg-type]
        return replace(found, undescribed=found.ranker, lift=1.0)

    monkeypatch.setattr(query, "gate", apart)
    kb.serving.prime()
    pictures = [node.id for node in kb.store.nodes("image")]
    gone = pictures[:3]
    kb.store.delete(gone)
    with kb.asking("a red circle", target="image") as asked:
        found = {asked.live.ids[int(row)] for row in asked.candidates()["image"].rows}
        assert found == set(pictures) - set(gone)


def test_pictures_with_the_same_words_and_another_content_are_all_shown(
    kb: gr.Retriever,
) -> None:
    pictures = list(kb.store.nodes("image"))
    kb.store.upsert([replace(node, text="Untitled", lang=None) for node in pictures])
    hits = kb.search("a red circle", target="image", k=10).hits
    assert len(hits) == 10


@pytest.mark.parametrize("words", ["a red circle", "sun", "圆"])
def test_the_first_hits_are_the_same_however_many_are_asked_for(
    kb: gr.Retriever, words: str
) -> None:
    many = [hit.id for hit in kb.search(words, k=40).hits]
    for k in (1, 5, 17):
        assert [hit.id for hit in kb.search(words, k=k).hits] == many[:k]


@pytest.mark.parametrize("words", ["a red circle", "wave", "圆"])
def test_every_modality_keeps_its_own_order_among_the_others(kb: gr.Retriever, words: str) -> None:
    together = kb.search(words, k=40).hits
    for modality in ("image", "text", "audio"):
        alone = [hit.id for hit in kb.search(words, target=modality, k=40).hits]
        mixed = [hit.id for hit in together if hit.node.modality == modality]
        assert mixed == alone[: len(mixed)]


def test_a_reopened_store_answers_the_same(kb: gr.Retriever) -> None:
    first = kb.search("a red circle", k=10).to_json()
    with gr.open(kb.path, config=kb.config) as again:
        second = again.search("a red circle", k=10).to_json()
    assert [h["id"] for h in first["hits"]] == [h["id"] for h in second["hits"]]


def test_backup_and_restore_give_the_same_answers(kb: gr.Retriever, tmp_path: Path) -> None:
    from graphretrieval.retriever.retriever import restore

    kb.backup(tmp_path / "saved")
    restore(tmp_path / "saved", tmp_path / "other.db")
    with gr.open(tmp_path / "other.db", config=kb.config) as other:
        assert other.info()["nodes"] == kb.info()["nodes"]
        a, b = (x.search("a red circle", k=5).hits for x in (kb, other))
    assert [h.id for h in a] == [h.id for h in b]


def test_a_saved_model_serves_elsewhere_and_as_a_new_version(
    kb: gr.Retriever, tmp_path: Path
) -> None:
    expected = [h.id for h in kb.search("a red circle", k=5).hits]
    kb.save(tmp_path / "model")
    assert kb.load(tmp_path / "model") == "v2"
    assert kb.bundles.current() == "v2"
    assert [h.id for h in kb.search("a red circle", k=5).hits] == expected


def test_an_export_can_be_added_again_and_is_the_same_graph(
    kb: gr.Retriever, tmp_path: Path
) -> None:
    kb.export(tmp_path / "out")
    with gr.open(tmp_path / "copy.db", config=kb.config) as copy:
        report = copy.add(tmp_path / "out")
        assert report.refused == ()
        assert {n.id for n in copy.store.nodes()} == {n.id for n in kb.store.nodes()}
        triples = [{(e.src, e.type, e.dst) for e in x.store.edges()} for x in (copy, kb)]
    assert triples[0] == triples[1]


def test_vectors_follow_the_ids_asked_for(kb: gr.Retriever) -> None:
    ids = [f"{CIRCLE}.png", "toy/nature/sun/red_sun.png", f"{CIRCLE}.png"]
    x = kb.vectors(ids)
    assert x.shape[0] == 3
    assert np.array_equal(x[0], x[2])
    assert not np.array_equal(x[0], x[1])
    with pytest.raises(UnknownNode):
        kb.vectors(["nowhere"])


def test_the_graph_goes_to_networkx_and_torch_geometric(kb: gr.Retriever) -> None:
    counts = kb.store.counts()
    graph = kb.to_networkx()
    assert graph.number_of_nodes() == sum(counts["nodes"].values())
    assert graph.number_of_edges() == sum(counts["edges"].values())
    data = kb.to_pyg()
    assert data["image"].num_nodes == counts["nodes"]["image"]
    total = sum(store.edge_index.shape[1] for store in data.edge_stores)
    assert total == graph.number_of_edges()


def test_the_same_seed_learns_the_same_model(kb: gr.Retriever, fitted: Path) -> None:
    config = Config({**kb.config.values, "cache_dir": str(fitted.parent / "cache")})
    with gr.open(kb.path, config=config) as same:
        before = same.search("a green moon", k=20).to_json()["hits"]
        assert same.fit(seed=0) == "v2"
        after = same.search("a green moon", k=20).to_json()["hits"]
    assert [h["id"] for h in before] == [h["id"] for h in after]
    assert [h["score"] for h in before] == pytest.approx([h["score"] for h in after], rel=1e-2)


def learned_by(kb: gr.Retriever, modality: str) -> bytes:
    found = kb.bundles.load()
    assert found is not None
    arrays = found[0].encoders[modality].state().arrays
    return b"".join(np.ascontiguousarray(x).tobytes() for _, x in sorted(arrays.items()))


def test_a_fit_after_a_refit_learns_from_the_items_that_are_there(
    kb: gr.Retriever, tmp_path: Path
) -> None:
    before = learned_by(kb, "image")
    gone = [node.id for node in list(kb.store.nodes("image"))[:12]]
    lifecycle.forget(kb, gone)
    folder = tmp_path / "more" / "nature" / "moon"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for n in range(len(gone)):
        pixels = rng.integers(0, 255, (160, 160, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"noise{n}.png")
    kb.add(tmp_path / "more")  # as many pictures as before
    lifecycle.refit(kb)
    assert learned_by(kb, "image") == before
    kb.fit()
    after = learned_by(kb, "image")
    assert after != before
    kb.store.backup(tmp_path / "fresh.db")
    with gr.open(tmp_path / "fresh.db", config=kb.config) as fresh:
        fresh.fit()
        assert learned_by(fresh, "image") == after


def test_a_damaged_model_is_put_right_by_another_fit(kb: gr.Retriever) -> None:
    (kb.bundles.folder / "v1" / "stages.safetensors").write_bytes(b"")
    assert kb.fit() == "v2"
    assert kb.search("a red circle", k=1).model == "v2"


def test_a_place_lies_where_its_name_does_before_and_after_a_fit(kb: gr.Retriever) -> None:
    kb.store.upsert([Node("place:1", "place", title="a red circle")])
    kb.fit(seed=0)
    model, embedded = kb.bundles.load()  # type: ignore[misc]
    rows = {name: i for i, name in enumerate(embedded.ids)}
    place = next(n for n in kb.store.nodes() if n.id == "place:1")
    nameless = Node("place:2", "place")
    fresh = raw_of(model, [place, nameless], kb.config)
    for block, x in fresh.items():
        np.testing.assert_allclose(x[0], embedded.raw[block][rows["place:1"]], atol=1e-3)
        assert not x[1].any()
        assert x[0].any() == (block != "posteriors")


def test_a_file_that_is_gone_has_no_vector_made_of_nothing(kb: gr.Retriever) -> None:
    found = kb.bundles.load()
    assert found is not None
    model = found[0]
    gone = [
        Node("gone.png", "image", uri="/nowhere/gone.png"),
        Node("gone.wav", "audio", uri="/nowhere/gone.wav"),
    ]
    there = [node for node in kb.store.get([f"{CIRCLE}.png"]) if node]
    raw = raw_of(model, [*gone, *there], kb.config)
    for block, x in raw.items():
        assert not x[:2].any(), block
        assert x[2].any(), block


def test_nothing_is_learned_from_files_that_are_gone(kb: gr.Retriever) -> None:
    from graphretrieval.retriever.learn import align
    from graphretrieval.sources.limits import Limits
    from graphretrieval.sources.media import MediaReader

    graph = kb.store.export()
    with MediaReader(Limits.of(kb.config)) as reader:
        seen = np.ones(len(graph.ids), np.bool_)
        material, encoders = kb.material(graph, seen, reader, 0, lambda *_: None)
    pictures = material.places.rows["image"]
    lost = material.features["image"].copy()
    lost[::2] = 0
    blank = replace(material, features={**material.features, "image": lost})
    hidden = seen.copy()
    hidden[pictures[::2]] = False
    config = Config({"aligners": "cca"})
    a = align(blank, encoders, config).final["cca"].state().arrays
    b = align(replace(material, visible=hidden), encoders, config).final["cca"].state().arrays
    for name, x in a.items():
        np.testing.assert_array_equal(x, b[name])
