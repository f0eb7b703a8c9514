"""Who is alike, as a copy on a Neo4j server: to be looked at, never read back."""

from __future__ import annotations

import pytest

import graphretrieval as gr
from graphretrieval.privacy import forget
from graphretrieval.retriever.publish import neo4j_of, publish, space_of
from graphretrieval.retriever.sync import compare
from graphretrieval.types import SIMILAR_TO, Edge

ALL = """
MATCH (s:Node)-[r:SIMILAR_TO]->(d:Node)
RETURN s.id AS src, d.id AS dst, r.derived AS derived, r.weight AS weight
"""


@pytest.fixture
def there(museum: tuple[gr.Retriever, gr.Retriever]) -> gr.Retriever:
    """The one on the server; what a test changes of it, it puts right again."""
    return museum[1]


def copied(kb: gr.Retriever, space: str | None = None) -> dict[tuple[str, str], float]:
    """The copies on the server (of one space), by ids."""
    rows = neo4j_of(kb).bolt.run(ALL)
    return {
        (r["src"], r["dst"]): r["weight"]
        for r in rows
        if r["derived"] is not None and space in (None, r["derived"])
    }


def derived(kb: gr.Retriever) -> dict[tuple[str, str], float]:
    """What the model in service says."""
    ids, edges = kb.bundles.similar(str(kb.bundles.current()))
    ends = zip(edges.src.tolist(), edges.dst.tolist(), edges.weight.tolist(), strict=True)
    return {(ids[s], ids[d]): weight for s, d, weight in ends}


def test_the_model_s_edges_are_there_by_cypher(there: gr.Retriever) -> None:
    assert copied(there, space_of(there.model)) == copied(there) == derived(there)
    assert len(copied(there)) > 20


def test_they_are_not_read_back(museum: tuple[gr.Retriever, gr.Retriever]) -> None:
    embedded, there = museum
    store = neo4j_of(there)
    (src, dst), _ = next(iter(copied(there).items()))
    revision = store.revision
    assert SIMILAR_TO not in store.counts()["edges"]
    assert SIMILAR_TO not in {e.type for e in store.edges(status=None)}
    assert not list(store.edges(SIMILAR_TO, status=None))
    assert not list(store.keys_of(SIMILAR_TO))
    assert SIMILAR_TO not in {e.type for e in store.neighbours([src, dst])[0]}
    assert not store.neighbours([src], types=[SIMILAR_TO])[0]
    assert SIMILAR_TO not in store.export().relations
    assert SIMILAR_TO not in {e.type for e in store.changes_since(0).edges}
    found = store.paths([src], [dst], max_hops=3)[0]
    assert found is None or SIMILAR_TO not in {step.type for step in found.steps}
    assert all(row.equal for row in compare(embedded.store, store))
    assert not store.is_adrift()
    assert store.delete(edges=[(src, SIMILAR_TO, dst)]) == revision  # there is no such edge
    assert (src, dst) in copied(there)
    assert there.store.revision == store.revision == revision


def test_a_later_model_s_take_the_place_of_a_former_s(there: gr.Retriever) -> None:
    store = neo4j_of(there)
    (src, dst), _ = next(iter(copied(there).items()))
    store.spaces.put_similar("v0_former", [(src, dst, 0.5), (dst, src, 0.5)])
    assert copied(there, "v0_former") == {(src, dst): 0.5, (dst, src): 0.5}
    publish(there)
    assert copied(there, "v0_former") == {}
    assert copied(there) == derived(there)


def test_an_edge_of_one_s_own_stands_beside_no_copy(there: gr.Retriever) -> None:
    store = neo4j_of(there)
    (src, dst), _ = next(iter(copied(there).items()))
    store.upsert([], [Edge(src, SIMILAR_TO, dst, 0.125)])
    assert (src, dst) not in copied(there)
    publish(there)
    assert (src, dst) not in copied(there)
    assert [e.weight for e in store.neighbours([src], types=[SIMILAR_TO])[0]] == [0.125]
    assert there.store.counts()["edges"][SIMILAR_TO] == store.edge_counts()[SIMILAR_TO] == 1
    store.delete(edges=[(src, SIMILAR_TO, dst)])
    assert not store.neighbours([src], types=[SIMILAR_TO])[0]
    assert len(copied(there)) == len(derived(there)) - 1  # the others were left alone
    publish(there)
    assert copied(there) == derived(there)


def test_an_edge_drawn_in_browser_over_a_copy_is_adopted(there: gr.Retriever) -> None:
    store = neo4j_of(there)
    (src, dst), weight = next(iter(copied(there).items()))
    store.bolt.run(
        "MATCH (s:Node {id: $src}), (d:Node {id: $dst}) "
        "CREATE (s)-[:SIMILAR_TO {weight: 0.25}]->(d)",
        src=src,
        dst=dst,
    )
    assert store.is_adrift()
    store.adopt({}, [], [])
    assert not store.is_adrift()
    assert [e.weight for e in store.edges(SIMILAR_TO)] == [0.25]
    assert copied(there)[src, dst] == weight
    store.delete(edges=[(src, SIMILAR_TO, dst)])


def test_what_is_forgotten_has_no_copy(there: gr.Retriever) -> None:
    gone = next(iter(copied(there)))[0]
    forget(there, [gone])
    assert not [ends for ends in copied(there) if gone in ends]
    assert copied(there) == derived(there)
