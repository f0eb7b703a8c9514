"""Mutations, jobs and their progress: what curators do over GraphQL."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from api.conftest import RED_CIRCLE, Site
from graphretrieval.api import endpoint, living
from graphretrieval.api.jobs import Jobs
from graphretrieval.api.limits import Queue, Streams
from graphretrieval.api.problems import Refused
from graphretrieval.errors import QueryError

MOON = "toy/nature/moon/pink_moon.png"
LINK = """mutation ($t: ID!) { link(source: "%s", type: "related_to", target: $t) {
  revision edge { type sourceId targetId } } }"""


def score(site: Site, ident: str) -> float:
    query = '{ search(input: {text: "a red circle", targets: ["image"], k: 48}) { edges { score node { id } } } }'  # noqa: E501
    found = site.ask(query)["search"]["edges"]
    return next((float(e["score"]) for e in found if e["node"]["id"] == ident), 0.0)


def test_a_link_changes_the_next_search_and_unlinked_it_is_as_before(own: Site) -> None:
    writer = own.key("write")
    before = score(own, MOON)
    made = own.ask(LINK % RED_CIRCLE, headers=writer, t=MOON)["link"]
    assert made["edge"] == {"type": "RELATED_TO", "sourceId": RED_CIRCLE, "targetId": MOON}
    assert score(own, MOON) > before
    unlink = (
        'mutation ($t: ID!) { unlink(source: "%s", type: "RELATED_TO", target: $t) { revision } }'
    )
    own.ask(unlink % RED_CIRCLE, headers=writer, t=MOON)
    assert score(own, MOON) == pytest.approx(before, abs=1e-3)


def test_a_link_to_nowhere_is_refused_and_changes_nothing(own: Site) -> None:
    revision = own.kb.store.revision
    error = own.refused(LINK % RED_CIRCLE, headers=own.key("write"), t="nowhere")
    assert error["code"] == "UNKNOWN_NODE"
    assert own.kb.store.revision == revision


def test_an_added_text_is_found_by_the_next_search(own: Site) -> None:
    add = "mutation ($i: NodeInput!) { addNode(input: $i) { revision node { id lang } } }"
    text = {"text": "An umbrella of starlight.", "lang": "en", "describes": MOON}
    made = own.ask(add, headers=own.key("write"), i=text)["addNode"]["node"]
    found = own.ask(
        """{ search(input: {text: "an umbrella of starlight", targets: ["text"]}) {
          edges { node { id } } } }"""
    )
    assert made["id"] in [e["node"]["id"] for e in found["search"]["edges"]]
    again = own.refused(add, headers=own.key("write", "second"), i=text)
    assert "already" in again["message"]
    empty = own.refused(add, headers=own.key("write", "third"), i={"text": "  "})
    assert "0 characters" in empty["message"]


def test_forgetting_leaves_nothing_and_needs_an_admin(own: Site) -> None:
    admin = own.key("admin")
    own.ask('mutation { forget(ids: ["%s"]) }' % MOON, headers=admin)  # noqa: UP031
    assert own.kb.store.get([MOON]) == [None]
    error = own.refused('mutation { forget(ids: ["%s"]) }' % MOON, headers=admin)  # noqa: UP031
    assert error["code"] == "UNKNOWN_NODE"


def test_nothing_is_forgotten_or_rolled_back_while_a_job_is_at_work(
    own: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = own.key("admin")
    go = threading.Event()

    def slow(kb: Any, seed: int, progress: Any) -> dict[str, Any]:
        assert go.wait(30)
        return {}

    monkeypatch.setattr(living, "refit", slow)
    job = own.ask("mutation { refit { id } }", headers=admin)["refit"]["id"]
    forget = f'mutation {{ forget(ids: ["{MOON}"]) }}'
    for mutation in (forget, "mutation { rollback }"):
        error = own.refused(mutation, headers=admin)
        assert (error["code"], error["message"]) == ("JOB_RUNNING", f"refit {job} is running")
        assert "wait" in error["remedy"]
    assert own.kb.store.get([MOON]) != [None]
    go.set()
    while own.service.jobs.running() is not None:
        own.client.get("/healthz")  # the loop is told of it
    own.ask(forget, headers=admin)
    assert own.kb.store.get([MOON]) == [None]


def run_job(site: Site, mutation: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    """Start a job and read its progress from the stream until it ends."""
    (job,) = site.ask(mutation, headers=headers).values()
    query = (
        "subscription ($j: ID) { progress(job: $j) { id kind state done total what result error } }"
    )
    body = {"query": query, "variables": {"j": job["id"]}}
    with site.client.stream("POST", "/graphql", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    assert "event: complete" in text
    rows = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
    return [json.loads(r)["data"]["progress"] for r in rows if "progress" in r]


def test_proposals_are_found_in_the_background_judged_and_taken_back(own: Site) -> None:
    writer = own.key("write")
    seen = run_job(own, "mutation { propose(limit: 10) { id } }", writer)
    assert seen[-1]["state"] == "done"
    assert seen[-1]["result"]["found"] > 0
    inbox = "{ proposals(first: 5) { id type confidence reasons source { id } target { id } } }"
    waiting = own.ask(inbox)["proposals"]
    assert 0 < waiting[0]["confidence"] <= 1
    assert waiting[0]["reasons"]
    assert waiting == sorted(waiting, key=lambda p: (-p["confidence"], p["id"]))
    ident = waiting[0]["id"]
    judge = "mutation ($p: ID!) { %s(id: $p) { id verdict by } }"
    accepted = own.ask(judge % "accept", headers=writer, p=ident)["accept"]
    assert accepted == {"id": ident, "verdict": "accepted", "by": "write key"}
    assert ident not in [p["id"] for p in own.ask(inbox)["proposals"]]
    assert own.ask(judge % "undo", headers=writer, p=ident)["undo"]["verdict"] == "open"
    assert ident in [p["id"] for p in own.ask(inbox)["proposals"]]
    assert own.ask(judge % "reject", headers=writer, p=ident)["reject"]["verdict"] == "rejected"
    assert own.refused(judge % "accept", headers=writer, p="p-none")["code"] == "QUERY_ERROR"


def test_a_refit_makes_a_version_that_is_compared_and_can_be_taken_back(own: Site) -> None:
    admin = own.key("admin")
    own.ask(LINK % RED_CIRCLE, headers=admin, t=MOON)
    seen = run_job(own, "mutation { refit { id } }", admin)
    assert seen[-1]["state"] == "done", seen[-1]
    assert seen[-1]["result"]["version"] in own.kb.bundles.versions()
    assert own.ask("{ models { version } }")["models"][0]["version"] == "v2"
    if own.kb.bundles.current() == "v1":
        own.kb.bundles.promote("v2")
    assert own.ask("mutation { rollback }", headers=admin)["rollback"] == "v1"
    assert own.ask('{ search(input: {text: "sun"}) { model { version } } }')["search"]["model"] == {
        "version": "v1"
    }


def test_a_stream_on_which_nothing_happens_ends_when_the_service_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint, "NOTICE", 0.01)
    monkeypatch.setattr(endpoint, "HEARTBEAT", 0.03)

    class Stopping:
        queue = Queue(1, 1)
        streams = Streams(1)

    async def never() -> Any:
        await asyncio.Event().wait()
        yield

    async def listen() -> list[str]:
        Stopping.streams.enter("one")
        said = []
        async for words in endpoint._events(never(), Stopping, "one"):  # type: ignore[arg-type]
            said.append(words.strip())
            if len(said) == 3:
                Stopping.queue.closing = True
        return said

    said = asyncio.run(asyncio.wait_for(listen(), 10))
    assert said == [": open", ": still here", ": still here", "event: complete\ndata: {}"]
    assert len(Stopping.streams) == 0


def test_jobs_run_one_at_a_time_and_failures_are_their_result() -> None:
    async def both() -> None:
        jobs = Jobs()
        go = threading.Event()

        def work(progress: Any) -> str:
            progress(1, 2, "half")
            assert go.wait(10)
            raise QueryError("it did not work", remedy="do it otherwise")

        job = jobs.start("one", work)
        with pytest.raises(Refused, match="one job1 is running"):
            jobs.start("two", lambda progress: None)
        go.set()
        states = [state async for state in jobs.watch(job.id)]
        assert states[-1].state == "failed"
        assert states[-1].error == {
            "code": "QUERY_ERROR",
            "message": "it did not work",
            "remedy": "do it otherwise",
        }
        assert jobs.start("two", lambda progress: None).id == "job2"

    asyncio.run(both())
