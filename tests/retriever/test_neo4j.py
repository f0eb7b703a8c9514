"""The same collection and the same answers on a real Neo4j server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.errors import ConfigError, QueryError, SpaceMismatch, StoreAway, StoreError
from graphretrieval.retriever.publish import neo4j_of, publish, space_of
from graphretrieval.retriever.sync import compare, sync
from graphretrieval.stores import cypher, remote, server
from tests.conftest import Server
from tests.stores.proxy import Proxy

QUERIES = ["red fish", "a blue bird singing", "鱼", "drum", "something round", "green", "bell"]


def hits(kb: gr.Retriever, query: str, **more: Any) -> list[tuple[str, float]]:
    return [(h.id, round(h.score, 5)) for h in kb.search(query, **more).hits]


def overlap(a: list[tuple[str, float]], b: list[tuple[str, float]]) -> float:
    return len({i for i, _ in a} & {i for i, _ in b}) / max(1, len(a))


def test_answers_are_those_of_the_embedded_store(
    museum: tuple[gr.Retriever, gr.Retriever],
) -> None:
    embedded, there = museum
    ids = [n.id for m in ("image", "audio") for n in embedded.store.nodes(m)][:10]
    for target in ("image", "text", "audio", "any"):
        for query in QUERIES:
            assert hits(embedded, query, target=target) == hits(there, query, target=target)
        for name in ids:
            a, b = (kb.search(node=name, target=target) for kb in museum)
            assert [(h.id, h.path) for h in a.hits] == [(h.id, h.path) for h in b.hits]
            assert not b.degraded


def test_answers_by_neo4js_own_index_are_nearly_the_same(
    museum: tuple[gr.Retriever, gr.Retriever], neo4j_server: Server
) -> None:
    embedded, there = museum
    config = there.config.replace(index="store")
    with gr.open(neo4j_server.bolt, config=config) as by_index:
        shared = [
            overlap(hits(embedded, q, target=t), hits(by_index, q, target=t))
            for q in QUERIES
            for t in ("image", "text")
        ]
    assert np.mean(shared) >= 0.98


@pytest.mark.filterwarnings("ignore:The default returned 'id' field:DeprecationWarning")
def test_vector_retriever_of_neo4j_graphrag_works_on_the_graph(
    museum: tuple[gr.Retriever, gr.Retriever], neo4j_server: Server
) -> None:
    import neo4j
    from neo4j_graphrag.embeddings.base import Embedder
    from neo4j_graphrag.retrievers import VectorRetriever

    _, there = museum

    class GraphEmbedder(Embedder):
        """Texts as vectors of the space in use; one more coordinate, as its vectors have."""

        def embed_query(self, text: str, **kwargs: Any) -> list[float]:
            return [*there.query_vector(text, target="image").tolist(), 0.0]

    space = space_of(there.model)
    with neo4j.GraphDatabase.driver(neo4j_server.bolt, auth=neo4j_server.auth) as driver:
        retriever = VectorRetriever(
            driver,
            cypher.vector_index(space, "image"),
            GraphEmbedder(),
            return_properties=["id", "title"],
        )
        found = retriever.search(query_text="red fish", top_k=5)
    said = " ".join(str(item.content) for item in found.items)
    query = there.query_vector("red fish", target="image")[None, :]
    best = [n for n, _ in there.store.vector_search(space, query, 10, modality="image")[0]]
    assert best[0] in said
    # the index keeps rounded vectors: which of near equals come fifth and sixth is its own affair
    assert sum(name in said for name in best) == len(found.items) == 5


def test_stored_vectors_are_the_models(museum: tuple[gr.Retriever, gr.Retriever]) -> None:
    _, there = museum
    store = neo4j_of(there)
    space = store.spaces.all()[space_of(there.model)]
    assert store.spaces.current() == space.name
    ids = [n.id for n in there.store.nodes("image")]
    x = there.vectors(ids)
    query = np.random.default_rng(0).normal(size=(5, space.dim)).astype(np.float32)
    answers = there.store.vector_search(space.name, query, 5, modality="image")
    for q, found in zip(query, answers, strict=True):
        exact = dict(zip(ids, (x @ q).tolist(), strict=True))
        assert [n for n, _ in found] == sorted(exact, key=lambda i: (-exact[i], i))[:5]
        np.testing.assert_allclose([s for _, s in found], [exact[n] for n, _ in found], atol=2e-2)


def test_publishing_twice_changes_nothing_and_another_model_is_another_space(
    museum: tuple[gr.Retriever, gr.Retriever],
) -> None:
    _, there = museum
    first = publish(there)
    assert publish(there) == first
    store = neo4j_of(there)
    with pytest.raises(SpaceMismatch, match="cannot be compared"):
        store.spaces.build(type(first)(first.name, first.dim, "another model", first.norm))


def test_a_link_counts_at_once_and_can_be_taken_back(
    museum: tuple[gr.Retriever, gr.Retriever],
) -> None:
    embedded, there = museum
    text = next(iter(there.store.nodes("text"))).id
    sound = next(iter(there.store.nodes("audio"))).id
    for kb in museum:
        kb.link(text, "DESCRIBES", sound)
    assert any(e.dst == sound for e in there.store.neighbours([text])[0])
    assert hits(embedded, "drum", target="audio") == hits(there, "drum", target="audio")
    for kb in museum:
        kb.unlink(text, "DESCRIBES", sound)
    assert hits(embedded, "bell", target="audio") == hits(there, "bell", target="audio")


def test_the_way_back_is_the_same_graph(
    museum: tuple[gr.Retriever, gr.Retriever], tmp_path: Path
) -> None:
    embedded, there = museum
    with gr.open(tmp_path / "back.db", config=there.config) as back:
        done = sync(there, back)
        assert done.equal
        assert all(row.equal for row in compare(embedded.store, back.store))
        # edges came and went in the other: vectors that followed them differ in the last digits
        assert [i for i, _ in hits(back, "red fish")] == [i for i, _ in hits(embedded, "red fish")]
        assert dict(hits(back, "red fish")) == pytest.approx(
            dict(hits(embedded, "red fish")), abs=1e-3
        )


def test_a_sync_that_was_interrupted_goes_on(
    museum: tuple[gr.Retriever, gr.Retriever], tmp_path: Path
) -> None:
    embedded, _ = museum
    with gr.open(tmp_path / "new.db", config=embedded.config) as target:

        def stop(done: int, total: int, what: str) -> None:
            if what == "edges":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            sync(embedded, target, progress=stop)
        assert sync(embedded, target, models=False).equal
        before = target.store.revision
        assert sync(embedded, target, models=False).equal
        assert target.store.revision == before


def test_what_the_target_has_beyond_the_source_is_told_and_can_be_pruned(
    museum: tuple[gr.Retriever, gr.Retriever], tmp_path: Path
) -> None:
    embedded, _ = museum
    with gr.open(tmp_path / "more.db", config=embedded.config) as target:
        sync(embedded, target, models=False)
        target.store.upsert([gr.Node("extra", "text", text="extra")])
        assert not sync(embedded, target, models=False).equal
        done = sync(embedded, target, models=False, prune=True)
        assert (done.equal, done.removed) == (True, 1)


def test_a_file_can_be_backed_up_from_the_server(
    museum: tuple[gr.Retriever, gr.Retriever], tmp_path: Path
) -> None:
    there = museum[1]
    there.backup(tmp_path / "copy")
    from graphretrieval.retriever.retriever import restore

    restore(tmp_path / "copy", tmp_path / "restored.db")
    with gr.open(tmp_path / "restored.db", config=there.config) as back:
        assert all(row.equal for row in compare(there.store, back.store))
        assert dict(hits(back, "red fish")) == pytest.approx(
            dict(hits(there, "red fish")), abs=1e-3
        )


def test_a_search_while_the_server_is_silent_is_answered_degraded(
    museum: tuple[gr.Retriever, gr.Retriever], neo4j_server: Server
) -> None:
    import time

    with Proxy(int(neo4j_server.bolt.rpartition(":")[2])) as proxy:
        config = museum[1].config
        with gr.open(f"bolt://127.0.0.1:{proxy.port}", config=config) as kb:
            wanted = hits(kb, "red fish")
            time.sleep(0.6)  # so that the next search asks the server
            proxy.set("blackhole")
            started = time.monotonic()
            answer = kb.search("red fish")
            assert time.monotonic() - started < 2.0
            assert answer.degraded
            assert [(h.id, round(h.score, 5)) for h in answer.hits] == wanted
            proxy.set("pass")
            until = time.monotonic() + 5.0
            while kb.search("red fish").degraded:
                assert time.monotonic() < until


# --- addresses and passwords ---------------------------------------------------------------


def test_a_password_in_the_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="holds a password"):
        gr.open("neo4j://neo4j:secret@localhost")


@pytest.mark.parametrize(
    "url", ["neo4j://", "neo4j://user@", "bolt://host:0x1", "bolt://host:99999"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        remote.parse(url)


def test_an_address_is_taken_apart() -> None:
    assert remote.parse("neo4j+s://ann@db.example.org/museum") == (
        "neo4j+s://db.example.org:7687",
        "ann",
        "museum",
    )
    assert remote.parse("bolt://[::1]:17687") == ("bolt://[::1]:17687", "neo4j", None)


def test_the_password_of_an_own_server_is_found_for_its_address_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(remote.PASSWORD, raising=False)
    monkeypatch.setattr(server, "default_home", lambda: tmp_path)
    (tmp_path / "password").write_text("generated\n")
    made = server.Status(
        str(tmp_path), "5.26.25", "127.0.0.1:7687", "", "neo4j", str(tmp_path / "password"), None
    )
    import json
    from dataclasses import asdict

    (tmp_path / "server.json").write_text(json.dumps(asdict(made)))
    assert remote.password_for("neo4j://localhost:7687", "neo4j") == "generated"
    monkeypatch.setattr("sys.stdin", None)
    for address, user in (
        ("neo4j://localhost:7688", "neo4j"),
        ("neo4j://db.example.org:7687", "neo4j"),
        ("neo4j://localhost:7687", "ann"),
    ):
        with pytest.raises(ConfigError, match="no password"):
            remote.password_for(address, user)


def test_a_wrong_password_is_said_so(
    neo4j_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(remote.PASSWORD, "wrong")
    with pytest.raises(StoreError, match="does not accept the user or password") as caught:
        gr.open(neo4j_server.bolt, config=Config({"data_dir": str(tmp_path)}))
    assert not isinstance(caught.value, StoreAway)
    assert "wrong" not in str(caught.value).replace("wrong password", "")


def test_vectors_of_an_embedded_store_cannot_be_published(
    museum: tuple[gr.Retriever, gr.Retriever],
) -> None:
    with pytest.raises(StoreError, match="holds no vectors"):
        publish(museum[0])


def test_a_query_vector_needs_a_target_that_is_searched(
    museum: tuple[gr.Retriever, gr.Retriever],
) -> None:
    with pytest.raises(QueryError):
        museum[0].query_vector("x", target="category")
