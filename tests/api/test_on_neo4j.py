"""The service as a process over a real Neo4j server, from its start to the server's absence."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from museum import copied

import graphretrieval as gr
from api.conftest import RED_CIRCLE
from api.test_process import Process, free_port
from graphretrieval.api.auth import Keys
from graphretrieval.config import Config
from graphretrieval.retriever.sync import sync
from graphretrieval.stores import remote
from tests.conftest import Server, wipe
from tests.stores.proxy import Proxy

MOON = "toy/nature/moon/pink_moon.png"
SEARCH = """query ($input: SearchInput!) { search(input: $input) {
  edges { score node { id } path { nodes { id } } } model { version } revision degraded } }"""
LINK = """mutation ($t: ID!) { link(source: "%s", type: "related_to", target: $t) { revision } }"""
UNLINK = LINK.replace("link(", "unlink(")
# a reader notices within seconds that the server is away, and that it is back
PATIENCE = 30


class Service:
    """A running service, a curator's key for it, and the way to its server, which can be cut."""

    def __init__(self, process: Process, key: str, proxy: Proxy, embedded: gr.Retriever) -> None:
        self.process, self.key, self.proxy, self.embedded = process, key, proxy, embedded

    def send(self, path: str, body: Any = None) -> Any:
        """The decoded answer to a GET, or with a body to a POST."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", "x-api-key": self.key}
        request = urllib.request.Request(self.process.url + path, data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """A GraphQL query's data, which must have no errors."""
        answer = self.send("/graphql", {"query": query, "variables": variables})
        assert "errors" not in answer, answer
        found: dict[str, Any] = answer["data"]
        return found

    def error(self, query: str, **variables: Any) -> dict[str, Any]:
        """The first error of a GraphQL query, with its code and remedy."""
        try:
            said = self.send("/graphql", {"query": query, "variables": variables})
        except urllib.error.HTTPError as e:
            said = json.loads(e.read())
        found: dict[str, Any] = said["errors"][0]["extensions"]
        return found

    def search(self, text: str, target: str = "image", k: int = 48) -> dict[str, Any]:
        """A search by GraphQL."""
        given = {"text": text, "targets": [target], "k": k}
        found: dict[str, Any] = self.ask(SEARCH, input=given)["search"]
        return found

    def score(self, text: str, ident: str) -> float:
        """What an item's score for some words is."""
        edges = self.search(text)["edges"]
        return next((float(e["score"]) for e in edges if e["node"]["id"] == ident), 0.0)

    def job(self, mutation: str) -> dict[str, Any]:
        """The last state of a job that a mutation starts."""
        (job,) = self.ask(mutation).values()
        query = "subscription ($j: ID) { progress(job: $j) { state result error } }"
        body = json.dumps({"query": query, "variables": {"j": job["id"]}}).encode()
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        url = self.process.url + "/graphql"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            rows = [line[6:] for line in answer.read().decode().splitlines() if "progress" in line]
        state: dict[str, Any] = json.loads(rows[-1])["data"]["progress"]
        return state


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"it took longer than {PATIENCE} s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def service(
    neo4j_server: Server, fitted: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    wipe(neo4j_server)
    folder = tmp_path_factory.mktemp("served")
    config = Config({"cache_dir": str(folder / "cache"), "data_dir": str(folder / "data")})
    environment = {
        remote.PASSWORD: neo4j_server.password,
        "GRAPHRETRIEVAL_DATA_DIR": str(folder / "data"),
        "GRAPHRETRIEVAL_CACHE_DIR": str(folder / "cache"),
    }
    port = free_port()
    with (
        pytest.MonkeyPatch.context() as patch,
        Proxy(int(neo4j_server.bolt.rpartition(":")[2])) as proxy,
        gr.open(copied(fitted, folder), config=config) as embedded,
    ):
        patch.setenv(remote.PASSWORD, neo4j_server.password)
        with gr.open(neo4j_server.bolt, config=config) as there:
            assert sync(embedded, there).equal
            keys = Keys(there.path.with_name(there.path.name + ".keys"))
            key = keys.create("curator", "admin")
        store = f"bolt://{neo4j_server.user}@127.0.0.1:{proxy.port}"
        serve = ["-m", "graphretrieval", "--store", store, "serve", "--port", str(port)]
        process = Process([sys.executable, *serve], f"http://127.0.0.1:{port}", environment)
        try:
            process.wait()
            yield Service(process, key, proxy, embedded)
        finally:
            proxy.set("pass")
            process.stop()


@pytest.mark.parametrize("text", ["a red circle", "红色的圆", "a bird singing"])
@pytest.mark.parametrize("target", ["image", "audio"])
def test_answers_are_those_of_the_embedded_store(service: Service, text: str, target: str) -> None:
    found = service.search(text, target, k=5)
    own = service.embedded.search(text, target=target, k=5)
    assert [e["node"]["id"] for e in found["edges"]] == [h.id for h in own.hits]
    assert [e["score"] for e in found["edges"]] == pytest.approx(
        [h.score for h in own.hits], abs=1e-3
    )
    assert found["degraded"] is False


def test_a_node_is_shown_with_its_links_its_file_and_a_path_to_another(service: Service) -> None:
    query = """query ($id: ID!) {
      node(id: $id) { id title uri } neighbours(id: $id) { type }
      paths(sources: [$id], targets: ["cat:shapes"]) { nodes { id } } }"""
    found = service.ask(query, id=RED_CIRCLE)
    assert found["node"]["id"] == RED_CIRCLE
    assert {"DESCRIBES", "IN_CATEGORY"} <= {n["type"] for n in found["neighbours"]}
    (way,) = found["paths"]
    assert (way["nodes"][0]["id"], way["nodes"][-1]["id"]) == (RED_CIRCLE, "cat:shapes")
    with urllib.request.urlopen(service.process.url + found["node"]["uri"]) as answer:
        assert answer.headers["content-type"] == "image/png"


def test_a_link_counts_in_the_next_search_and_unlinked_it_is_as_before(service: Service) -> None:
    before = service.score("a red circle", MOON)
    service.ask(LINK % RED_CIRCLE, t=MOON)
    assert service.score("a red circle", MOON) > before
    service.ask(UNLINK % RED_CIRCLE, t=MOON)
    assert service.score("a red circle", MOON) == pytest.approx(before, abs=1e-3)


def test_a_decision_on_a_proposal_is_written_and_taken_back(service: Service) -> None:
    assert service.job("mutation { propose(limit: 5) { id } }")["state"] == "done"
    proposal = service.ask("{ proposals(first: 1) { id source { id } target { id } } }")
    (first,) = proposal["proposals"]
    judge = "mutation ($p: ID!) { %s(id: $p) { verdict } }"
    links = "query ($id: ID!) { neighbours(id: $id, first: 200) { sourceId targetId } }"

    def linked() -> bool:
        ends = (first["source"]["id"], first["target"]["id"])
        found = service.ask(links, id=ends[0])["neighbours"]
        return ends in [(e["sourceId"], e["targetId"]) for e in found]

    assert service.ask(judge % "accept", p=first["id"])["accept"]["verdict"] == "accepted"
    assert linked()
    assert service.ask(judge % "undo", p=first["id"])["undo"]["verdict"] == "open"
    assert not linked()


def test_a_refit_makes_a_version_that_is_served_or_not_as_its_verdict_says(
    service: Service,
) -> None:
    service.ask(LINK % RED_CIRCLE, t=MOON)
    state = service.job("mutation { refit { id } }")
    assert state["state"] == "done", state
    version, promoted = state["result"]["version"], state["result"]["promoted"]
    assert version in [m["version"] for m in service.ask("{ models { version } }")["models"]]
    served = service.search("sun")["model"]["version"]
    assert (served == version) is promoted
    if promoted:
        assert service.ask("mutation { rollback }")["rollback"] != version
        assert service.search("sun")["model"]["version"] != version


def test_without_the_server_answers_go_on_degraded_and_writes_say_so(service: Service) -> None:
    known = service.search("a blue wave", k=5)
    service.proxy.set("drop")
    until(lambda: bool(service.search(f"a blue wave {time.monotonic()}")["degraded"]))
    away = service.search("a blue wave", k=5)
    assert away["degraded"] is True
    assert [e["node"]["id"] for e in away["edges"]] == [e["node"]["id"] for e in known["edges"]]
    assert service.send("/readyz") == {"status": "ready"}
    error = service.error(LINK % RED_CIRCLE, t=MOON)
    assert error["code"] == "STORE_AWAY"
    service.proxy.set("pass")
    until(lambda: not service.search(f"a blue wave {time.monotonic()}")["degraded"])
    assert service.search("a blue wave", k=5)["degraded"] is False


def test_it_ends_calmly_when_asked_to(service: Service) -> None:
    assert service.process.stop() in (0, -signal.SIGTERM)
    said = "".join(service.process.lines)
    assert "Traceback" not in said
    assert not re.search(r"bolt://[^ ]*:[^@ /]+@", said)
