"""Every mutation asks for its role."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from museum import copied
from PIL import Image

from api.conftest import RED_CIRCLE, Site, open_site
from graphretrieval.api import auth
from graphretrieval.api.auth import Sessions

MUTATIONS = {
    'link(source: "a", type: "B", target: "c") { revision }': "write",
    'unlink(source: "a", type: "B", target: "c") { revision }': "write",
    'addNode(input: {text: "x"}) { revision }': "write",
    "propose { id }": "write",
    'accept(id: "p-1") { id }': "write",
    'reject(id: "p-1") { id }': "write",
    'undo(id: "p-1") { id }': "write",
    f'forget(ids: ["{RED_CIRCLE}"])': "admin",
    "refit { id }": "admin",
    "rollback": "admin",
}


_FILE = io.BytesIO()
Image.new("RGB", (40, 30), "navy").save(_FILE, "PNG")
PNG = _FILE.getvalue()


@pytest.fixture(scope="module")
def shut(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Nobody reads without a key."""
    store = copied(fitted, tmp_path_factory.mktemp("shut"))
    for site in open_site(store, anonymous="never"):
        site.reader = site.key("read")  # type: ignore[attr-defined]
        yield site


@pytest.fixture(scope="module")
def keys(site: Site) -> dict[str, dict[str, str]]:
    return {role: site.key(role, f"roles {role}") for role in ("read", "write")}


def test_every_mutation_there_is_has_its_role_here(site: Site) -> None:
    about = site.ask("{ __schema { mutationType { fields { name } } } }")
    names = {f["name"] for f in about["__schema"]["mutationType"]["fields"]}
    assert names == {m.partition("(")[0].split()[0] for m in MUTATIONS}


@pytest.mark.parametrize(("mutation", "role"), MUTATIONS.items())
def test_a_mutation_is_refused_to_whoever_has_a_lesser_role(
    site: Site, keys: dict[str, dict[str, str]], mutation: str, role: str
) -> None:
    revision = site.kb.store.revision
    assert site.refused(f"mutation {{ {mutation} }}")["code"] == "UNAUTHENTICATED"
    for less in ("read", "write")[: ("read", "write", "admin").index(role)]:
        error = site.refused(f"mutation {{ {mutation} }}", headers=keys[less])
        assert (error["status"], error["code"]) == (403, "FORBIDDEN")
    assert site.kb.store.revision == revision


def test_links_and_sessions_end_with_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(auth.time, "monotonic", lambda: now[0])
    sessions = Sessions()
    late, token = sessions.link(), sessions.link()
    session = sessions.begin(token)
    now[0] += auth.LINK_SECONDS + 1
    with pytest.raises(auth.Refused, match="too old"):
        sessions.begin(late)
    assert sessions.caller(session) is not None
    now[0] += auth.SESSION_SECONDS
    assert sessions.caller(session) is None


READS = (
    ("GET", "/api/search?text=sun"),
    ("GET", f"/api/node?id={RED_CIRCLE}"),
    ("GET", f"/api/media?id={RED_CIRCLE}"),
    ("GET", f"/api/thumbnail?id={RED_CIRCLE}"),
    ("GET", "/metrics"),
    ("POST", "/api/uploads"),
)


@pytest.mark.parametrize(("method", "route"), READS)
def test_where_nobody_may_read_no_route_gives_anything(shut: Site, method: str, route: str) -> None:
    files = {"file": ("a.png", PNG, "image/png")} if method == "POST" else None
    answer = shut.client.request(method, route, files=files)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHENTICATED")
    answer = shut.client.request(method, route, files=files, headers=shut.reader)
    assert answer.status_code in (200, 201)


@pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "x-real-ip"])
def test_whoever_comes_through_a_proxy_is_a_stranger(site: Site, header: str) -> None:
    assert site.refused("{ stats { revision } }", headers={header: "203.0.113.9"})["status"] == 401


def test_a_site_whose_name_ends_like_a_listed_one_is_another_site(
    site_with: Callable[..., Site],
) -> None:
    friend = site_with(cors_origins="https://friend.example")
    body = {"query": "{ stats { revision } }"}
    for origin in (
        "https://notfriend.example",
        "https://a.friend.example",
        "http://friend.example",
    ):
        answer = friend.client.post("/graphql", json=body, headers={"origin": origin})
        assert answer.json()["error"]["code"] == "FOREIGN_ORIGIN"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("announced", [True, False])
def test_only_uploads_may_be_large(site: Site, announced: bool) -> None:
    body = json.dumps(
        {"query": "{ stats { revision } }", "operationName": "x" * (1 << 20)}
    ).encode()
    content = body if announced else iter([body])
    answer = site.client.post(
        "/graphql", content=content, headers={"content-type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "BODY_TOO_LARGE")


def test_graphql_is_charged_by_cost(site_with: Callable[..., Site]) -> None:
    site = site_with(cost_per_minute=700)
    query = '{ search(input: {text: "sun", k: 10}) { edges { score } } }'
    codes = [site.client.post("/graphql", json={"query": query}).status_code for _ in range(12)]
    assert codes[0] == 200
    assert codes[-1] == 429


def test_a_query_that_takes_too_long_is_given_up(
    site_with: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_with(query_seconds=0.1)
    monkeypatch.setattr(site.service, "answer", lambda *a, **k: time.sleep(1.5))
    error = site.refused('{ search(input: {text: "sun"}) { revision } }')
    assert (error["status"], error["code"]) == (503, "TIMED_OUT")


def test_a_page_says_whether_there_is_another(site: Site) -> None:
    query = """query ($i: SearchInput!) { search(input: $i) {
      edges { node { id } } pageInfo { hasNextPage endCursor } } }"""
    asked = {"text": "sun", "targets": ["image"], "filter": {"category": "cat:nature"}, "k": 16}
    first = site.ask(query, i=asked)["search"]
    assert (len(first["edges"]), first["pageInfo"]["hasNextPage"]) == (16, True)
    after = first["pageInfo"]["endCursor"]
    last = site.ask(query, i={**asked, "after": after})["search"]
    assert (len(last["edges"]), last["pageInfo"]["hasNextPage"]) == (8, False)
