"""Who is alike: found a page at a time, kept with the model, dropped with what is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.gnn.similar import Similar
from graphretrieval.lifecycle import refit
from graphretrieval.privacy import forget
from graphretrieval.retriever import similar as room
from graphretrieval.retriever.bundle import Bundles, Embedded
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.material import Material
from graphretrieval.retriever.model import PROBABILITIES, Model
from graphretrieval.retriever.similar import heard, nearest, similar
from graphretrieval.types import SIMILAR_TO, Array


def drawn(n: int, dim: int = 16, seed: int = 0) -> Array:
    x = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def by_name(ids: tuple[str, ...], edges: Similar) -> dict[tuple[str, str], float]:
    rows = zip(edges.src.tolist(), edges.dst.tolist(), edges.weight.tolist(), strict=True)
    return {(ids[s], ids[d]): w for s, d, w in rows}


@pytest.mark.parametrize("page", [1, 7, 50])
def test_pages_find_what_one_go_finds(page: int) -> None:
    x = drawn(101)
    whole = nearest(x, 20, page=len(x))
    paged = nearest(x, 20, page=page)
    np.testing.assert_array_equal(whole[0], paged[0])
    np.testing.assert_allclose(whole[1], paged[1], atol=2e-5)  # as other pages round
    assert (whole[0] != np.arange(101)[:, None]).all()


def test_the_nearest_are_those_of_brute_force() -> None:
    x = drawn(40)
    rows, cosines = nearest(x, 5, page=8)
    scores = x @ x.T
    np.fill_diagonal(scores, -np.inf)
    np.testing.assert_array_equal(rows, np.argsort(-scores, axis=1)[:, :5])
    np.testing.assert_allclose(cosines, -np.sort(-scores, axis=1)[:, :5], atol=1e-5)


def test_progress_is_told_for_every_page() -> None:
    told: list[tuple[int, int, str]] = []
    nearest(drawn(25), 3, page=10, progress=lambda *x: told.append(x))  # type: ignore[arg-type]
    assert [done for done, _, _ in told] == [0, 10, 20, 25]


def test_items_are_likened_within_their_modality_by_all_blocks_but_probabilities() -> None:
    rows = {"image": np.arange(0, 60, 2), "text": np.arange(1, 60, 2)}
    raw = {PROBABILITIES: drawn(60, seed=1), "pivot": 3 * drawn(60), "words": drawn(60, seed=2)}
    found = similar(rows, raw)
    assert len(found.edges) > 0
    assert (found.edges.src % 2 == found.edges.dst % 2).all()
    mean = (drawn(60) @ drawn(60).T + drawn(60, seed=2) @ drawn(60, seed=2).T) / 2
    np.testing.assert_allclose(
        found.edges.weight, mean[found.edges.src, found.edges.dst], atol=2e-5
    )
    assert sum(found.counts.values()) == len(found.edges)
    again = similar(rows, raw).edges
    np.testing.assert_array_equal(again.src, found.edges.src)
    np.testing.assert_array_equal(again.dst, found.edges.dst)


def test_items_without_content_and_few_items_are_like_nobody() -> None:
    x = drawn(30)
    x[:3] = 0
    edges = similar({"image": np.arange(30)}, {"pivot": x}).edges
    assert min(edges.src.min(), edges.dst.min()) >= 3
    assert len(similar({"image": np.arange(2)}, {"pivot": x}).edges) == 0


def test_modalities_of_too_many_items_are_left_out_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "MOST", 20)
    rows = {"image": np.arange(20), "text": np.arange(20, 45)}
    found = similar(rows, {"pivot": drawn(45)})
    assert found.edges.dst.max() < 20
    assert found.to_json() == {"edges": {"image": len(found.edges)}, "left_out": {"text": 25}}


def test_a_fit_keeps_the_edges_of_its_vectors_and_says_how_many(kb: gr.Retriever) -> None:
    ids, edges = kb.bundles.similar("v1")
    found = kb.bundles.load("v1")
    assert found is not None
    model, embedded = found
    assert by_name(ids, edges) == by_name(embedded.ids, embedded.similar)
    said = model.meta["similar"]
    assert sum(said["edges"].values()) == len(edges) > 0
    assert said["left_out"] == {}
    modality = {n.id: n.modality for n in kb.store.nodes()}
    assert all(modality[a] == modality[b] for a, b in by_name(ids, edges))


def test_what_is_hidden_from_learning_is_like_nobody(kb: gr.Retriever) -> None:
    graph = kb.store.export()
    n = len(graph.ids)
    visible = np.arange(n) % 3 > 0
    nothing = np.full(n, "", dtype="U8")
    material = Material(
        graph=graph,
        messages=graph,
        places=Places.of(graph),
        features={},
        name_features=None,
        texts={},
        kinds=nothing,
        langs=nothing,
        visible=visible,
        validation=~visible,
        held=~visible,
    )
    messages = heard(material, {"pivot": drawn(n)}).messages
    at = messages.edges_of(SIMILAR_TO)
    assert len(at) > 0
    assert visible[messages.src[at]].all()
    assert visible[messages.dst[at]].all()
    assert len(messages.src) - len(at) == len(graph.src)


def bundle(folder: Path, edges: Similar) -> Bundles:
    x = np.ones((4, 2), np.float32)
    out = Bundles(folder)
    out.save(Model(), Embedded(("a", "b", "c", "d"), {"p": x}, {"p": x}, edges))
    return out


EDGES = Similar(np.array([0, 1, 2]), np.array([1, 3, 3]), np.array([0.5, 0.25, 1], np.float32))


def test_a_bundle_brings_the_edges_back(tmp_path: Path) -> None:
    found = bundle(tmp_path, EDGES).load()
    assert found is not None
    wanted = {("a", "b"): 0.5, ("b", "d"): 0.25, ("c", "d"): 1.0}
    assert by_name(found[1].ids, found[1].similar) == wanted
    taken = Bundles(tmp_path / "other")
    version = taken.take(tmp_path, "v1")
    assert by_name(*taken.similar(version)) == wanted


def test_a_bundle_without_edges_has_none(tmp_path: Path) -> None:
    assert len(bundle(tmp_path, Similar.joined()).similar("v1")[1]) == 0


def test_stripping_a_node_drops_its_edges_and_the_others_go_on(tmp_path: Path) -> None:
    bundles = bundle(tmp_path, EDGES)
    assert bundles.strip("v1", ["b"]) == 1
    assert by_name(*bundles.similar("v1")) == {("c", "d"): 1.0}
    found = bundles.load()
    assert found is not None
    assert found[1].ids == ("a", "c", "d")


def test_what_is_forgotten_is_like_nobody_any_more(kb: gr.Retriever) -> None:
    before = by_name(*kb.bundles.similar("v1"))
    gone = next(iter(before))[0]
    forget(kb, [gone])
    after = by_name(*kb.bundles.similar("v1"))
    assert after == {ends: w for ends, w in before.items() if gone not in ends}


def test_by_default_likeness_is_no_edge_of_search(kb: gr.Retriever) -> None:
    live = kb.serving.newest()
    assert SIMILAR_TO not in live.ties.relations
    assert len(live.graph().src) == len(kb.store.export().src)


@pytest.fixture(scope="module")
def alike(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Retriever]:
    """The museum again, with likeness as edges."""
    folder = tmp_path_factory.mktemp("alike")
    config = Config({"cache_dir": str(folder / "cache"), "similar": True})
    with gr.open(folder / "toy.db", config=config) as kb:
        kb.add(fitted.parent / "toy")
        kb.fit(seed=0)
        yield kb


def test_where_it_is_set_messages_and_paths_go_over_likeness(alike: gr.Retriever) -> None:
    live = alike.serving.newest()
    graph = live.graph()
    at = graph.edges_of(SIMILAR_TO)
    ids, edges = alike.bundles.similar("v1")
    walked = {(graph.ids[graph.src[e]], graph.ids[graph.dst[e]]) for e in at}
    assert walked == by_name(ids, edges).keys()
    assert len(at) > 0
    heard = {t for r in live.model.refiners.values() for t in getattr(r, "strength_", {})}
    assert any(t.startswith(SIMILAR_TO) for t in heard)
    served = live.vectors.refined  # those saved are those that a rebuild gives
    rebuilt = alike.serving.prime().vectors.refined
    for block, x in served.items():
        np.testing.assert_allclose(x, rebuilt[block], atol=5e-3)
    assert alike.search("red fish", target="image").hits


def test_derived_edges_are_never_in_the_store(alike: gr.Retriever) -> None:
    assert SIMILAR_TO not in alike.store.counts()["edges"]
    assert SIMILAR_TO not in alike.store.export().relations


def test_a_refit_goes_on_with_them(alike: gr.Retriever) -> None:
    before = by_name(*alike.bundles.similar("v1"))
    texts = [n.id for n in alike.store.nodes("text")][:6]
    images = [n.id for n in alike.store.nodes("image")][:6]
    for text, image in zip(texts, images, strict=True):
        alike.link(text, "RELATED_TO", image)
    report = refit(alike)
    assert report.version != "v1"
    assert by_name(*alike.bundles.similar(report.version)) == before
