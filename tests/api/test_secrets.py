"""A canary secret is used everywhere a secret can be, and must be found nowhere."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from api.conftest import Site
from graphretrieval.api.logs import HIDDEN, JsonLines, without_secrets

CANARY = "gr_canary0123456789canary0123456789"


def test_a_canary_secret_is_in_no_log_error_metric_or_repr(
    own: Site, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.setFormatter(JsonLines())
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpx2")  # the test's own client says what it asks
    heard: list[str] = []
    try:
        for headers in (
            {"authorization": f"Bearer {CANARY}"},
            {"x-api-key": CANARY},
            {"cookie": f"graphretrieval_session={CANARY}"},
        ):
            for path in ("/graphql", "/api/search?text=sun", "/metrics", "/api/session"):
                heard.append(own.client.get(path, headers=headers).text)
        heard.append(own.client.post("/api/session", json={"token": CANARY}).text)
        heard.append(own.client.post("/api/session", json={"token": CANARY, "x": 1}).text)
        heard.append(own.client.get("/api/search", params={"text": "x", "key": CANARY}).text)
        heard.append(own.client.get(f"/web/{CANARY}").text)
        key = own.application.gatekeeper.keys.create("canary", "admin")
        session = own.application.gatekeeper.sessions.begin(
            own.application.gatekeeper.sessions.link()
        )
        own.ask("{ stats { revision } }", headers={"authorization": f"Bearer {key}"})
        own.client.get("/metrics", headers={"cookie": f"graphretrieval_session={session}"})
        heard.append(own.client.get("/metrics").text)
        heard += [
            repr(own.application),
            repr(own.application.gatekeeper),
            repr(vars(own.application.gatekeeper.sessions)),
            repr(own.application.gatekeeper.keys.names()),
            own.application.gatekeeper.keys.file.read_text("utf-8"),
        ]
    finally:
        logging.getLogger().removeHandler(handler)
    said = "\n".join([*heard, *lines, caplog.text, *capsys.readouterr()])
    for secret in (CANARY, key, session):
        assert secret not in said
    assert any('"route": "/api/search"' in line for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        f"key {CANARY} was wrong",
        f"GET /?token={CANARY}&a=1",
        "Authorization: Bearer abc.def",
        "eyJhbGciOi.eyJzdWIi.c2ln",
        "neo4j password=hunter2 host=x",
    ],
)
def test_what_looks_like_a_secret_is_blotted_out(text: str) -> None:
    shown = without_secrets(text)
    assert HIDDEN in shown
    for secret in (CANARY, "abc.def", "c2ln", "hunter2"):
        assert secret not in shown


def test_a_log_line_is_one_json_object_without_words_or_paths(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "graphretrieval.api")
    site.client.get("/api/search", params={"text": "a private question"})
    record = next(r for r in caplog.records if getattr(r, "fields", {}).get("route"))
    line = JsonLines().format(record)
    row = json.loads(line)
    assert {"time", "level", "id", "route", "status", "ms", "caller", "cost"} <= set(row)
    assert "private" not in line
    assert str(Path(site.kb.path)) not in line
