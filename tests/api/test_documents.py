"""Documents are planned once, and bombs are refused at once."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graphql import get_introspection_query

from graphretrieval.api.documents import Documents, Invalid
from graphretrieval.api.endpoint import _asked
from graphretrieval.api.limits import Streams
from graphretrieval.api.problems import Refused
from graphretrieval.api.schema import make_schema

SCHEMA = make_schema()._schema
GOOD = 'query ($k: Int!) { search(input: {text: "x", k: $k}) { edges { node { id } } } }'


@pytest.fixture
def documents() -> Documents:
    return Documents(SCHEMA)


def deep(n: int) -> str:
    return "{ node(id: 1) " + "{ source " * n + "{ id }" + " }" * n + " }"


def chain(n: int) -> str:
    """Fragments that each spread the next twice: 2ⁿ fields of n lines."""
    parts = [
        f"fragment f{i} on Node {{ a: source {{ ...f{i + 1} }} b: source {{ ...f{i + 1} }} }}"
        for i in range(n)
    ]
    return "{ node(id: 1) { ...f0 } } " + " ".join(parts) + f" fragment f{n} on Node {{ id }}"


BOMBS: dict[str, tuple[str, str]] = {
    "depth 50": (deep(50), "TOO_DEEP"),
    "3,000 aliases": (
        "{" + " ".join(f"a{i}: __typename" for i in range(3000)) + "}",
        "DOCUMENT_TOO_LONG|TOO_MANY",
    ),
    "900 aliases": ("{" + " ".join(f"a{i}:__typename" for i in range(900)) + "}", "TOO_MANY"),
    "900 searches": (
        "{" + " ".join(f"a{i}:search(input:{{}}){{revision}}" for i in range(350)) + "}",
        "TOO_MANY",
    ),
    "fragment bomb": (chain(40), "TOO_"),
    "fragment bomb within the depth": (chain(10), "TOO_"),
    "wide fragments": (
        "{ node(id: 1) { ...f0 } } "
        + " ".join(
            f"fragment f{i} on Node {{ "
            + " ".join(f"x{j}: source {{ ...f{i + 1} }}" for j in range(10))
            + " }"
            for i in range(8)
        )
        + " fragment f8 on Node { id }",
        "TOO_",
    ),
    "10k tokens": ("{ stats { " + "revision " * 10_000 + "} }", "DOCUMENT_TOO_LONG"),
    "1,700 tokens": ("{ stats { " + "revision " * 1700 + "} }", "TOO_MANY_TOKENS"),
    "10k punctuators": ("{ node(id: 1) { id " + "@skip(if:true)" * 1000 + "} }", "TOO_MANY_TOKENS"),
    "nested lists": (
        "{ nodes(ids: " + "[" * 1400 + "]" * 1400 + ") { id } }",
        "INVALID: Syntax Error: Document is nested too deeply|TOO_DEEP|TOO_MANY",
    ),
    "500 spreads of one": (
        "{ node(id: 1) { " + "...f " * 500 + "} } fragment f on Node { id }",
        "TOO_MANY",
    ),
    "introspection of introspection": (
        "{ __schema { types " + "{ fields { type " * 5 + "{ name }" + " } }" * 5 + " } }",
        "",
    ),
    "cost by arguments": (
        '{ search(input: {text: "x", k: 100}) { edges { node { '
        "neighbours(first: 200) { target { id } } } } } }",
        "TOO_COSTLY",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_20_ms_and_20_mb(documents: Documents, name: str) -> None:
    text, code = BOMBS[name]

    def throw() -> str:
        try:
            documents.by_text(text)
        except Refused as e:
            return e.code
        except Invalid as e:
            return f"INVALID: {e}"
        return "accepted"

    said = throw()
    assert said != "accepted"
    assert any(said.startswith(c) for c in code.split("|")), said
    took = min(_seconds(throw) for _ in range(5))
    tracemalloc.start()
    throw()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took < 0.020, f"{1000 * took:.1f} ms"
    assert peak < 20 << 20


def _seconds(call: Callable[[], Any]) -> float:
    started = time.thread_time()  # other work on the same processor is not counted
    call()
    return time.thread_time() - started


def test_a_batch_is_refused_unread(documents: Documents) -> None:
    batch = [{"query": GOOD}] * 1000
    with pytest.raises(Refused, match="batches are not run"):
        _asked(batch, documents)
    assert documents.misses == 0


def test_of_a_thousand_subscriptions_only_the_allowed_are_opened() -> None:
    streams = Streams(each=20)
    refused = 0
    started = time.thread_time()
    for _ in range(1000):
        try:
            streams.enter("one client")
        except Refused:
            refused += 1
    assert (refused, len(streams)) == (980, 20)
    assert time.thread_time() - started < 0.02
    streams.leave("one client")
    streams.enter("one client")


def test_streams_are_bounded_over_all_clients() -> None:
    streams = Streams(each=20, total=30)
    for i in range(30):
        streams.enter(f"client {i % 3}")
    with pytest.raises(Refused, match="subscriptions are open"):
        streams.enter("client 9")


def test_the_second_request_finds_the_plan_of_the_first(documents: Documents) -> None:
    assert documents.by_text(GOOD) is documents.by_text(GOOD)
    assert (documents.misses, documents.hits) == (1, 1)


def test_cost_follows_what_is_asked_for(documents: Documents) -> None:
    plan = documents.by_text(GOOD)
    costs = [plan.cost(None, {"k": k}) for k in (1, 10, 100)]
    assert costs[0] < costs[1] < costs[2]
    assert costs[2] - costs[1] == 10 * (costs[1] - costs[0])


@pytest.mark.parametrize("first", [20, 50, 200])
def test_categories_up_and_down_again_cost_as_the_power_that_they_are(
    documents: Documents, first: int
) -> None:
    def nested(n: int) -> str:
        inner = "id"
        for _ in range(n):
            inner = f"children(first: {first}) {{ parent {{ {inner} }} }}"
        return f"{{ categories(first: 1) {{ {inner} }} }}"

    assert documents.by_text(nested(1)).cost(None, {}) >= 6 * first
    with pytest.raises(Refused, match="costs"):
        documents.by_text(nested(5))


def test_children_that_are_not_counted_cost_as_many_as_come(documents: Documents) -> None:
    said, unsaid = (
        "{ categories { children(first: 50) { id } } }",
        "{ categories { children { id } } }",
    )
    costs = [documents.by_text(text).cost(None, {}) for text in (said, unsaid)]
    assert costs[0] == costs[1] > 2500
    with pytest.raises(Refused, match="costs"):
        documents.by_text("{ categories { children { parent { children { parent { id } } } } } }")


def test_each_label_costs(documents: Documents) -> None:
    given = documents.by_text(
        'query ($l: [String!]!) { classify(text: "x", labels: $l) { label } }'
    )
    costs = [given.cost(None, {"l": ["a"] * n}) for n in (1, 11, 50)]
    assert costs[2] - costs[0] == 4.9 * (costs[1] - costs[0]) > 3000
    labels = ", ".join(50 * ['"a"'])
    written = f'{{ classify(text: "x", labels: [{labels}]) {{ label }} }}'
    assert documents.by_text(written).cost(None, {}) == costs[2]
    often = " ".join(f"c{i}: classify(text: $t, labels: $l) {{ label }}" for i in range(12))
    plan = documents.by_text(f"query ($t: String, $l: [String!]!) {{ {often} }}")
    with pytest.raises(Refused, match="costs"):
        plan.cost(None, {"t": "x", "l": ["a"] * 50})


def test_cost_sees_counts_in_an_input_variable(documents: Documents) -> None:
    plan = documents.by_text(
        "query ($i: SearchInput!) { search(input: $i) { edges { node { id } } } }"
    )
    assert plan.cost(None, {"i": {"k": 100}}) > plan.cost(None, {"i": {"k": 5}})


def test_cost_sees_what_a_variable_is_by_default(documents: Documents) -> None:
    links = (
        "{ node(id: 1) { neighbours(first: $n) { target { neighbours(first: $n) { type } } } } }"
    )
    plan = documents.by_text(f"query ($n: Int = 190) {links}")
    with pytest.raises(Refused, match="costs"):
        plan.cost(None, {})
    assert plan.cost(None, {"n": 3}) < 100
    search = "{ search(input: $i) { edges { node { id } } } }"
    plan = documents.by_text(f'query ($i: SearchInput = {{text: "x", k: 100}}) {search}')
    assert plan.cost(None, {}) == plan.cost(None, {"i": {"text": "x", "k": 100}})
    assert plan.cost(None, {"i": {"text": "x"}}) < plan.cost(None, {})


def test_variables_that_are_not_declared_are_not_remembered(documents: Documents) -> None:
    plan = documents.by_text(GOOD)
    cost = plan.cost(None, {"k": 3})
    for i in range(20):
        assert plan.cost(None, {"k": 3, f"{i}" * 100_000: 1}) == cost
    for i in range(200):
        plan.cost(None, {"k": i})
    assert len(plan._costs) <= 65
    assert sum(len(key) for key in plan._costs) < 3000


def test_each_operation_has_defaults_of_its_own(documents: Documents) -> None:
    a, b = (f"query {n} ($k: Int! = {k}) {{ ...f }}" for n, k in (("A", 5), ("B", 100)))
    shared = 'fragment f on Query { search(input: {text: "x", k: $k}) { edges { score } } }'
    plan = documents.by_text(f"{a} {b} {shared}")
    assert [plan.cost(n, {}) for n in "AB"] == [plan.cost("A", {"k": k}) for k in (5, 100)]


def test_cost_sees_whole_numbers_written_with_a_point(documents: Documents) -> None:
    plan = documents.by_text(GOOD)
    assert plan.cost(None, {"k": 100.0}) == plan.cost(None, {"k": 100})
    plan = documents.by_text(
        "query ($i: SearchInput!) { search(input: $i) { edges { node { id } } } }"
    )
    assert plan.cost(None, {"i": {"k": 100.0}}) == plan.cost(None, {"i": {"k": 100}})


@pytest.mark.parametrize(
    "k", [0.5, float("inf"), float("nan"), 10**30, -5, True, "100", None, {"k": 3}, [1]]
)
def test_cost_of_odd_variables_is_still_a_number(documents: Documents, k: Any) -> None:
    plan = documents.by_text(GOOD)
    if isinstance(k, int) and k > 10**6:
        with pytest.raises(Refused, match="costs"):
            plan.cost(None, {"k": k})
    else:
        assert plan.cost(None, {"k": k}) > 0


def test_the_usual_introspection_query_is_answered(documents: Documents) -> None:
    plan = documents.by_text(get_introspection_query())
    assert plan.cost("IntrospectionQuery", {}) < 2000


def test_a_ring_of_fragments_is_invalid_not_endless(documents: Documents) -> None:
    ring = "{ node(id: 1) { ...a } } fragment a on Node { ...b } fragment b on Node { ...a }"
    with pytest.raises(Invalid, match="itself"):
        documents.by_text(ring)


def test_two_subscriptions_in_one_request_are_refused(documents: Documents) -> None:
    with pytest.raises(Refused, match="subscriptions in one request"):
        documents.by_text("subscription { a: progress { id } b: progress { id } }")


def test_an_operation_must_be_named_where_there_are_several(documents: Documents) -> None:
    plan = documents.by_text("query A { stats { revision } } query B { stats { model } }")
    assert plan.operation("B").name.value == "B"  # type: ignore[union-attr]
    for name in (None, "C"):
        with pytest.raises(Refused, match="no operation"):
            plan.operation(name)


def test_a_registered_document_is_found_by_its_hash_alone(
    documents: Documents, tmp_path: Path
) -> None:
    (tmp_path / "good.graphql").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("not a document")
    shipped = documents.trust(tmp_path)
    assert list(shipped) == ["good"]
    plan = documents.by_hash(shipped["good"])
    assert plan.trusted
    assert documents.by_text(GOOD) is plan
    asked = _asked({"documentId": f"sha256:{shipped['good']}"}, documents)
    assert asked.plan is plan
    apq = {"extensions": {"persistedQuery": {"sha256Hash": shipped["good"]}}}
    assert _asked(apq, documents).plan is plan
    with pytest.raises(Refused, match="no registered document"):
        documents.by_hash("0" * 64)


def test_where_only_registered_documents_run_others_are_refused(tmp_path: Path) -> None:
    documents = Documents(SCHEMA, trusted_only=True)
    (tmp_path / "good.graphql").write_text(GOOD)
    documents.trust(tmp_path)
    assert documents.by_text(GOOD).trusted
    with pytest.raises(Refused) as found:
        documents.by_text("{ stats { revision } }")
    assert (found.value.code, found.value.status) == ("NOT_TRUSTED", 403)


@pytest.mark.parametrize(
    "body",
    [
        None,
        3,
        "x",
        {},
        {"query": 3},
        {"query": ""},
        {"documentId": 3},
        {"query": GOOD, "variables": [1]},
        {"query": GOOD, "operationName": 3},
        {"query": GOOD, "extensions": "x"},
    ],
    ids=json.dumps,
)
def test_a_body_that_is_no_request_is_refused(documents: Documents, body: Any) -> None:
    with pytest.raises(Refused) as found:
        _asked(body, documents)
    assert found.value.status == 400
