"""What others do in Neo4j Browser is noticed within seconds, and used."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from graphretrieval.errors import StoreAway
from graphretrieval.stores import foreign
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.stores.replica import Replica
from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import DESCRIBES, Edge, Node

Browser = Callable[..., Any]
NOTICED = 5.0


@pytest.fixture
def store(replica: Replica) -> Replica:
    replica.upsert(
        [
            Node("img:cat", "image", uri="/m/cat.png", title="cat"),
            Node("img:dog", "image", uri="/m/dog.png", title="dog"),
            Node("txt:cat", "text", text="A black cat.", start=0.5, end=2.0, unit="seconds"),
            Node("txt:own", "text", text="own", properties={"artist": "X", "tags": ["a", "b"]}),
        ],
        [
            Edge("txt:cat", DESCRIBES, "img:cat", 0.75),
            Edge("txt:own", "R", "img:dog", status="proposed"),
        ],
    )
    replica.export()
    foreign.notice(replica.remote, replica.local)  # a server just started plans each query first
    return replica


def noticed(condition: Callable[[], bool]) -> float:
    """Seconds until the condition holds; fails after the time that was promised."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > NOTICED:
            pytest.fail(f"not noticed within {NOTICED} s")
    return time.monotonic() - started


def test_an_edge_typed_into_browser_is_used(store: Replica, browser: Browser) -> None:
    browser("MATCH (t {id: 'txt:own'}), (i {id: 'img:cat'}) CREATE (t)-[:DESCRIBES]->(i)")
    noticed(lambda: len(store.export().edges_of(DESCRIBES)) == 2)
    edge = next(e for e in store.edges(DESCRIBES) if e.src == "txt:own")
    assert (edge.weight, edge.origin, edge.status) == (1.0, "user", "asserted")
    assert edge.revision == store.revision


def test_an_edited_property_is_used_and_found_by_its_new_words(
    store: Replica, browser: Browser
) -> None:
    before = store.revision
    browser("MATCH (n {id: 'txt:cat'}) SET n.text = 'A white heron.'")
    noticed(lambda: bool(store.text_search(["heron"])[0]))
    assert store.text_search(["black cat"])[0] == [] or (
        store.text_search(["black cat"])[0][0][0] == "img:cat"
    )
    assert [n.id for n in store.changes_since(before).nodes] == ["txt:cat"]
    # the server's own index has followed too
    assert store.remote.text_search(["heron"])[0][0][0] == "txt:cat"


@pytest.mark.parametrize(
    "change",
    [
        "SET n.start = 0.75",
        "SET n.lang = 'en'",
        "REMOVE n.text",
        "SET n.artist = 'Y'",
        "SET n.new = [1, 2]",
        "SET n.title = 5",
    ],
)
def test_any_edit_of_a_node_is_noticed(store: Replica, browser: Browser, change: str) -> None:
    before = store.revision
    browser(f"MATCH (n {{id: 'txt:cat'}}) {change}")
    noticed(lambda: store.revision > before)
    assert [n.id for n in store.changes_since(before).nodes] == ["txt:cat"]


def test_what_is_no_json_object_is_put_right(store: Replica, browser: Browser) -> None:
    browser("MATCH (n {id: 'txt:own'}) SET n.properties = '{oops'")
    noticed(lambda: store.changes_since(0).revision > 1)
    noticed(lambda: not foreign.notice(store.remote, store.local))
    own = store.get(["txt:own"])[0]
    assert own is not None
    assert own.properties == {"artist": "X", "tags": ["a", "b"]}


WRONG = {
    "no modality": "MATCH (n {id: 'img:dog'}) REMOVE n.modality",
    "a modality that is no word": "MATCH (n {id: 'img:dog'}) SET n.modality = 'a picture!'",
    "a modality that is no text": "MATCH (n {id: 'img:dog'}) SET n.modality = 5",
    "a revision that is no number": "MATCH (n {id: 'img:dog'}) SET n.revision = 'newest'",
    "a revision that never was": "MATCH (n {id: 'img:dog'}) SET n.revision = 1000000",
    "a size without end": "MATCH (n {id: 'img:dog'}) SET n.width = 1.0 / 0.0",
    "a negative weight": "MATCH ({id: 'txt:own'})-[r]->() SET r.weight = -1",
    "a weight that is no number": "MATCH ({id: 'txt:own'})-[r]->() SET r.weight = 'heavy'",
    "no weight": "MATCH ({id: 'txt:own'})-[r]->() REMOVE r.weight, r.origin",
    "an edge's revision that is none": "MATCH ({id: 'txt:own'})-[r]->() SET r.revision = 'x'",
}


@pytest.mark.parametrize("edit", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_value_locks_nobody_out_and_is_put_right(
    store: Replica, browser: Browser, opener: Callable[[], Replica], edit: str
) -> None:
    before = store.revision
    browser(edit)
    # read from the server before anybody has put it right
    assert list(store.remote.export().ids) == list(store.local.export().ids)
    new = opener()
    for one in (store, new):
        noticed(lambda one=one: one.revision > before)  # type: ignore[misc]
        dog = one.get(["img:dog"])[0]
        assert dog is not None
        assert (dog.modality, dog.title) == ("image", "dog")
        edge = next(e for e in one.edges("R", status=None))
        assert (edge.src, edge.dst, edge.weight) == ("txt:own", "img:dog", 1.0)
    row = browser("MATCH (n {id: 'img:dog'}) RETURN n.modality AS modality, n.revision AS revision")
    assert row[0]["modality"] == "image"
    assert row[0]["revision"] <= store.remote.revision


def test_a_modality_of_ones_own_is_taken_in_lower_case(store: Replica, browser: Browser) -> None:
    browser("MATCH (n {id: 'img:dog'}) SET n.modality = 'Bild'")
    noticed(lambda: store.counts()["nodes"].get("bild") == 1)
    row = browser("MATCH (n {id: 'img:dog'}) RETURN n.modality AS modality, labels(n) AS labels")[0]
    assert (row["modality"], set(row["labels"])) == ("bild", {"Node", "Bild"})


def test_what_is_written_over_a_wrong_modality_is_stored(
    store: Replica, remote: Neo4jStore, browser: Browser
) -> None:
    own = store.get(["txt:own"])[0]
    assert own is not None
    browser("MATCH (n {id: 'txt:own'}) REMOVE n.modality")
    remote.upsert([own])
    row = browser("MATCH (n {id: 'txt:own'}) RETURN n.modality AS modality")[0]
    assert row["modality"] == "text"


@pytest.mark.parametrize("id", ["'two\\nlines'", "5", "''"])
def test_an_id_that_is_none_is_put_right(store: Replica, browser: Browser, id: str) -> None:
    browser(f"MATCH (n {{id: 'img:dog'}}) SET n.id = {id}")
    wanted = ["img:cat", "txt:cat", "txt:own"]
    noticed(lambda: len(list(store.nodes())) == 4 and store.get(["img:dog"]) == [None])
    (dog,) = [n for n in store.nodes() if n.id not in wanted]
    assert (dog.title, store.remote.get([dog.id])) == ("dog", [dog])
    assert [e.dst for e in store.edges("R", status=None)] in ([], [dog.id])


def test_a_copied_node_is_used_with_its_edges(store: Replica, browser: Browser) -> None:
    browser(
        "MATCH (n:Node {id: 'img:cat'})<-[r:DESCRIBES]-(t) "
        "CREATE (m:Node:Item:Image)<-[c:DESCRIBES]-(t) "
        "SET m = n {.*, id: 'img:copy', title: 'heron'}, c = properties(r)"
    )
    noticed(lambda: bool(store.text_search(["heron"])[0]))
    assert {e.dst for e in store.edges(DESCRIBES)} == {"img:cat", "img:copy"}
    assert_settled(store)


def test_a_renamed_node_takes_its_edges_along(store: Replica, browser: Browser) -> None:
    before = store.revision
    browser("MATCH (n:Node {id: 'img:cat'}) SET n.id = 'img:tom'")
    noticed(lambda: store.get(["img:tom", "img:cat"])[1] is None)
    assert [n and n.title for n in store.get(["img:tom"])] == ["cat"]
    assert [(e.src, e.dst, e.weight) for e in store.edges(DESCRIBES)] == [
        ("txt:cat", "img:tom", 0.75)
    ]
    assert store.remote.changes_since(before).deleted_nodes == ("img:cat",)
    assert_settled(store)


def test_a_node_that_took_anothers_id_is_used(store: Replica, browser: Browser) -> None:
    store.upsert([Node("img:new", "image", title="heron")])
    assert store.get(["img:new"])[0] is not None
    browser(
        "MATCH (n:Node {id: 'img:dog'}) DETACH DELETE n WITH count(*) AS x "
        "MATCH (m:Node {id: 'img:new'}) SET m.id = 'img:dog'"
    )
    noticed(lambda: [n and n.title for n in store.get(["img:dog", "img:new"])] == ["heron", None])
    assert_settled(store)


@pytest.mark.parametrize("relation", [DESCRIBES, "PAINTED"])
def test_a_copied_edge_is_used(store: Replica, browser: Browser, relation: str) -> None:
    browser(
        "MATCH ()-[r:DESCRIBES]->(i), (t:Node {id: 'txt:own'}) "
        f"CREATE (t)-[c:{relation}]->(i) SET c = properties(r)"
    )
    noticed(lambda: any(e.src == "txt:own" for e in store.edges(relation)))
    assert_settled(store)


def test_edges_to_what_is_not_ours_are_not_looked_for_again(
    store: Replica, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser("MATCH (n:Node {id: 'img:cat'}) CREATE (n)-[:LIKES]->(:Person {name: 'Ada'})")
    monkeypatch.setattr(Neo4jStore, "keys_of", None)
    assert not foreign.notice_edges(store.remote, store.local)


def assert_settled(store: Replica) -> None:
    """Copy and server hold the same, and there is nothing left to adopt."""
    noticed(lambda: store.revision == store.remote.revision and not store._unseen)
    assert list(store.nodes()) == list(store.remote.nodes())
    assert list(store.edges(status=None)) == list(store.remote.edges(status=None))
    assert not foreign.notice(store.remote, store.local)
    assert not foreign.notice_edges(store.remote, store.local)


def test_an_edited_weight_is_used(store: Replica, browser: Browser) -> None:
    browser("MATCH ({id: 'txt:cat'})-[r]->() SET r.weight = 0.25")
    noticed(lambda: next(store.edges(DESCRIBES)).weight == 0.25)


def test_a_deleted_node_is_gone_with_its_edges(store: Replica, browser: Browser) -> None:
    before = store.revision
    browser("MATCH (n {id: 'img:cat'}) DETACH DELETE n")
    noticed(lambda: store.get(["img:cat"]) == [None])
    assert list(store.edges(DESCRIBES)) == []
    changes = store.remote.changes_since(before)
    assert changes.deleted_nodes == ("img:cat",)
    assert changes.deleted_edges == (("txt:cat", DESCRIBES, "img:cat"),)


def test_a_deleted_edge_is_gone(store: Replica, browser: Browser) -> None:
    browser("MATCH ()-[r:DESCRIBES]->() DELETE r")
    noticed(lambda: list(store.edges(DESCRIBES)) == [])


def test_one_edge_deleted_and_another_made_at_once_are_both_seen(
    store: Replica, browser: Browser
) -> None:
    browser(
        "MATCH ()-[r:DESCRIBES]->() DELETE r WITH 1 AS x "
        "MATCH (t {id: 'txt:own'}), (i {id: 'img:dog'}) CREATE (t)-[:DESCRIBES]->(i)"
    )
    noticed(lambda: [e.src for e in store.edges(DESCRIBES)] == ["txt:own"])


def test_a_node_made_in_browser_gets_an_id_and_a_modality(store: Replica, browser: Browser) -> None:
    browser("CREATE (:Text {text: 'typed by hand'})")
    noticed(lambda: bool(store.text_search(["typed"])[0]))
    name = store.text_search(["typed by hand"])[0][0][0]
    node = store.get([name])[0]
    assert node is not None
    assert (node.modality, node.id.startswith("neo4j:")) == ("text", True)


def test_a_node_that_claims_a_taken_id_gets_one_of_its_own(
    store: Replica, browser: Browser
) -> None:
    browser("CREATE (:Category {id: 'img:cat', title: 'impostor'})")
    noticed(lambda: bool(store.text_search(["impostor"])[0]))
    node = store.get(["img:cat"])[0]
    assert node is not None
    assert node.title == "cat"


def test_doubled_edges_collapse(store: Replica, browser: Browser) -> None:
    browser(
        "MATCH (t {id: 'txt:cat'}), (i {id: 'img:cat'}) "
        "CREATE (t)-[:DESCRIBES]->(i) CREATE (t)-[:DESCRIBES]->(i)"
    )

    def one_is_left() -> bool:
        return (
            store.revision > 0
            and browser("MATCH ()-[r:DESCRIBES]->() RETURN count(r) AS n")[0]["n"] == 1
        )

    noticed(one_is_left)
    assert len(list(store.edges(DESCRIBES))) == 1


def test_what_is_not_ours_is_left_alone(store: Replica, browser: Browser) -> None:
    before = store.revision
    browser("CREATE (:Person {name: 'Ada'})-[:LIKES]->(:Person {name: 'Bob'})")
    browser("MATCH (a {id: 'img:cat'}), (b {id: 'img:dog'}) CREATE (a)-[:looksLike]->(b)")
    browser("MATCH (t {id: 'txt:cat'}) SET t.lang = 'en'")  # seen, so that the rest was looked at
    noticed(lambda: store.revision > before)
    counts = store.counts()
    assert (counts["edges"], counts["proposed"]) == ({DESCRIBES: 1}, {"R": 1})
    assert browser("MATCH (p:Person) RETURN count(p) AS n")[0]["n"] == 2
    assert browser("MATCH ()-[r:looksLike]->() RETURN r.revision AS x")[0]["x"] is None


def test_two_clients_agree_on_what_a_third_did(
    store: Replica, remote: Neo4jStore, browser: Browser, tmp_path: Any
) -> None:
    other = Replica(lambda: remote, tmp_path / "other.db", max_bytes=1 << 30)
    other.export()
    browser("MATCH (n {id: 'img:dog'}) SET n.title = 'wolf'")
    browser("MATCH ()-[r:DESCRIBES]->() DELETE r")
    for one in (store, other):
        noticed(lambda one=one: bool(one.text_search(["wolf"])[0]))  # type: ignore[misc]
        noticed(lambda one=one: list(one.edges(DESCRIBES)) == [])  # type: ignore[misc]
    assert {n.id: n for n in store.nodes()} == {n.id: n for n in other.nodes()}
    other._worker.join(0)
    other.close()


def test_changes_made_while_nobody_was_here_are_noticed_later(
    store: Replica, browser: Browser, empty_neo4j: Any, tmp_path: Any
) -> None:
    path = store.local.path
    store.close()
    browser("MATCH (n {id: 'img:dog'}) SET n.title = 'wolf'")
    from graphretrieval.stores.bolt import Bolt

    again = Replica(
        lambda: Neo4jStore(Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20)), path, max_bytes=1
    )
    noticed(lambda: bool(again.text_search(["wolf"])[0]))
    again.close()


def test_a_look_that_the_server_did_not_answer_is_repeated(
    store: Replica, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, asked = foreign.notice, []

    def unanswered_once(remote: Neo4jStore, local: SqliteStore) -> bool:
        asked.append(1)
        if len(asked) == 1:
            raise StoreAway("no answer within 60 s")
        return plain(remote, local)

    noticed(lambda: store.revision > 0 and not store._unseen)
    monkeypatch.setattr(foreign, "notice", unanswered_once)
    browser("MATCH (n {id: 'txt:cat'}) SET n.text = 'A white heron.'")
    noticed(lambda: bool(store.text_search(["heron"])[0]))
    assert len(asked) > 1


def test_a_large_graph_has_its_paths_searched_by_the_server(
    store: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    plain = store.remote.paths
    monkeypatch.setattr(store.remote, "paths", lambda *a, **k: (asked.append(1), plain(*a, **k))[1])
    here = store.paths(["txt:cat"], ["img:cat"])
    assert asked == []
    store.max_bytes = 1
    assert store.paths(["txt:cat"], ["img:cat"]) == here
    assert asked == [1]
