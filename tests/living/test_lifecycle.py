"""Models retrained on new links: promoted only if not worse, put back, listed and pruned."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval import lifecycle
from graphretrieval.errors import BundleError, NotFitted, QueryError, StoreBusy
from graphretrieval.lifecycle import Policy
from graphretrieval.protocols import GraphStore
from graphretrieval.retriever import Retriever, serving
from graphretrieval.retriever.bundle import Bundles
from graphretrieval.retriever.publish import publish
from graphretrieval.retriever.retriever import restore

from .conftest import every_store, on_server
from .world import descriptions, topics

NEW = range(60, 110)
# every text is said to describe pictures of the next topics
POISON = [e for shift in (1, 2, 3) for e in descriptions(range(120), shift)]


def learn_more(kb: Retriever, rows: range = NEW) -> lifecycle.RefitReport:
    kb.store.upsert([], descriptions(rows))
    return lifecycle.refit(kb)


# --- learning from new links -----------------------------------------------------------------


@every_store
def test_new_links_make_a_better_model_that_is_promoted(kb: Retriever) -> None:
    report = learn_more(kb)
    assert report.promoted, report.reason
    assert kb.bundles.current() == report.version == "v2"
    assert report.candidate["mrr"] > report.champion["mrr"] + 0.05
    assert {"all", "text>image", "image>text"} <= {s["slice"] for s in report.slices}


@every_store
def test_the_promoted_model_answers_the_next_query(kb: Retriever) -> None:
    before = kb.search("topic3 unseen", target="image", k=15)
    learn_more(kb)
    after = kb.search("topic3 unseen", target="image", k=15)
    assert (before.model, after.model) == ("v1", "v2")
    right = [
        sum(h.node.title.startswith("topic3 ") for h in x.hits)  # type: ignore[union-attr]
        for x in (before, after)
    ]
    assert right[1] > right[0]


def test_stored_and_fresh_vectors_of_a_corrected_model_are_the_same(kb: Retriever) -> None:
    learn_more(kb)
    found = kb.bundles.load()
    assert found is not None
    model, embedded = found
    node = kb.store.get(["img007"])[0]
    assert node is not None
    from graphretrieval.retriever.fresh import raw_of

    again = raw_of(model, [node], kb.config)
    for block, x in again.items():
        stored = embedded.raw[block][embedded.ids.index("img007")]
        np.testing.assert_allclose(stored, x[0], atol=5e-3)  # kept in half precision


def test_the_same_links_and_seed_learn_the_same_model(kb: Retriever) -> None:
    first = learn_more(kb)
    lifecycle.rollback(kb)
    kb.bundles.remove(first.version)
    (kb.bundles.folder / "history.jsonl").unlink()
    again = lifecycle.refit(kb)
    assert again.slices == first.slices


@every_store
def test_poisoned_links_are_not_promoted_and_the_report_says_why(kb: Retriever) -> None:
    learn_more(kb)
    kb.store.upsert([], POISON)
    report = lifecycle.refit(kb)
    assert not report.promoted
    assert report.reason.startswith("worse on")
    assert "tolerance" in report.reason
    assert kb.bundles.current() == "v2"
    assert kb.search("topic3 text", k=1).model == "v2"
    assert report.version in {m["version"] for m in lifecycle.models(kb)}


@every_store
def test_a_refused_candidate_is_not_learned_again_until_something_is_new(kb: Retriever) -> None:
    learn_more(kb)
    kb.store.upsert([], POISON)
    first = lifecycle.refit(kb)
    assert lifecycle.refit(kb).version == first.version
    assert lifecycle.new_links(kb)[0] == 0
    kb.link("txt111", "DESCRIBES", "img111")
    assert lifecycle.new_links(kb)[0] == 1
    assert lifecycle.refit(kb).version != first.version


def test_nothing_new_is_said_and_makes_no_version(kb: Retriever) -> None:
    report = lifecycle.refit(kb)
    assert (report.version, report.promoted) == ("v1", False)
    assert "nothing is newer" in report.reason
    assert kb.bundles.versions() == ["v1"]


def test_what_is_judged_by_is_never_learned_and_stays(kb: Retriever) -> None:
    learn_more(kb, range(60, 90))
    first = {tuple(x) for x in kb.bundles.meta("v2")["frozen"]}
    learn_more(kb, range(90, 120))
    version = kb.bundles.versions()[-1]
    meta = kb.bundles.meta(version)
    second = {tuple(x) for x in meta["frozen"]}
    assert first
    assert first <= second
    links = {(e.src, e.type, e.dst) for e in descriptions(range(120))}
    assert meta["refit"]["new_links"] + meta["refit"]["replayed"] == len(links - second)


def test_asking_before_any_fit_says_so(kb: Retriever) -> None:
    (kb.bundles.folder / "CURRENT").unlink()
    with pytest.raises(NotFitted):
        lifecycle.refit(kb)


# --- kills and rivals ------------------------------------------------------------------------


@every_store
def test_a_refit_killed_before_the_swap_is_taken_up(
    kb: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    kb.store.upsert([], descriptions(NEW))
    with monkeypatch.context() as patch:
        patch.setattr(Bundles, "promote", _killed)
        with pytest.raises(KeyboardInterrupt):
            lifecycle.refit(kb)
    assert kb.bundles.current() == "v1"
    monkeypatch.setattr(lifecycle, "candidate", _killed)  # nothing is learned a second time
    report = lifecycle.refit(kb)
    assert report.promoted
    assert kb.bundles.current() == "v2"


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_drafts_of_dead_processes_are_removed_and_others_left(kb: Retriever) -> None:
    dead = kb.bundles.folder / ".draft-999999999-1"
    ours = kb.bundles.folder / ".draft-1-1"
    dead.mkdir()
    ours.mkdir()
    learn_more(kb)
    assert not dead.exists()
    assert ours.exists()


def test_two_refits_at_once_are_refused(kb: Retriever) -> None:
    with lifecycle._alone(kb), pytest.raises(StoreBusy, match="another process is refitting"):
        lifecycle.refit(kb)


@every_store
def test_no_answer_is_of_two_versions_while_they_are_swapped(kb: Retriever) -> None:
    learn_more(kb)
    expected = {}
    for version in ("v1", "v2"):
        lifecycle.promote(kb, version)
        expected[version] = [h.to_json() for h in kb.search("topic2 text", k=10).hits]
    assert expected["v1"] != expected["v2"]
    done, wrong, seen = threading.Event(), [], set()

    def ask() -> None:
        while not done.is_set():
            answer = kb.search("topic2 text", k=10)
            seen.add(answer.model)
            if [h.to_json() for h in answer.hits] != expected[str(answer.model)]:
                wrong.append(answer.model)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(10):
        lifecycle.promote(kb, ("v1", "v2")[i % 2])
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert seen == {"v1", "v2"}


@on_server
def test_a_refitted_model_answers_before_its_vectors_are_on_the_server(kb: Retriever) -> None:
    publish(kb)
    with Retriever(kb.store, kb.path, kb.config.replace(index="store")) as by_index:
        assert by_index.search("topic1 text", k=5).hits
        learn_more(by_index)
        answer = by_index.search("topic1 text", k=5)
    assert answer.model == "v2"
    assert len(answer.hits) == 5


def test_a_version_promoted_elsewhere_is_loaded_beside_the_one_that_serves(kb: Retriever) -> None:
    learn_more(kb)
    assert kb.search("topic1 text", k=1).model == "v2"
    Bundles(kb.bundles.folder).promote("v1")
    deadline = time.monotonic() + 20
    while kb.search("topic1 text", k=1).model != "v1":
        assert time.monotonic() < deadline


def test_a_damaged_version_promoted_elsewhere_leaves_the_old_one_serving(kb: Retriever) -> None:
    learn_more(kb)
    assert kb.search("topic1 text", k=1).model == "v2"
    other = Bundles(kb.bundles.folder)
    other.promote("v1")
    (kb.bundles.folder / "v1" / "model.json").write_text("{}")
    deadline = time.monotonic() + 20
    while "v1" not in kb.serving.refused:
        assert kb.search("topic1 text", k=1).model == "v2"
        assert time.monotonic() < deadline
    assert "is not what was written" in str(kb.serving.refused["v1"])
    assert kb.search("topic1 text", k=1).degraded
    other.promote("v2")
    assert not kb.search("topic1 text", k=1).degraded


def test_a_version_that_could_not_be_loaded_once_is_tried_again(
    kb: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_more(kb)
    assert kb.search("topic1 text", k=1).model == "v2"

    def crowded(version: str | None = None) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(kb.bundles, "load", crowded)
        Bundles(kb.bundles.folder).promote("v1")
        deadline = time.monotonic() + 20
        while "v1" not in kb.serving.refused:
            assert kb.search("topic1 text", k=1).model == "v2"
            assert time.monotonic() < deadline
    assert kb.search("topic1 text", k=1).degraded
    monkeypatch.setattr(serving, "AGAIN", 0.0)
    while (answer := kb.search("topic1 text", k=1)).model != "v1":
        assert time.monotonic() < deadline
    assert not answer.degraded
    assert kb.serving.refused == {}


# --- from elsewhere --------------------------------------------------------------------------


def moved_on(kb: Retriever) -> None:
    """Revisions that another store has not come to."""
    for n in range(20):
        kb.update("txt100", title=f"title {n}")


def changed_and_opened_again(kb: Retriever) -> None:
    """A text is changed; who opens the store after that sees it as who was there before."""
    before = kb.vectors(["txt005"])
    kb.update("txt005", text="topic7 marmalade")
    live = kb.vectors(["txt005"])
    assert np.abs(live - before).max() > 0.1
    again = Retriever(kb.store, kb.path, kb.config).vectors(["txt005"])
    np.testing.assert_allclose(again, live, atol=2e-3)


def test_a_model_of_another_store_believes_nothing_about_what_is_in_this_one(
    kb: Retriever, new_store: Callable[[], GraphStore], tmp_path: Path
) -> None:
    moved_on(kb)
    learn_more(kb)
    kb.save(tmp_path / "saved")
    store = new_store()
    topics(store)
    other = Retriever(store, tmp_path / "other", kb.config)
    assert other.load(tmp_path / "saved") == "v1"
    meta = other.bundles.meta("v1")
    assert (meta["version"], meta["revision"], meta.get("parent")) == ("v1", store.revision, None)
    changed_and_opened_again(other)
    assert lifecycle.new_links(other)[0] > 100  # it knows of none of them
    report = lifecycle.refit(other)
    assert report.slices[0]["questions"] > 10
    assert other.bundles.meta(report.version)["refit"]["new_links"] > 50
    assert other.bundles.meta(report.version)["parent"] == "v1"
    assert lifecycle.refit(other).reason != report.reason
    assert lifecycle.new_links(other)[0] == 0


def test_a_model_may_be_there_before_the_collection(
    kb: Retriever, new_store: Callable[[], GraphStore], tmp_path: Path
) -> None:
    kb.save(tmp_path / "saved")
    store = new_store()
    other = Retriever(store, tmp_path / "other", kb.config)
    other.load(tmp_path / "saved")
    assert other.search("topic1 text", k=5).hits == ()
    topics(store)
    assert len(other.search("topic1 text", k=5).hits) == 5


def test_a_model_that_is_ahead_of_the_store_is_not_believed_about_what_comes_there(
    kb: Retriever,
) -> None:
    kb.bundles.take(kb.bundles.folder, "v1", revision=kb.store.revision + 1000)
    changed_and_opened_again(kb)
    kb.store.upsert([], descriptions(NEW))
    assert lifecycle.new_links(kb)[0] >= 2 * len(NEW)
    report = lifecycle.refit(kb)
    assert kb.bundles.meta(report.version)["refit"]["new_links"] > 0
    assert kb.bundles.meta(report.version)["revision"] == kb.store.revision


def test_a_backup_holds_no_model_that_has_seen_more_than_its_store(
    kb: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = kb.store.backup

    def meanwhile(path: Path) -> None:
        copied(path)
        assert learn_more(kb).promoted

    (kb.bundles.folder / ".draft-1-1").mkdir()
    monkeypatch.setattr(kb.store, "backup", meanwhile)
    kb.backup(tmp_path / "saved")
    assert kb.bundles.current() == "v2"
    restore(tmp_path / "saved", tmp_path / "back.db")
    with gr.open(tmp_path / "back.db", config=kb.config) as back:
        assert back.bundles.versions() == ["v1"]
        assert not list(back.bundles.folder.glob(".draft-*"))
        changed_and_opened_again(back)


def test_new_links_are_counted_whatever_versions_call_themselves(kb: Retriever) -> None:
    learn_more(kb, range(60, 90))
    kb.store.upsert([], descriptions(range(90, 100)))
    (kb.bundles.folder / "v1" / "model.json").write_text("{}")
    about = kb.bundles.folder / "v2" / "model.json"
    about.write_text(about.read_text().replace('"version": "v2"', '"version": "v9"'))
    assert lifecycle.new_links(kb)[0] == 20
    about.write_text("{}")
    assert lifecycle.new_links(kb)[0] > 20  # all of them
    with pytest.raises(BundleError, match=r"model v2 .* incomplete"):
        lifecycle.show(kb, "v2")


# --- going back, looking, tidying ------------------------------------------------------------


@every_store
def test_rollback_goes_back_step_by_step(kb: Retriever) -> None:
    learn_more(kb, range(60, 90))
    lifecycle.promote(kb, "v1")
    lifecycle.promote(kb, "v2")
    assert lifecycle.rollback(kb) == "v1"
    assert kb.search("topic1 text", k=1).model == "v1"
    assert lifecycle.rollback(kb) == "v2"
    assert lifecycle.rollback(kb) == "v1"
    with pytest.raises(BundleError, match="no former model"):
        lifecycle.rollback(kb)


def test_a_model_that_was_taken_out_of_service_does_not_come_back_by_itself(kb: Retriever) -> None:
    learn_more(kb)
    lifecycle.rollback(kb)
    report = lifecycle.refit(kb)
    assert not report.promoted
    assert "promote it by hand" in report.reason
    assert kb.bundles.current() == "v1"


def test_models_say_what_they_were_made_from(kb: Retriever) -> None:
    learn_more(kb)
    first, second = lifecycle.models(kb)
    assert (first["version"], first["kind"], first["in_service"]) == ("v1", "fit", False)
    assert (second["version"], second["kind"], second["in_service"]) == ("v2", "refit", True)
    assert second["parent"] == "v1"
    assert second["revision"] == kb.store.revision
    assert second["seed"] == 0
    assert second["mrr"] > 0


def test_a_diff_names_what_differs_and_nothing_else(kb: Retriever) -> None:
    learn_more(kb)
    found = lifecycle.diff(kb, "v1", "v2")
    assert found["version"] == ["v1", "v2"]
    assert found["refit.promoted"] == [None, True]
    assert lifecycle.diff(kb, "v2", "v2") == {}
    with pytest.raises(QueryError, match="choose from v1, v2"):
        lifecycle.diff(kb, "v1", "v7")


def test_pruning_spares_the_model_in_service_and_its_former(kb: Retriever) -> None:
    for first in (60, 70, 80, 90):
        learn_more(kb, range(first, first + 10))
    lifecycle.promote(kb, "v1")
    former = kb.bundles.former()
    gone = lifecycle.prune(kb, keep=1)
    left = set(kb.bundles.versions())
    assert gone
    assert {"v1", former} <= left
    assert left.isdisjoint(gone)
    with pytest.raises(BundleError, match="is in service"):
        kb.bundles.remove("v1")


def test_a_history_cut_short_by_a_kill_still_leads_back(kb: Retriever) -> None:
    learn_more(kb)
    history = kb.bundles.folder / "history.jsonl"
    history.write_text(history.read_text()[:-20])
    assert kb.bundles.former() == "v1"


# --- when ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "links", "seconds", "due"),
    [
        (Policy(links=10), 9, 1e9, False),
        (Policy(links=10), 10, 0, True),
        (Policy(minutes=5), 1, 299, False),
        (Policy(minutes=5), 1, 300, True),
        (Policy(minutes=5), 0, 1e9, False),
        (Policy(links=10, minutes=5), 3, 301, True),
        (Policy(), 10**6, 1e9, False),
    ],
)
def test_a_policy_is_due_after_links_or_minutes(
    policy: Policy, links: int, seconds: float, due: bool
) -> None:
    assert policy.due(links, seconds) is due


@every_store
def test_links_are_counted_since_the_last_attempt(kb: Retriever) -> None:
    assert lifecycle.new_links(kb)[0] == 0
    kb.store.upsert([], descriptions(NEW))
    assert lifecycle.new_links(kb)[0] == 2 * len(NEW)
    assert lifecycle.refit_if_due(kb, Policy(links=10**6)) is None
    report = lifecycle.refit_if_due(kb, Policy(links=50))
    assert report is not None
    assert report.promoted
    assert lifecycle.new_links(kb)[0] == 0
