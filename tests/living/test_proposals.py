"""Missing links are proposed with how sure that is, decided on by name, and learned from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from graphretrieval import lifecycle, proposals
from graphretrieval.errors import NothingToLearn, QueryError
from graphretrieval.retriever import Retriever
from graphretrieval.types import DESCRIBES, IN_CATEGORY, Edge, Hit, Node

from .conftest import every_store
from .world import TOPICS, descriptions


@pytest.fixture
def learned(kb: Retriever) -> Retriever:
    """The collection with a model that has been corrected, so that it knows what it does."""
    kb.store.upsert([], descriptions(range(60, 110)))
    assert lifecycle.refit(kb).promoted
    return kb


def topic(kb: Retriever, name: str) -> str:
    node = kb.store.get([name])[0]
    assert node is not None
    return str(node.text or node.title).split()[0]


def edge_of(kb: Retriever, p: proposals.Proposal) -> Edge | None:
    found = [e for e in kb.store.edges(p.type, status=None) if (e.src, e.dst) == (p.src, p.dst)]
    return found[0] if found else None


# --- what is proposed ------------------------------------------------------------------------


@every_store
@pytest.mark.parametrize("type", [DESCRIBES, IN_CATEGORY])
def test_sure_proposals_are_mostly_right_and_new(learned: Retriever, type: str) -> None:
    before = {(e.src, e.dst) for e in learned.store.edges(type)}
    found = proposals.propose(learned, type=type, limit=30)
    assert len(found) == 30
    assert {p.type for p in found} == {type}
    assert not before & {(p.src, p.dst) for p in found}
    assert [p.confidence for p in found] == sorted((p.confidence for p in found), reverse=True)
    assert all(0 <= p.confidence <= 1 and p.reasons for p in found)
    right = sum(topic(learned, p.src) == topic(learned, p.dst) for p in found)
    assert right >= 20


def test_a_category_above_the_items_own_is_not_proposed(learned: Retriever) -> None:
    learned.store.upsert(
        [Node("cat:all", "category", title="topic1 topic2 topic3")],
        [Edge(f"cat:{t}", "SUBCATEGORY_OF", "cat:all") for t in range(8)],
    )
    inside = {e.src for e in learned.store.edges(IN_CATEGORY)}
    found = proposals.propose(learned, type=IN_CATEGORY, limit=1000)
    assert found
    assert not [p for p in found if p.dst == "cat:all" and p.src in inside]


@every_store
def test_proposals_change_no_answer_until_accepted(learned: Retriever) -> None:
    learned.serving.prime()  # vectors read from disk are rounded, those a delta begins from not
    before = learned.search("topic2 text", k=20).to_json()["hits"]
    proposals.propose(learned, limit=50)
    assert learned.search("topic2 text", k=20).to_json()["hits"] == before


def test_what_is_decided_while_links_are_looked_for_stays_decided(
    learned: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    yes, no, *others = proposals.propose(learned, type=DESCRIBES, limit=50)
    gone = next(p for p in others if not {p.src, p.dst} & {yes.src, yes.dst, no.src, no.dst})
    real = proposals.candidates

    def slow(*arguments: Any) -> Iterator[tuple[float, proposals.Proposal]]:
        yield from real(*arguments)
        proposals.accept(learned, yes.id, "ada")
        proposals.reject(learned, no.id, "ada")
        learned.store.delete([gone.src])

    monkeypatch.setattr(proposals, "candidates", slow)
    again = proposals.propose(learned, type=DESCRIBES, limit=50)
    assert again
    assert not {yes.id, no.id, gone.id} & {p.id for p in again}
    kept = [edge_of(learned, p) for p in (yes, no)]
    assert [e.status for e in kept if e] == ["asserted", "rejected"]


def test_the_same_question_has_the_same_proposals(learned: Retriever) -> None:
    once = proposals.propose(learned, type=DESCRIBES, limit=10)
    assert proposals.propose(learned, type=DESCRIBES, limit=10) == once


def test_shared_neighbours_are_named_among_the_reasons(learned: Retriever) -> None:
    found = proposals.propose(learned, type=DESCRIBES, limit=200)
    named = [r for p in found for r in p.reasons if r.startswith("both are linked to ")]
    assert named
    assert all(r.removeprefix("both are linked to ").split(",")[0] for r in named)


def test_a_category_is_proposed_where_one_is_that_often_occurs_together_with_it(
    learned: Retriever,
) -> None:
    """What is of a material is made by its technique, whatever the topic: only links say so."""
    names = [f"{kind}{i:03d}" for kind in ("img", "txt") for i in range(120)]
    group = {name: int(name[3:]) // TOPICS % 4 for name in names}
    lacking = {name: f"cat:technique{group[name]}" for name in names[1::24]}
    learned.store.upsert(
        [
            Node(f"cat:{kind}{g}", "category", title=f"{kind} {g}")
            for kind in ("material", "technique")
            for g in range(4)
        ],
        [
            Edge(name, IN_CATEGORY, f"cat:{kind}{group[name]}")
            for name in names
            for kind in ("material", "technique")
            if kind == "material" or name not in lacking
        ],
    )
    found = proposals.propose(learned, type=IN_CATEGORY, limit=1000)
    found = [p for p in found if p.dst.startswith("cat:technique")][: len(lacking)]
    assert {(p.src, p.dst) for p in found} == set(lacking.items())
    for p in found:
        (reason,) = (r for r in p.reasons if r.startswith("often occurs together with "))
        assert f"cat:material{group[p.src]}" in reason


def test_confidence_is_calibrated_on_links_it_did_not_learn_from(learned: Retriever) -> None:
    about = proposals.reliability(learned, DESCRIBES)
    assert about["pairs"] > 50
    assert about["expected_calibration_error"] < 0.15
    assert sum(b["pairs"] for b in about["bins"]) == about["pairs"]


def test_the_most_useful_are_unsure_and_name_each_item_once(learned: Retriever) -> None:
    useful = proposals.propose(learned, type=DESCRIBES, limit=20, by_usefulness=True)
    ends = [end for p in useful for end in (p.src, p.dst)]
    assert len(ends) == len(set(ends))
    every = proposals.propose(learned, type=DESCRIBES, limit=1000)
    doubt = [sum(p.confidence * (1 - p.confidence) for p in x) / len(x) for x in (useful, every)]
    assert doubt[0] > doubt[1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [({"type": "NEXT"}, "are not proposed"), ({"limit": 0}, "limit is 0")],
)
def test_a_bad_question_says_what_is_wrong(
    learned: Retriever, arguments: dict[str, object], problem: str
) -> None:
    with pytest.raises(QueryError, match=problem):
        proposals.propose(learned, **arguments)  # type: ignore[arg-type]


def test_a_type_with_too_few_links_is_refused_by_name_and_left_out_otherwise(
    learned: Retriever,
) -> None:
    with pytest.raises(NothingToLearn, match="too few"):
        proposals.propose(learned, type="RELATED_TO")
    assert {p.type for p in proposals.propose(learned, limit=500)} == {DESCRIBES, IN_CATEGORY}


# --- deciding --------------------------------------------------------------------------------


@every_store
def test_an_accepted_link_counts_in_the_next_search(learned: Retriever) -> None:
    def found(p: proposals.Proposal) -> Hit:
        hits = learned.search(node=p.src, target="image", k=120).hits
        return next(h for h in hits if h.id == p.dst)

    # one that is not found by what it shows itself, which no link adds to
    known = proposals.propose(learned, type=DESCRIBES, limit=50)
    p, before = next((p, hit) for p in known for hit in [found(p)] if hit.path and hit.path.steps)
    decision = proposals.accept(learned, p.id, "ada")
    assert (decision["verdict"], decision["by"]) == ("accepted", "ada")
    edge = edge_of(learned, p)
    assert edge is not None
    assert (edge.status, edge.origin, edge.weight) == ("asserted", "user", 1.0)
    after = found(p)
    assert after.score > before.score
    assert after.path is not None
    assert [s.type for s in after.path.steps] == [DESCRIBES]


@every_store
def test_a_rejected_link_is_not_proposed_again_and_lowers_what_is_like_it(
    learned: Retriever,
) -> None:
    before = proposals.propose(learned, type=DESCRIBES, limit=60)
    for p in before[:20]:
        proposals.reject(learned, p.id, "ada")
    after = {p.id: p for p in proposals.propose(learned, type=DESCRIBES, limit=60)}
    assert not {p.id for p in before[:20]} & after.keys()
    both = [p for p in before[20:] if p.id in after]
    assert both
    assert sum(after[p.id].confidence for p in both) < 0.9 * sum(p.confidence for p in both)


@every_store
def test_undo_takes_back_the_last_decision_and_keeps_the_record(learned: Retriever) -> None:
    p = proposals.propose(learned, type=DESCRIBES, limit=1)[0]
    proposals.reject(learned, p.id, "ada")
    proposals.undo(learned, p.id, "bob")
    proposals.accept(learned, p.id, "bob")
    undone = proposals.undo(learned, p.id, "ada")
    assert (undone["verdict"], undone["by"], undone["undone_by"]) == ("accepted", "bob", "ada")
    edge = edge_of(learned, p)
    assert edge is not None
    assert edge.status == "proposed"
    record = proposals.decisions(learned)
    assert [(d["verdict"], d["by"], d["undone_by"]) for d in record] == [
        ("rejected", "ada", "bob"),
        ("accepted", "bob", "ada"),
    ]
    assert all(d["undone_at"] >= d["at"] for d in record)
    with pytest.raises(QueryError, match="nothing was decided"):
        proposals.undo(learned, p.id, "ada")


@every_store
def test_undo_leaves_a_link_that_somebody_has_changed_since(learned: Retriever) -> None:
    said, changed, removed = proposals.propose(learned, type=DESCRIBES, limit=3)
    proposals.reject(learned, said.id, "ada")
    learned.link(said.src, said.type, said.dst)
    proposals.accept(learned, changed.id, "ada")
    learned.link(changed.src, changed.type, changed.dst, weight=0.5)
    proposals.accept(learned, removed.id, "ada")
    learned.unlink(removed.src, removed.type, removed.dst)
    before = [edge_of(learned, p) for p in (said, changed, removed)]
    undone = [proposals.undo(learned, p.id, "bob") for p in (said, changed, removed)]
    assert [edge_of(learned, p) for p in (said, changed, removed)] == before
    assert [edge and (edge.status, edge.weight) for edge in before] == [
        ("asserted", 1.0),
        ("asserted", 0.5),
        None,
    ]
    assert all(d["undone_by"] == "bob" for d in undone)


@every_store
def test_what_was_decided_is_not_decided_again_unnoticed(learned: Retriever) -> None:
    p = proposals.propose(learned, type=DESCRIBES, limit=1)[0]
    proposals.accept(learned, p.id, "ada")
    with pytest.raises(QueryError, match="was accepted by ada"):
        proposals.reject(learned, p.id, "bob")


@pytest.mark.parametrize("act", [proposals.accept, proposals.reject, proposals.undo])
def test_nobody_and_nothing_are_refused(learned: Retriever, act: object) -> None:
    with pytest.raises(QueryError, match="nobody"):
        act(learned, "p-1", " ")  # type: ignore[operator]
    with pytest.raises(QueryError, match="p-1"):
        act(learned, "p-1", "ada")  # type: ignore[operator]


@every_store
def test_a_collections_own_decisions_are_no_verdicts_on_links(learned: Retriever) -> None:
    own = [
        Node("case:1", "decision", title="topic1 Court of Appeal, 12 May"),
        Node("decision:2", "decision", properties={"proposal": "of the council", "src": "txt000"}),
    ]
    learned.store.upsert(own)
    p = proposals.propose(learned, type=DESCRIBES, limit=1)[0]
    proposals.reject(learned, p.id, "ada")
    assert [d["proposal"] for d in proposals.decisions(learned)] == [p.id]
    assert proposals.reliability(learned, DESCRIBES)["pairs"] > 0
    lifecycle.forget(learned, [p.src])
    assert proposals.decisions(learned) == []
    assert learned.store.get([n.id for n in own]) == own


@every_store
def test_a_forgotten_items_decisions_are_forgotten_too(learned: Retriever) -> None:
    p = proposals.propose(learned, type=DESCRIBES, limit=1)[0]
    proposals.reject(learned, p.id, "ada")
    lifecycle.forget(learned, [p.src])
    assert proposals.decisions(learned) == []
