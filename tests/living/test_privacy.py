"""Forgetting leaves nothing behind, says what it removed, and survives a kill."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import graphretrieval as gr
from graphretrieval import lifecycle, privacy
from graphretrieval.config import Config
from graphretrieval.errors import BundleError, QueryError, UnknownNode
from graphretrieval.protocols import GraphStore
from graphretrieval.retriever import Retriever
from graphretrieval.retriever.bundle import Bundles
from graphretrieval.retriever.ingest import digest
from graphretrieval.retriever.moves import MOVED
from graphretrieval.retriever.publish import neo4j_of, publish
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.types import DESCRIBES, PART_OF, Array, Edge, FileStamp, Node

from . import world
from .conftest import every_store, on_server
from .world import descriptions

SECRET = "Zanzibarquux Melchisedek"
MARKS = [m.encode() for m in (SECRET, SECRET.casefold(), "zanzibarquux", "/private/letter.txt")]


@pytest.fixture
def told(
    new_store: Callable[[], GraphStore],
    tmp_path: Path,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> Retriever:
    """A collection with a secret in it, of which models were learned twice."""
    world.register(monkeypatch)
    store = new_store()
    world.topics(store)
    letter = Node("letter", "source", uri="/private/letter.txt", title=SECRET)
    parts = [
        Node("letter#0", "text", "/private/letter.txt", text=f"topic1 {SECRET} begins", lang="en"),
        Node("letter#1", "text", "/private/letter.txt", text=f"topic1 {SECRET} ends", lang="en"),
        Node("portrait", "image", sha256="ab" * 32, title=f"topic1 {SECRET}"),
    ]
    edges = [Edge(p.id, PART_OF, "letter") for p in parts[:2]]
    edges += [Edge("letter#0", DESCRIBES, "img001"), Edge("letter#0", DESCRIBES, "portrait")]
    store.upsert([letter, *parts], edges)
    kb = world.served(store, tmp_path / "world", config)
    kb.store.upsert([], descriptions(range(60, 110)))
    lifecycle.refit(kb)
    kb.search("topic1 text", k=5)
    return kb


def holding(kb: Retriever, *folders: Path) -> list[str]:
    """Files, and nodes and edges of a server, that hold a mark of what is to be forgotten."""
    local: Any = getattr(kb.store, "local", kb.store)  # a server's rows have a copy beside them
    roots = [*folders, kb.bundles.folder, local.path.parent]
    files = {f for root in roots for f in root.rglob("*") if f.is_file()}
    artefacts = {str(f): f.read_bytes() for f in files}
    if local is not kb.store:
        artefacts |= rows_on_server(kb.store)
    return sorted(name for name, held in artefacts.items() if any(mark in held for mark in MARKS))


def rows_on_server(store: Any) -> dict[str, bytes]:
    """All that is in its database, without its logs and the free space in its files."""
    rows = store.remote.bolt.run("MATCH (n) RETURN labels(n) AS name, properties(n) AS held")
    rows += store.remote.bolt.run("MATCH ()-[r]->() RETURN type(r) AS name, properties(r) AS held")
    return {f"{i}: {row['name']}": str(row["held"]).encode() for i, row in enumerate(rows)}


@every_store
def test_the_secret_is_there_before_it_is_forgotten(told: Retriever, tmp_path: Path) -> None:
    assert {name for name, _ in told.store.text_search([SECRET])[0]} >= {"letter#0", "letter#1"}
    places = " ".join(holding(told, tmp_path))
    assert "graph.db" in places
    assert ("Text" in places) == ("remote" in told.store.capabilities)


@every_store
def test_no_artefact_holds_what_was_forgotten(told: Retriever, tmp_path: Path) -> None:
    certificate = lifecycle.forget(told, ["letter", "portrait"], by="ada")
    assert holding(told, tmp_path) == []
    ids = ["letter", "letter#0", "letter#1", "portrait"]
    assert certificate["ids"] == ids
    assert told.store.get(ids) == [None] * 4
    assert told.store.text_search([SECRET]) == [[]]
    assert not set(ids) & set(told.store.export().ids)
    for version in told.bundles.versions():
        found = told.bundles.load(version)
        assert found is not None
        assert not set(ids) & set(found[1].ids)
    found_now = {h.id for h in told.search(f"topic1 {SECRET}", k=50).hits}
    assert not set(ids) & found_now


@every_store
def test_what_neighbours_had_absorbed_is_gone_as_if_it_had_never_been(
    told: Retriever, new_store: Callable[[], GraphStore], tmp_path: Path
) -> None:
    ids = ["img001", "img009", "portrait", "txt001"]
    lifecycle.forget(told, ["letter"])
    model, ours = told.serving.newest().model, told.vectors(ids)
    other = new_store()
    world.topics(other)
    other.upsert([Node("portrait", "image", sha256="ab" * 32, title=f"topic1 {SECRET}")])
    other.upsert([], descriptions(range(60, 110)))
    kb = Retriever(other, tmp_path / "other", told.config)
    live = world.live_of(other, told.config, depth=1)
    live.model.meta["revision"] = other.revision
    model.meta["revision"] = other.revision
    from graphretrieval.retriever.bundle import Embedded
    from graphretrieval.retriever.live import Live

    nothing = {b: np.zeros((0, world.DIM), np.float32) for b in model.aligners}
    anew = Live.load("v1", model, Embedded((), nothing, nothing), 0, other, kb.config, primed=True)
    rows = [anew.row[i] for i in ids]
    blocks = [*anew.vectors.raw.values(), *anew.vectors.refined.values()]
    np.testing.assert_allclose(ours, np.concatenate([x[rows] for x in blocks], 1), atol=2e-3)


@on_server
def test_vectors_on_a_server_hold_nothing_of_what_was_forgotten(told: Retriever) -> None:
    server = neo4j_of(told)
    lifecycle.rollback(told)
    publish(told)
    lifecycle.promote(told, "v2")
    publish(told)
    before = stored(server, "portrait")
    lifecycle.forget(told, ["letter"])
    assert list(server.spaces.all()) == [server.spaces.current()]
    (after,) = stored(server, "portrait")
    np.testing.assert_allclose(after, told.vectors(["portrait"])[0], atol=1e-5)
    assert all(np.abs(after - x).max() > 0.01 for x in before)


def stored(server: Neo4jStore, name: str) -> list[Array]:
    """A node's vectors, of every space, without the coordinate that makes them equally long."""
    (row,) = server.bolt.run("MATCH (n {id: $id}) RETURN properties(n) AS held", id=name)
    return [np.array(x[:-1]) for k, x in row["held"].items() if k.startswith("vector_")]


@every_store
def test_the_certificate_says_what_and_when_and_holds_no_content(told: Retriever) -> None:
    certificate = lifecycle.forget(told, ["letter"], by="ada")
    assert certificate["removed"]["nodes"] == 3
    assert certificate["removed"]["vectors"] == {"v1": 3, "v2": 3}
    assert certificate["statistics_in_models"] == ["v1", "v2"]
    kept = privacy.certificates(told)
    assert [c["by"] for c in kept] == ["ada"]
    assert kept[0]["done_at"] >= kept[0]["at"]
    assert "letter" not in json.dumps(kept)


@every_store
def test_other_nodes_of_the_same_content_are_named(told: Retriever) -> None:
    told.store.upsert([Node("copy", "text", text=f"topic1 {SECRET} begins", lang="en")])
    certificate = lifecycle.forget(told, ["letter"])
    assert certificate["same_content_in"] == ["copy"]


@every_store
@pytest.mark.parametrize("step", ["delete", "forget_files", "export", "strip_all"])
def test_a_killed_forgetting_is_finished_by_the_next(
    told: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bundles if step == "strip_all" else type(told.store), step, killed)
        with pytest.raises(KeyboardInterrupt):
            lifecycle.forget(told, ["letter", "portrait"])
    assert len(privacy.resume(told)) == 1
    assert privacy.resume(told) == []
    assert holding(told, tmp_path) == []
    assert told.store.get(["letter#0"]) == [None]


def test_a_strip_killed_between_its_files_leaves_a_model_that_can_be_read(
    told: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced = Path.replace
    calls: list[str] = []

    def killed(self: Path, target: Path) -> Path:
        calls.append(Path(target).name)
        if calls.count("vectors.safetensors") == 1:
            raise KeyboardInterrupt
        return replaced(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            told.bundles.strip("v2", ["letter"])
    assert told.bundles.load("v2") is not None
    assert told.bundles.strip("v2", ["letter"]) == 1
    assert told.bundles.load("v2") is not None


def _of_former_release(kb: Retriever, version: str) -> None:
    file = kb.bundles.folder / version / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 1}))


@pytest.mark.parametrize("harm", ["format", "cut", "no manifest"])
def test_a_version_that_cannot_be_read_goes_as_a_whole_and_the_others_are_stripped(
    told: Retriever, tmp_path: Path, harm: str
) -> None:
    version = told.bundles.folder / "v1"
    if harm == "format":
        _of_former_release(told, "v1")
    elif harm == "cut":
        (version / "vectors.safetensors").write_bytes(SECRET.encode())
    else:
        (version / "manifest.json").unlink()
    certificate = lifecycle.forget(told, ["letter", "portrait"])
    assert certificate["models_removed"] == ["v1"]
    assert certificate["removed"]["vectors"] == {"v2": 4}
    assert not version.exists()
    assert holding(told, tmp_path) == []
    assert [c["certificate"] for c in privacy.certificates(told)] == [certificate["certificate"]]
    found = told.bundles.load("v2")
    assert found is not None
    assert "portrait" not in found[1].ids


def test_a_model_in_service_that_cannot_be_read_is_named_and_holds_up_nothing_else(
    told: Retriever, tmp_path: Path
) -> None:
    _of_former_release(told, "v2")
    with pytest.raises(BundleError, match=r"model v2 may hold, .*format 1.*fit again"):
        lifecycle.forget(told, ["letter"], by="ada")
    assert told.store.get(["letter", "letter#0"]) == [None, None]
    assert told.bundles.strip("v1", ["letter"]) == 0
    with pytest.raises(BundleError, match="model v2"):
        lifecycle.forget(told, ["letter"])  # not yet
    assert privacy.resume(told) == []
    lifecycle.promote(told, "v1")
    certificate = lifecycle.forget(told, ["letter"])
    assert (certificate["by"], certificate["models_removed"]) == ("ada", ["v2"])
    assert certificate["removed"]["vectors"] == {"v1": 3}
    assert told.bundles.versions() == ["v1"]


def test_a_version_that_its_disk_refuses_for_now_is_kept(
    told: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graphretrieval.retriever import bundle

    def refused(file: Path) -> str:
        if file.parent.name == "v1":
            raise OSError(24, "Too many open files")
        return sums(file)

    sums = bundle._sha256
    with monkeypatch.context() as patch:
        patch.setattr(bundle, "_sha256", refused)
        with pytest.raises(BundleError, match=r"model v1 .*Too many open files"):
            lifecycle.forget(told, ["letter"])
    (certificate,) = privacy.resume(told)
    assert certificate["removed"]["vectors"] == {"v1": 3, "v2": 3}
    assert certificate["models_removed"] == []


def test_the_same_forgotten_again_after_a_kill_is_the_run_that_was_killed(
    told: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bundles, "strip_all", killed)
        with pytest.raises(KeyboardInterrupt):
            lifecycle.forget(told, ["letter"], by="ada")
    assert lifecycle.forget(told, ["letter"])["by"] == "ada"
    assert len(privacy.certificates(told)) == 1


def named_in(kb: Retriever) -> dict[str, str]:
    """Version → all that names nodes in it."""
    out = {}
    for version in kb.bundles.versions():
        found = kb.bundles.load(version)
        assert found is not None
        model, embedded = found
        frozen = [end for s, _, d in model.meta.get("frozen", ()) for end in (s, d)]
        asking = [n for names in model.askers.values() for n in names]
        out[version] = " ".join([*embedded.ids, *frozen, *asking, *model.categories])
    return out


def test_a_model_that_was_being_learned_meanwhile_is_saved_without_it(told: Retriever) -> None:
    asked, _, answer = told.bundles.meta("v2")["frozen"][0]
    told.store.upsert([], descriptions(range(110, 120)))
    other = Retriever(told.store, told.path, told.config)
    done = []

    def progress(_: int, __: int, what: str) -> None:
        if what == "saving the candidate" and not done:
            done.append(lifecycle.forget(other, [asked, answer, "portrait"]))

    report = lifecycle.refit(told, progress=progress)
    assert len(done) == 1
    assert report.version == "v3"
    names = named_in(told)
    assert not [v for v, held in names.items() for i in (asked, answer, "portrait") if i in held]
    assert told.bundles.meta("v3")["frozen"]
    told.bundles.promote("v3")
    assert told.search("topic1 text", k=5).model == "v3"


def test_forgetting_waits_for_a_version_that_is_just_being_added(
    told: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out = Bundles._leave_out
    forgetting = threading.Thread(target=lifecycle.forget, args=(told, ["portrait"]))

    def meanwhile(self: Bundles, draft: Path) -> None:
        left_out(self, draft)
        forgetting.start()
        deadline = time.monotonic() + 20
        while told.store.get(["portrait"]) != [None]:
            assert time.monotonic() < deadline
        forgetting.join(0.3)  # it would be done by now
        assert forgetting.is_alive()

    found = told.bundles.load()
    assert found is not None
    with monkeypatch.context() as patch:
        patch.setattr(Bundles, "_leave_out", meanwhile)
        told.bundles.save(*found)
    forgetting.join()
    assert set(named_in(told)) == {"v1", "v2", "v3"}
    assert not [v for v, names in named_in(told).items() if "portrait" in names]


def test_a_saved_model_that_is_loaded_later_brings_nothing_back(
    told: Retriever, tmp_path: Path
) -> None:
    told.save(tmp_path / "saved")
    lifecycle.forget(told, ["letter", "portrait"])
    version = told.load(tmp_path / "saved")
    assert "portrait" not in named_in(told)[version]
    assert told.search("topic1 text", k=5).model == version


def test_what_killed_runs_left_of_models_goes_too(told: Retriever, tmp_path: Path) -> None:
    models = told.bundles.folder
    for name in (".draft-999999999-1", ".draft-1-1"):
        (models / name).mkdir()
    for place in (".draft-999999999-1/vectors.safetensors", "v1/.vectors-999999999"):
        (models / place).write_text(SECRET, "utf-8")
    lifecycle.forget(told, ["letter", "portrait"])
    assert holding(told, tmp_path) == []
    assert [p.name for p in models.glob(".draft-*")] == [".draft-1-1"]  # somebody's at work


def test_a_forgotten_category_is_not_named_in_models_any_more(told: Retriever) -> None:
    found = told.bundles.load()
    assert found is not None
    model, embedded = found
    model.categories = ("cat:1", "cat:2", "cat:3")
    told.bundles.save(model, embedded)
    lifecycle.forget(told, ["cat:2"])
    again = told.bundles.load("v3")
    assert again is not None
    assert again[0].categories == ("cat:1", "", "cat:3")  # the columns stay where they are


@every_store
def test_an_unknown_node_is_refused_and_nothing_is_forgotten(told: Retriever) -> None:
    with pytest.raises(UnknownNode, match="nowhere"):
        lifecycle.forget(told, ["letter", "nowhere"])
    assert told.store.get(["letter"])[0] is not None
    assert privacy.certificates(told) == []


@every_store
def test_what_was_forgotten_does_not_come_back_with_its_file(
    new_store: Callable[[], GraphStore], config: Config, tmp_path: Path
) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a.txt").write_text("keep me", "utf-8")
    (folder / "b.txt").write_text("forget me", "utf-8")
    with Retriever(new_store(), tmp_path / "x", config) as kb:
        kb.add(folder)
        lifecycle.forget(kb, ["letters/b.txt"])
        report = kb.add(folder)
        assert [name for name, _ in report.refused] == ["letters/b.txt"]
        assert "kept out" in report.refused[0][1]
        assert {n.id for n in kb.store.nodes("text")} == {"letters/a.txt"}


@every_store
def test_what_was_forgotten_does_not_come_back_where_its_file_was_moved_to(
    new_store: Callable[[], GraphStore], config: Config, tmp_path: Path
) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a.txt").write_text("keep me", "utf-8")
    (folder / "b.txt").write_text("forget me", "utf-8")
    with Retriever(new_store(), tmp_path / "x", config) as kb:
        kb.add(folder)
        for before, after in (("b", "c"), ("c", "d")):
            (folder / f"{before}.txt").rename(folder / f"{after}.txt")
            kb.add(folder, prune=True)
        assert kb.store.get(["letters/b.txt"])[0] is not None
        certificate = lifecycle.forget(kb, ["letters/b.txt"])
        assert kb.store.files(MOVED) == {}
        assert certificate["removed"]["nodes"] == 1
        assert len(certificate["ids_sha256"]) == 2  # of the node, and of where its file is now
        report = kb.add(folder)
        assert [name for name, _ in report.refused] == ["letters/d.txt"]
        assert {n.id for n in kb.store.nodes("text")} == {"letters/a.txt"}


def test_an_id_that_another_node_has_by_now_is_not_kept_out(kb: Retriever) -> None:
    stamp = FileStamp(f"{MOVED}img001", 0, 0, "img002")  # the file of img001 lies elsewhere now
    kb.store.upsert([], [], [stamp])
    certificate = lifecycle.forget(kb, ["img002"])
    assert certificate["ids_sha256"] == [digest("img002")]
    assert kb.store.files(MOVED) == {}


# --- updating ------------------------------------------------------------------------------


@every_store
def test_an_updated_text_is_found_by_its_new_words_only(kb: Retriever) -> None:
    kb.update("txt005", text="topic5 marmalade")
    assert kb.search("topic5 marmalade", target="text", k=1).hits[0].id == "txt005"
    assert [name for name, _ in kb.store.text_search(["marmalade"])[0]] == ["txt005"]
    assert kb.store.get(["txt005"])[0].text == "topic5 marmalade"  # type: ignore[union-attr]


@pytest.mark.parametrize("changes", [{"modality": "image"}, {"id": "x"}, {"colour": "red"}])
def test_what_cannot_be_updated_is_named(kb: Retriever, changes: dict[str, str]) -> None:
    with pytest.raises((QueryError, TypeError), match=next(iter(changes))):
        kb.update("txt005", **changes)
    with pytest.raises(UnknownNode):
        kb.update("nowhere", title="x")


# --- redaction -----------------------------------------------------------------------------


@pytest.mark.parametrize(("redact", "kept"), [(1, set()), (0, {"artist", "taken", "place"})])
def test_who_when_and_where_are_left_out_unless_asked_for(
    tmp_path: Path, redact: int, kept: set[str]
) -> None:
    exif = Image.Exif()
    exif[270], exif[315], exif[306] = "a boat", "Ada Lovelace", "1843:07:10 10:00:00"
    exif.get_ifd(0x8825).update({1: "N", 2: (51.0, 30.0, 0.0), 3: "W", 4: (0.0, 7.0, 30.0)})
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (40, 30), "navy").save(folder / "boat.jpg", exif=exif)
    config = Config({"cache_dir": str(tmp_path / "cache"), "redact": redact})
    with gr.open(tmp_path / "x.db", config=config) as kb:
        kb.add(folder)
        node = next(kb.store.nodes("image"))
    assert set(node.properties) == {"description"} | kept
    if kept:
        assert node.properties["place"] == "51.50000,-0.12500"
    data = b"".join(
        f.read_bytes() for f in tmp_path.rglob("*") if f.is_file() and f.suffix != ".jpg"
    )
    assert (b"Lovelace" in data) == bool(kept)
