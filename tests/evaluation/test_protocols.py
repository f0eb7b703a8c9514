"""Each protocol hides what it asks for: no edge, label, text or twin of it is left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.errors import NothingToLearn, QueryError
from graphretrieval.evaluation.controls import NOISE
from graphretrieval.evaluation.protocols import (
    Plan,
    Trial,
    evaluate,
    evaluate_folder,
    kinds_of,
    scored,
)
from graphretrieval.evaluation.results import FUSED, Direction, print_result
from graphretrieval.folding import fold
from graphretrieval.retriever.learn import align, weigh
from graphretrieval.retriever.weighing import gate
from graphretrieval.types import Array, Edge, Graph, Node

from .world import name, trial_of, write_world

CONFIG = Config({"text_model": "none"})

# what is made once for all tests here is made in one process
pytestmark = pytest.mark.xdist_group("protocols")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Retriever]:
    """Read by all tests, changed by none."""
    folder = tmp_path_factory.mktemp("evaluation")
    with gr.open(folder / "world.db", config=CONFIG) as kb:
        assert kb.add(write_world(folder / "world")).refused == ()
        yield kb


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[gr.Retriever]:
    """One of a test's own, without given splits."""
    with gr.open(tmp_path / "own.db", config=CONFIG) as out:
        out.add(write_world(tmp_path / "world", split=False))
        yield out


def ids(graph: Graph, rows: Any) -> set[str]:
    return {graph.ids[int(i)] for i in rows}


def triples(graph: Graph) -> set[tuple[str, str, str]]:
    return {
        (graph.ids[s], graph.relations[r], graph.ids[d])
        for s, r, d in zip(graph.src, graph.relation, graph.dst, strict=True)
    }


def assert_untouched(trial: Trial, hidden: set[str]) -> None:
    """No edge of the hidden nodes is learned from or carries a message; encoders never saw them."""
    material = trial.material
    for graph in (material.graph, material.messages):
        assert not [t for t in triples(graph) if {t[0], t[2]} & hidden]
    assert hidden == ids(material.graph, np.flatnonzero(~material.visible))
    assert not material.validation[~material.visible].any()


def knows(encoder: Any, word: str) -> bool:
    from graphretrieval.types import TextContent

    return bool(np.abs(encoder.encode([TextContent(word)])).max() > 1e-6)


# --- inductive ------------------------------------------------------------------------------


def test_inductive_test_items_arrive_without_any_edge(base: gr.Retriever) -> None:
    trial, encoders, graph = trial_of(base, protocol="inductive")
    test = {n.id for n in base.store.nodes() if n.properties.get("split") == "test"}
    assert_untouched(trial, test)
    train = triples(trial.material.graph)
    assert train == {t for t in triples(graph) if not {t[0], t[2]} & test}
    seen = [i for i in range(60) if knows(encoders["text"], name(i))]
    assert len(seen) > 20  # some are kept from encoders, to judge by
    assert not [i for i in seen if i % 5 == 0]  # these only test texts have


def test_inductive_galleries_are_the_test_items_and_right_is_the_same_subject(
    base: gr.Retriever,
) -> None:
    trial, _, graph = trial_of(base, protocol="inductive")
    test = {n.id for n in base.store.nodes() if n.properties.get("split") == "test"}
    assert len(trial.directions) == 6
    subject = {s: d for s, r, d in triples(graph) if r == "IN_CATEGORY"}
    for d in trial.directions:
        queries, gallery = (ids(graph, rows) for rows in (d.queries, d.gallery))
        assert queries | gallery <= test
        assert d.source != d.target
        want = [
            [subject[graph.ids[q]] == subject[graph.ids[g]] for g in d.gallery] for q in d.queries
        ]
        np.testing.assert_array_equal(d.right, want)


def test_without_given_splits_what_belongs_together_is_on_one_side(kb: gr.Retriever) -> None:
    trial, _, graph = trial_of(kb, protocol="inductive")
    hidden = ids(graph, trial.hidden)
    assert 0.05 < len(hidden) / len(graph.ids) < 0.5
    for s, r, d in triples(graph):
        if r in ("DESCRIBES", "RELATED_TO"):
            assert (s in hidden) == (d in hidden)
    assert_untouched(trial, hidden)


class Only:
    """A ranker to which one column alone is worth something."""

    def __init__(self, column: int) -> None:
        self.column = column

    def weigh(self, parts: Array, known: float) -> Array:
        out = np.zeros_like(parts)
        out[:, self.column] = parts[:, self.column]
        return out

    def log_odds(self, scores: Array, known: float) -> tuple[float, float]:
        return 1.0, 0.0


def test_texts_of_each_kind_ask_through_their_own_gate_as_a_search_does(
    base: gr.Retriever,
) -> None:
    trial, encoders, _ = trial_of(base, protocol="inductive")
    aligned = align(trial.material, encoders, base.config)
    model = weigh(aligned, trial.material, encoders, base.store, base.config, relevance="category")
    part = {"text": model.columns[0], "han": model.columns[1]}
    for kind, column in part.items():
        model.gates[f"{kind}>image>category"] = Only(model.columns.index(column))
    (d,) = [d for d in trial.directions if (d.source, d.target) == ("text", "image")]
    kinds = kinds_of(trial.material, d)
    assert set(kinds) == set(part)

    def asked(own: Direction) -> dict[str, Any]:
        alone = replace(trial, directions=[own])
        return {s.method: s for s in scored(base, model, trial.material, alone, parts=True)}

    found = asked(d)
    for kind, column in part.items():
        mine = kinds == kind
        apart = asked(replace(d, queries=d.queries[mine], right=d.right[mine]))
        assert set(apart) == set(found)
        for method, s in apart.items():
            np.testing.assert_allclose(found[method].scores[mine], s.scores, atol=1e-5)
        fused = found[FUSED]
        np.testing.assert_array_equal(fused.scores[mine], found[column].scores[mine])
        assert fused.sure is not None
        np.testing.assert_allclose(fused.sure, 1 / (1 + np.exp(-fused.scores)), rtol=1e-5)


def test_items_ask_as_their_modality(base: gr.Retriever) -> None:
    trial, _, _ = trial_of(base, protocol="inductive")
    for d in trial.directions:
        if d.source != "text":
            assert set(kinds_of(trial.material, d)) == {d.source}


# --- few labels -----------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [1, 4, 1000])
def test_few_labels_leaves_so_many_of_each_category_and_modality(
    base: gr.Retriever, labels: int
) -> None:
    trial, _, graph = trial_of(base, protocol="few-labels", labels=labels)
    test = {n.id for n in base.store.nodes() if n.properties.get("split") == "test"}
    assert_untouched(trial, test)
    kind = {n.id: n.modality for n in base.store.nodes()}

    def count(g: Graph) -> Counter[tuple[str, str]]:
        inside = [t for t in triples(g) if t[1] == "IN_CATEGORY" and t[0] not in test]
        return Counter((kind[s], d) for s, _, d in inside)

    assert count(trial.material.graph) == {key: min(labels, n) for key, n in count(graph).items()}
    linked = {t for t in triples(trial.material.graph) if t[1] != "IN_CATEGORY"}
    assert linked == {
        t for t in triples(graph) if t[1] != "IN_CATEGORY" and not {t[0], t[2]} & test
    }


def test_few_questions_of_category_are_weighed_by_probabilities_alone(
    base: gr.Retriever,
) -> None:
    trial, encoders, _ = trial_of(base, protocol="few-labels", labels=4)
    aligned = align(trial.material, encoders, base.config)
    model = weigh(aligned, trial.material, encoders, base.store, base.config, relevance="category")
    weights = gate(model, "text", "image", "category").weights(len(model.columns), 0.0)
    told = {column for column, w in zip(model.columns, weights, strict=True) if w > 0}
    assert told == {"posteriors", "posteriors+"}


# --- connected ------------------------------------------------------------------------------


def test_connected_takes_one_description_of_each_test_picture_out(base: gr.Retriever) -> None:
    trial, _, graph = trial_of(base, protocol="connected", lang="en")
    (d,) = [d for d in trial.directions if d.target == "image"]
    assert len(d.queries) == 12
    assert ids(graph, d.queries) == ids(graph, trial.hidden)
    assert_untouched(trial, ids(graph, trial.hidden))
    assert len(d.gallery) == 60  # the whole database
    described = {s: t for s, r, t in triples(graph) if r == "DESCRIBES"}
    for q, right in zip(d.queries, d.right, strict=True):
        assert ids(graph, d.gallery[right]) == {described[graph.ids[q]]}


def test_hiding_a_language_hides_all_of_it_for_test_pictures(base: gr.Retriever) -> None:
    trial, _, graph = trial_of(base, protocol="connected", hide_lang=("zh", "en"))
    langs = Counter(n.lang for n in base.store.get(sorted(ids(graph, trial.hidden))) if n)
    assert langs == {"zh_CN": 12, "en": 24}
    assert [(d.slice, len(d.queries)) for d in trial.directions if d.target == "image"] == [
        ("en", 12),
        ("zh", 12),
    ]
    assert_untouched(trial, ids(graph, trial.hidden))


def test_undescribed_items_lose_every_description_and_are_reported_apart(
    base: gr.Retriever,
) -> None:
    trial, _, graph = trial_of(base, protocol="connected", lang="en", undescribed=0.5)
    slices = {d.slice: d for d in trial.directions if d.target == "image"}
    assert set(slices) == {"all", "described", "undescribed"}
    parts = [ids(graph, slices[name].queries) for name in ("described", "undescribed")]
    assert parts[0] | parts[1] == ids(graph, slices["all"].queries)
    assert not parts[0] & parts[1]
    still = {t[2] for t in triples(trial.material.messages) if t[1] == "DESCRIBES"}
    for part, expected in (("described", True), ("undescribed", False)):
        d = slices[part]
        answers = ids(graph, d.gallery[d.right.any(axis=0)])
        assert {a in still for a in answers} == {expected}
    bare = set(ids(graph, slices["all"].gallery)) - still
    assert 18 <= len(bare) <= 42  # half of sixty


def test_no_question_counts_twice_among_the_means(base: gr.Retriever) -> None:
    plan = Plan("connected", lang="en", undescribed=0.5, noise=True)
    found = evaluate(base, plan)
    rows = {(r["control"], r["slice"]): r for r in found.rows}
    assert len({part for _, part in rows}) == 3
    for control, about in found.summary.items():
        assert about["mean_map"] == pytest.approx(rows[control, "all"]["map"], abs=1e-6)
    for p in found.paired:
        gap = rows["full", p["slice"]][p["metric"]] - rows[p["b"], p["slice"]][p["metric"]]
        assert p["difference"] == pytest.approx(gap, abs=1e-6)
    assert {p["slice"] for p in found.paired} == {"all", "described", "undescribed"}
    print_result(found)


def test_a_second_copy_of_the_hidden_words_is_hidden_with_it(kb: gr.Retriever) -> None:
    texts = [
        Node("copy", "text", text=f"One  LION called {name(0)}.", lang="en"),
        Node("other", "text", text="A wholly different remark.", lang="en"),
    ]
    links = [Edge(n.id, "DESCRIBES", "i00") for n in texts]
    marks = [
        Node("i00", "image", properties={**node.properties, "split": "test"})
        for node in kb.store.get(["i00"])
        if node
    ]
    kb.store.upsert([*marks, *texts], links)
    trial, _, graph = trial_of(kb, protocol="connected", lang="en")
    hidden = ids(graph, trial.hidden)
    twins = {
        n.id for n in kb.store.nodes("text") if fold(n.text or "") == fold(texts[0].text or "")
    }
    assert len(twins) == 2
    assert twins <= hidden
    assert "other" not in hidden
    assert_untouched(trial, hidden)
    assert all(len(d.queries) == 1 for d in trial.directions)


def test_pictures_that_share_a_description_are_asked_for_together_or_not_at_all(
    kb: gr.Retriever,
) -> None:
    for i in range(0, 60, 2):
        texts = [
            Node(f"pair{i:02d}", "text", text=f"Pair {i}.", lang="en"),
            Node(f"pair{i + 1:02d}", "text", text=f"pair {i}. ", lang="en"),
        ]
        kb.store.upsert(texts, [Edge(t.id, "DESCRIBES", f"i{t.id[4:]}") for t in texts])
    trial, _, graph = trial_of(kb, protocol="connected", hide_lang=("en",))
    (d,) = [d for d in trial.directions if d.target == "image"]
    asked = {int(i[1:]) for i in ids(graph, d.gallery[d.right.any(axis=0)])}
    assert 4 <= len(asked) <= 30
    assert all(i ^ 1 in asked for i in asked)


def test_a_collection_without_descriptions_has_no_connected_protocol(tmp_path: Path) -> None:
    with gr.open(tmp_path / "bare.db", config=CONFIG) as kb:
        kb.store.upsert([Node("a", "image"), Node("b", "image")])
        with pytest.raises(NothingToLearn, match="no picture or sound has a description"):
            evaluate(kb, Plan("connected"))


# --- links ----------------------------------------------------------------------------------


def test_every_relation_is_asked_from_both_ends_and_all_together(base: gr.Retriever) -> None:
    found = evaluate(base, Plan("links"))
    *rows, together = found.rows
    assert {row["slice"] for row in rows} == {
        f"{relation}{way}"
        for relation in ("DESCRIBES", "IN_CATEGORY", "RELATED_TO")
        for way in ("", ", backwards")
    }
    assert (together["source"], together["slice"]) == ("any", "pooled")
    assert together["n_query"] == sum(row["n_query"] for row in rows)
    mean = sum(row["mrr"] * row["n_query"] for row in rows) / together["n_query"]
    assert together["mrr"] == pytest.approx(mean, abs=1e-6)
    assert found.summary["full"]["mean_map"] == pytest.approx(together["map"], abs=1e-6)


def test_hidden_links_are_found_by_the_links_that_are_left(base: gr.Retriever) -> None:
    found = evaluate(base, Plan("links", controls=True))
    means = {name: about["mean_map"] for name, about in found.summary.items()}
    assert means["full"] > max(means["no_graph"], means["rewired"])
    # every item is in one category here: there is nothing that occurs together
    assert means["no_cooccurrence"] == means["full"]
    assert {p["metric"] for p in found.paired} == {"map", "mrr", "recall@10"}


# --- what comes out -------------------------------------------------------------------------

ROW = {
    "method",
    "control",
    "relevance",
    "source",
    "target",
    "map",
    "ndcg@10",
    "recall@1",
    "recall@5",
    "recall@10",
    "precision@10",
    "mrr",
    "chance_map",
    "n_query",
    "n_gallery",
    "hubness@10",
    "seed",
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = write_world(tmp_path_factory.mktemp("result") / "world")
    found = evaluate_folder(folder, Plan("connected", lang="en", controls=True), CONFIG)
    return json.loads(json.dumps(found.to_json()))  # type: ignore[no-any-return]


def test_the_result_has_the_form_that_scripts_rely_on(result: dict[str, Any]) -> None:
    told = {"data", "protocol", "rows", "summary", "paired", "calibration"}
    assert set(result) == told | {"seconds", "peak_mb"}
    assert result["calibration"] == []  # nobody asked
    assert result["data"] == "world"
    assert result["protocol"]["name"] == "connected"
    assert all(set(row) >= ROW for row in result["rows"])
    controls = ("full", "no_graph", "no_gnn", "no_path", "rewired", "dropped")
    assert tuple(dict.fromkeys(row["control"] for row in result["rows"])) == controls
    assert set(result["summary"]) == set(controls)
    for about in result["summary"].values():
        lo, hi = about["ci95"]
        assert lo <= about["mean_map"] <= hi
    pairs = [(p["metric"], p["a"], p["b"]) for p in result["paired"]]
    assert pairs == [
        (metric, "full", c) for metric in ("map", "mrr", "recall@10") for c in controls[1:]
    ]
    assert all(0 < p["p"] <= 1 for p in result["paired"])
    assert result["peak_mb"] > 10


def test_figures_lie_where_figures_can_lie(result: dict[str, Any]) -> None:
    for row in result["rows"]:
        assert row["relevance"] == "instance"
        assert (row["n_query"], row["n_gallery"]) == (12, 60)
        assert row["recall@1"] <= row["recall@5"] <= row["recall@10"] <= 1
        assert row["recall@1"] <= row["mrr"] <= 1
        assert row["chance_map"] == pytest.approx(np.mean(1 / np.arange(1, 61)), rel=1e-3)


def test_the_true_graph_beats_a_rewired_one_where_it_must(result: dict[str, Any]) -> None:
    means = {name: about["mean_map"] for name, about in result["summary"].items()}
    assert means["full"] > means["rewired"]
    assert means["full"] > 4 * np.mean(1 / np.arange(1, 61))


def test_slices_and_noise_are_rows_of_their_own_and_move_no_mean(base: gr.Retriever) -> None:
    plain = evaluate(base, Plan("connected", lang="en"))
    found = evaluate(base, Plan("connected", lang="en", slices=("lang",), noise=True))
    assert tuple(found.summary) == ("full", *NOISE)
    assert found.summary["full"] == plain.summary["full"]
    rows = [r for r in found.rows if r["slice"] == "lang=en"]
    assert len(rows) == 1 + len(NOISE)
    assert rows[0]["map"] == plain.rows[0]["map"]  # all queries are English
    mine = [(p["a"], p["b"]) for p in found.paired if p["metric"] == "map"]
    assert mine == [("full", n) for n in NOISE]


def test_calibration_tells_of_every_direction_and_control(base: gr.Retriever) -> None:
    plan = Plan("connected", lang="en", noise=True, calibration=True, slices=("direct", "alike"))
    found = evaluate(base, plan)
    told = {(r["control"], r["target"], r["top"]): r for r in found.calibration}
    assert set(told) == {
        (control, target, top)
        for control in ("full", *NOISE)
        for target in ("image", "any")
        for top in (1, 5)
    }
    row = next(r for r in found.rows if r["control"] == "full" and r["slice"] == "all")
    best = told["full", "image", 1]
    assert best["pairs"] == row["n_query"]
    right = sum(b["right"] * b["pairs"] for b in best["bins"]) / best["pairs"]
    assert right == pytest.approx(row["recall@1"], abs=1e-3)
    assert {r["slice"] for r in found.rows} > {"direct=yes"}
    print_result(found)


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ({"protocol": "guess"}, "choose from inductive, few-labels, connected, links"),
        ({"relevance": "beauty"}, "choose category or instance"),
        ({"protocol": "connected", "undescribed": 3}, "3 is no share of a gallery"),
        ({"seeds": 0}, "seeds is 0"),
        ({"protocol": "few-labels", "labels": -1}, "labels is -1"),
        ({"hide_lang": ("zh", "es")}, r"inductive does not take hide_lang \(given: zh,es\)"),
        (
            {"labels": 3},
            r"does not take labels \(given: 3\). leave it out, or choose from few-labels",
        ),
        ({"protocol": "links", "slices": ("lang",)}, "links does not take slices"),
        ({"protocol": "connected", "relevance": "category"}, "does not take relevance"),
    ],
)
def test_a_plan_that_means_nothing_is_refused(plan: dict[str, Any], why: str) -> None:
    with pytest.raises(QueryError, match=why):
        Plan(**plan)


def test_a_slice_by_what_no_item_has_is_refused_with_the_choices(base: gr.Retriever) -> None:
    with pytest.raises(QueryError, match=r"no slice 'nope'.*choose from lang, parallel, size"):
        evaluate(base, Plan("connected", lang="en", slices=("lang", "nope")))
