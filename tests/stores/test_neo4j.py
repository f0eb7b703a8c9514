"""What Neo4j adds to the contract: migrations, spaces, readable properties, equal paths."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphretrieval.errors import (
    GraphRetrievalError,
    InvalidNode,
    MigrationError,
    QueryError,
    SpaceMismatch,
)
from graphretrieval.retriever.sync import fingerprint
from graphretrieval.stores import chain, cypher, properties
from graphretrieval.stores.migrate import folder_of
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import MODALITY, RELATION, Edge, Node, Space

Browser = Callable[..., Any]

# --- migrations --------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder_of("neo4j"), tmp_path / "neo4j"))


def test_migrations_are_recorded_as_neo4j_migrations_does(
    remote: Neo4jStore, browser: Browser
) -> None:
    rows = browser(
        "MATCH p = (b:__Neo4jMigration {version: 'BASELINE'})-[:MIGRATED_TO*]->(m) "
        "WHERE NOT (m)-->() UNWIND nodes(p)[1..] AS n RETURN n.version, n.description, n.type, "
        "n.source, n.checksum, length(p)"
    )
    known = sorted(p.name for p in folder_of("neo4j").iterdir())
    assert [r["n.source"] for r in rows] == known
    assert [r["n.version"] for r in rows] == ["001", "002"]
    assert all(r["n.type"] == "CYPHER" and r["n.checksum"].isdigit() for r in rows)


def test_a_changed_migration_is_refused(remote: Neo4jStore, files: Path) -> None:
    file = files / "V002__words.cypher"
    file.write_text(file.read_text("utf-8").replace("cjk", "english"), "utf-8")
    with pytest.raises(MigrationError, match="V002__words is not the one"):
        chain.migrate(remote.bolt, folder=files)


def test_a_database_of_a_newer_release_is_refused(remote: Neo4jStore, files: Path) -> None:
    (files / "V002__words.cypher").unlink()
    with pytest.raises(MigrationError, match="has migration V002, this release knows 1"):
        chain.migrate(remote.bolt, folder=files)


def test_a_gap_in_the_chain_is_refused(remote: Neo4jStore, browser: Browser) -> None:
    browser("MATCH (m:__Neo4jMigration {version: '001'}) SET m.version = '0'")
    try:
        with pytest.raises(MigrationError, match="V001__graph is missing"):
            remote.migrate()
    finally:
        browser("MATCH (m:__Neo4jMigration {version: '0'}) SET m.version = '001'")


def test_a_dry_run_says_what_would_be_applied_and_applies_nothing(
    remote: Neo4jStore, files: Path
) -> None:
    (files / "V003__later.cypher").write_text("CREATE INDEX later FOR (n:Node) ON (n.x);\n")
    assert chain.migrate(remote.bolt, dry_run=True, folder=files) == ["V003__later"]
    assert chain.migrate(remote.bolt, dry_run=True, folder=files) == ["V003__later"]


def test_statements_end_at_a_semicolon_at_the_end_of_a_line() -> None:
    from graphretrieval.stores.migrate import Migration

    text = "// a; b\nCREATE (:A {x: ';'});\r\n\nCREATE (:B);\n"
    assert chain.statements(Migration(1, "x", text, "")) == [
        "// a; b\nCREATE (:A {x: ';'})",
        "CREATE (:B)",
    ]


# --- spaces ------------------------------------------------------------------------------


def _space(name: str = "v1", dim: int = 8, norm: float = 3.0, by: str = "a") -> Space:
    return Space(name, dim, by, norm, ("text",))


@pytest.fixture
def vectors(remote: Neo4jStore) -> np.ndarray[Any, Any]:
    x = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    x *= 2.9 / np.linalg.norm(x, axis=1).max()
    remote.upsert([Node(f"n{i:03d}", "text", text=f"t{i}") for i in range(300)])
    remote.spaces.build(_space())
    remote.spaces.put(_space(), [f"n{i:03d}" for i in range(300)], x)
    remote.spaces.use("v1")
    return x


def test_vector_search_ranks_by_the_inner_product(
    remote: Neo4jStore, vectors: np.ndarray[Any, Any]
) -> None:
    queries = np.random.default_rng(1).normal(size=(20, 8)).astype(np.float32)
    for q, found in zip(queries, remote.vector_search("v1", queries, 10), strict=True):
        exact = vectors @ q
        best = [f"n{i:03d}" for i in np.argsort(-exact, kind="stable")[:10]]
        assert [name for name, _ in found] == best
        np.testing.assert_allclose([s for _, s in found], np.sort(-exact)[:10] * -1, atol=1e-3)


def test_browser_finds_the_same_by_the_index(
    remote: Neo4jStore, browser: Browser, vectors: np.ndarray[Any, Any]
) -> None:
    text = cypher.nearest("v1", "text", modern=remote.spaces.modern())
    exact = remote.vector_search("v1", vectors[:40], 5, modality="text")
    shared = 0
    for query, best in zip(vectors[:40], exact, strict=True):
        # the index is approximate, the more so the fewer are asked for: 50, as a reader would
        rows = browser(text, vector=[*query.tolist(), 0.0], k=50)
        shared += len({r["id"] for r in rows[:5]} & {name for name, _ in best})
    assert shared >= 0.95 * 5 * 40


def test_vectors_of_another_space_are_refused(
    remote: Neo4jStore, vectors: np.ndarray[Any, Any]
) -> None:
    with pytest.raises(SpaceMismatch, match="cannot be compared"):
        remote.spaces.put(_space(by="another model"), ["n000"], vectors[:1])
    with pytest.raises(SpaceMismatch, match="cannot be compared"):
        remote.spaces.build(_space(dim=9))
    with pytest.raises(SpaceMismatch, match="do not fit"):
        remote.spaces.put(_space(), ["n000"], vectors[:1, :5])
    with pytest.raises(SpaceMismatch, match="at most 3"):
        remote.spaces.put(_space(), ["n000"], vectors[:1] * 50)
    with pytest.raises(SpaceMismatch, match="7 dimensions"):
        remote.vector_search("v1", np.ones((1, 7), np.float32))
    with pytest.raises(SpaceMismatch, match="no space"):
        remote.vector_search("v9", np.ones((1, 7), np.float32))


def test_a_new_space_is_built_beside_the_old_one_and_switched(
    remote: Neo4jStore, vectors: np.ndarray[Any, Any]
) -> None:
    new = _space("v2", dim=4, by="b")
    remote.spaces.build(new)
    remote.spaces.put(new, [f"n{i:03d}" for i in range(300)], vectors[:, :4])
    assert remote.spaces.current() == "v1"
    assert remote.vector_search("v1", vectors[:1], 1)[0]
    remote.spaces.use("v2")
    assert remote.spaces.current() == "v2"
    with pytest.raises(SpaceMismatch, match="in use"):
        remote.spaces.drop("v2")
    remote.spaces.drop("v1")
    assert set(remote.spaces.all()) == {"v2"}
    assert remote.vector_search("v2", vectors[:1, :4], 1)[0]


def test_a_changed_node_keeps_its_vector(
    remote: Neo4jStore, vectors: np.ndarray[Any, Any], browser: Browser
) -> None:
    remote.upsert([Node("n000", "text", text="another text")])
    row = browser("MATCH (n:Node {id: 'n000'}) RETURN size(n.vector_v1) AS n")[0]
    assert row["n"] == 9


# --- properties --------------------------------------------------------------------------


def test_a_collections_own_keys_are_properties_of_their_own(
    remote: Neo4jStore, browser: Browser
) -> None:
    own = {"artist": "Hokusai", "year": 1831, "tags": ["wave", "sea"], "odd key!": {"a": [1, None]}}
    node = Node("img:wave", "image", uri="/m/wave.png", title="Wave", properties=own)
    remote.upsert([node])
    row = browser(
        "MATCH (n:Image {artist: 'Hokusai'}) RETURN n.year AS y, n.caption AS c, labels(n)"
    )
    assert (row[0]["y"], row[0]["c"]) == (1831, "Wave")
    assert set(row[0]["labels(n)"]) == {"Node", "Item", "Image"}
    assert remote.get(["img:wave"]) == [node]
    fewer = Node("img:wave", "image", uri="/m/wave.png", title="Wave", properties={"year": 1832})
    remote.upsert([fewer])
    assert remote.get(["img:wave"]) == [fewer]


def test_what_is_written_over_an_edited_edge_is_stored(
    remote: Neo4jStore, browser: Browser
) -> None:
    edge = Edge("a", "R", "b", 0.75)
    before = remote.upsert([Node("a", "text"), Node("b", "text")], [edge])
    for edit in ("SET r.weight = 0.1", "SET r.status = 'rejected'", "REMOVE r.origin"):
        browser(f"MATCH ()-[r:R]->() {edit}")
        assert remote.upsert([], [edge]) == before + 1
        assert list(remote.edges(status=None)) == [edge]
        before = remote.upsert([], [edge])
        assert before == remote.revision


def test_a_picture_has_the_address_of_its_thumbnail(empty_neo4j: Any) -> None:
    from graphretrieval.stores.bolt import Bolt

    store = Neo4jStore(
        Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20), media_url="http://127.0.0.1:8000"
    )
    store.upsert([Node("a b/c?.png", "image", uri="/m/c.png")])
    row = store.bolt.run("MATCH (n:Image) RETURN n.thumbnail AS url")[0]
    assert row["url"] == "http://127.0.0.1:8000/api/thumbnail?id=a%20b%2Fc%3F.png"
    store.close()


def test_a_node_of_another_modality_loses_its_former_label(
    remote: Neo4jStore, browser: Browser
) -> None:
    remote.upsert([Node("x", "image", title="x")])
    remote.upsert([Node("x", "my-own_kind", title="x")])
    labels = browser("MATCH (n:Node {id: 'x'}) RETURN labels(n) AS l")[0]["l"]
    assert set(labels) == {"Node", "MyOwnKind"}


@given(
    st.dictionaries(
        st.text(max_size=12),
        st.one_of(
            st.text(max_size=20),
            st.integers(),
            st.floats(allow_nan=False),
            st.booleans(),
            st.none(),
            st.lists(st.text(max_size=5), max_size=3),
            st.lists(st.integers(), max_size=3),
        ),
        max_size=6,
    )
)
def test_any_properties_come_back_as_they_were(own: dict[str, Any]) -> None:
    node = Node("n", "text", text="t", properties=own)
    written = properties.write(node, 3, None, "")
    pairs = [["id", "n"], *([k, v] for k, v in written.items() if v is not None)]
    assert properties.read(pairs) == node


# --- paths -------------------------------------------------------------------------------


def test_paths_by_cypher_are_those_of_the_snapshot(remote: Neo4jStore, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    n, m = 60, 150
    ids = [f"n{i:02d}" for i in range(n)]
    relations = ["A", "B", "C"]
    edges = {
        (s, r, d): Edge(
            ids[s], relations[r], ids[d], float(w), status="asserted" if a else "rejected"
        )
        for s, d, r, w, a in zip(
            rng.integers(0, n, m),
            rng.integers(0, n, m),
            rng.integers(0, 3, m),
            rng.choice([0.1, 0.2, 0.3, 0.5, 1.0], m),  # many ties
            rng.random(m) > 0.1,
            strict=True,
        )
    }
    local = SqliteStore(tmp_path / "same.db")
    for store in (remote, local):
        store.upsert([Node(i, "text", text=i) for i in ids], list(edges.values()))
    asked = [(ids[a], ids[b]) for a, b in rng.integers(0, n, (200, 2))] + [
        ("n00", "no"),
        ("no", "no"),
    ]
    for hops in (1, 2, 4):
        there = remote.paths([a for a, _ in asked], [b for _, b in asked], max_hops=hops)
        here = local.paths([a for a, _ in asked], [b for _, b in asked], max_hops=hops)
        assert [p and (p.nodes, p.steps) for p in there] == [p and (p.nodes, p.steps) for p in here]
        assert [p and round(p.strength, 9) for p in there] == [
            p and round(p.strength, 9) for p in here
        ]
    local.close()


# --- injection ---------------------------------------------------------------------------

_SPITEFUL = st.one_of(
    st.text(min_size=1, max_size=40),
    st.sampled_from(
        [
            "'}) DETACH DELETE n //",
            "`) MATCH (n) DETACH DELETE n WITH 1 AS x //",
            "\\u0027 OR 1=1 //",
            "$id",
            "*:*",
            "title:* AND NOT x",
            "A`]->() DELETE r //",
            "DESCRIBES]->() SET n.x=1 //",
            "${jndi:ldap://x}",
        ]
    ),
)


# every text that is no builder's
_CONSTANT = {v for k, v in vars(cypher).items() if isinstance(v, str) and k.isupper()}


def _allowed(names: tuple[str, ...]) -> set[str]:
    """What may be asked: the constants, and what builders make of names that they accept."""
    out = {*_CONSTANT, *(cypher.neighbours(d) for d in ("in", "out", "both")), cypher.paths(3)}
    out.add(cypher.put_nodes("text"))
    for build in (
        *(cypher.put_edges, cypher.delete_edges, cypher.changed_edges, cypher.edge_index),
        *(cypher.edge_count, cypher.put_nodes),
    ):
        for name in ("R", *names):
            with contextlib.suppress(InvalidNode):
                out.add(build(name))
    return out


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every query text sent to the server."""
    from neo4j import Session
    from neo4j._sync.work.transaction import TransactionBase

    texts: list[str] = []
    for owner in (TransactionBase, Session):
        plain = owner.run

        def run(self: Any, query: Any, *args: Any, _plain: Any = plain, **kwargs: Any) -> Any:
            texts.append(getattr(query, "text", query))
            return _plain(self, query, *args, **kwargs)

        monkeypatch.setattr(owner, "run", run)
    return texts


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(word=_SPITEFUL, other=_SPITEFUL)
def test_no_text_in_any_field_changes_a_query_or_the_graph(
    remote: Neo4jStore, asked: list[str], word: str, other: str
) -> None:
    kept = [Node("keep", "text", text="kept"), Node("too", "image", title="kept too")]
    remote.upsert(kept, [Edge("keep", "R", "too")])
    before = fingerprint(remote)
    asked.clear()
    vector = np.ones((1, 3), np.float32)
    calls: list[Callable[[], object]] = [
        lambda: remote.get([word, other]),
        lambda: list(remote.nodes(word)),
        lambda: list(remote.edges(word, other)),
        lambda: remote.neighbours([word], types=[other]),
        lambda: remote.neighbours([word], direction=other),
        lambda: remote.paths([word, "keep"], [other, word]),
        lambda: remote.text_search([word, other], modality=word),
        lambda: remote.text_search([word], lang=other),
        lambda: remote.files(word),
        lambda: remote.forget_files([word]),
        lambda: remote.vector_search(word, vector, modality=other),
        lambda: remote.delete([f"no {word}"], [(word, other, word)]),
    ]
    if not RELATION.match(word):
        calls.append(lambda: remote.upsert([], [Edge("keep", word, "too")]))
    if not MODALITY.match(word):
        calls.append(lambda: remote.upsert([Node(other, word)]))
        calls.append(lambda: remote.spaces.build(Space("space", 3, other, 1.0, (word,))))
        calls.append(lambda: remote.spaces.build(Space(f"{word}`", 3, other, 1.0, ("text",))))
    for call in calls:
        with contextlib.suppress(GraphRetrievalError):
            call()
    assert set(asked) <= _allowed((word, other))
    assert fingerprint(remote) == before
    # as content they are stored, and found again as they are
    if not set("\0\r\n") & set(word):
        content = Node(f"id {word}", "text", title=other, text=word, properties={other: word})
        remote.upsert([content])
        assert remote.get([content.id]) == [content]
        remote.delete([content.id])
    assert set(asked) <= _allowed((word, other))
    assert fingerprint(remote) == before


@pytest.mark.parametrize("name", ["A`", "a", "A B", "A]->()", "", "Ä", "A" * 65, "A\n"])
def test_a_relation_that_is_no_name_never_reaches_a_query(name: str) -> None:
    for query in (cypher.put_edges, cypher.delete_edges, cypher.changed_edges, cypher.edge_index):
        with pytest.raises(InvalidNode):
            query(name)


@pytest.mark.parametrize("name", ["Text", "a b", "a`", "", "text:Admin", "t\n"])
def test_a_modality_that_is_no_name_never_reaches_a_query(name: str) -> None:
    with pytest.raises(InvalidNode):
        cypher.put_nodes(name)
    with pytest.raises((InvalidNode, QueryError)):
        cypher.nearest("space", name, modern=False)


@pytest.mark.parametrize("name", ["V1", "a-b", "a`b", "", "x" * 49, "a\n"])
def test_a_space_that_is_no_name_never_reaches_a_query(name: str) -> None:
    with pytest.raises(QueryError):
        cypher.put_vectors(name)
