"""Thousands of generated requests: none of them may make the service fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from museum import copied, fitted_museum

from api.conftest import Site, open_site

pytestmark = pytest.mark.slow
CASES = 2000
SETTINGS = hypothesis.settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    store: Path = copied(fitted_museum(tmp_path_factory), tmp_path_factory.mktemp("fuzz"))
    yield from open_site(store, cost_per_minute=0)


def test_rest_never_fails_on_2000_generated_cases(site: Site) -> None:
    # not from_asgi: it starts and stops the service, which then refuses everything
    schema = schemathesis.openapi.from_dict(site.client.get("/openapi.json").json())
    operations = [r.ok() for r in schema.get_all_operations()]
    # those without parameters are soon exhausted; seven take the load
    each = -(-CASES // 6)
    asked = 0
    for operation in operations:

        @hypothesis.settings(SETTINGS, max_examples=each)
        @hypothesis.given(case=operation.as_strategy())
        def one(case: Any) -> None:
            nonlocal asked
            answer = _sent(site, case)
            asked += 1
            assert answer.status_code < 500, answer.text
            if answer.status_code >= 400 and case.path != "/readyz":
                assert answer.json()["error"]["code"]

        one()
    assert asked >= CASES


def test_graphql_never_fails_on_2000_generated_queries(site: Site) -> None:
    sdl = site.client.get("/schema.graphql").text
    schema = schemathesis.graphql.from_file(sdl)
    asked = 0
    # subscriptions hold a connection open, and have tests of their own
    operations = [r.ok() for r in schema.get_all_operations()]
    each = -(-CASES // len(operations))
    for operation in operations:

        @hypothesis.settings(SETTINGS, max_examples=each)
        @hypothesis.given(case=operation.as_strategy())
        def one(case: Any) -> None:
            nonlocal asked
            answer = site.client.post("/graphql", json={"query": case.body})
            asked += 1
            assert answer.status_code < 500, f"{case.body}\n{answer.text}"
            codes = [e["extensions"]["code"] for e in answer.json().get("errors", ())]
            assert "INTERNAL" not in codes, f"{case.body}\n{answer.text}"

        one()
    assert asked >= CASES * 0.9


def _sent(site: Site, case: Any) -> Any:
    sent = case.as_transport_kwargs(base_url="http://localhost:8000")
    sent.pop("cookies", None)
    headers = {
        k: v
        for k, v in dict(sent.pop("headers", {})).items()
        if k.lower() not in ("host", "user-agent") and str(v).isascii() and str(v).isprintable()
    }
    known = {k: v for k, v in sent.items() if k in ("params", "json", "data", "files", "content")}
    return site.client.request(sent["method"], sent["url"], headers=headers, **known)
