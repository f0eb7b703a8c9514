"""REST: search, files in ranges, thumbnails, uploads, health, metrics, and the guard."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from api.conftest import RED_CIRCLE, Site

SOUND = "toy/shapes/circle/red_circle.wav"


def picture(size: tuple[int, int] = (40, 40), colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def tone() -> bytes:
    out = io.BytesIO()
    soundfile.write(out, 0.3 * np.sin(np.arange(16000) * 0.1), 16000, format="WAV")
    return out.getvalue()


def test_a_diverse_answer_is_another_one(site: Site) -> None:
    asked = {"text": "a red circle", "target": "image", "k": 6}
    plain = site.client.get("/api/search", params=asked).json()["hits"]
    diverse = site.client.get("/api/search", params={**asked, "diversity": 0.7}).json()["hits"]
    assert diverse[0]["id"] == plain[0]["id"]
    assert [h["id"] for h in diverse] != [h["id"] for h in plain]
    assert site.client.get("/api/search", params={**asked, "diversity": 2}).status_code == 422


def test_search_by_words_is_the_same_by_get_and_post(site: Site) -> None:
    a = site.client.get("/api/search", params={"text": "a red circle", "target": "image", "k": 3})
    b = site.client.post("/api/search", json={"text": "a red circle", "targets": ["image"], "k": 3})
    assert a.json() == b.json()
    hit = a.json()["hits"][0]
    assert hit["id"] == RED_CIRCLE
    assert sum(hit["parts"].values()) == pytest.approx(hit["score"], abs=1e-3)
    assert "uri" not in hit
    assert str(site.kb.path.parent) not in a.text


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({}, 400, "QUERY_ERROR"),
        ({"node": "nowhere"}, 404, "UNKNOWN_NODE"),
        ({"text": "x", "k": 0}, 422, "UNFIT"),
        ({"text": "x", "target": "smell"}, 422, "UNFIT"),
        ({"text": "x", "category": "zzz"}, 400, "QUERY_ERROR"),
        ({"text": "x" * 2001}, 422, "UNFIT"),
    ],
)
def test_a_search_that_cannot_be_answered_says_why(
    site: Site, parameters: dict[str, str], status: int, code: str
) -> None:
    answer = site.client.get("/api/search", params=parameters)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_search_past_its_deadline_keeps_its_turn_until_it_has_ended(
    site_with: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_with(query_seconds=0.5, search_workers=1, queue=0)
    go, ended = threading.Event(), threading.Event()

    def endless(*words: object, **query: object) -> None:
        go.wait(60)
        ended.set()

    with monkeypatch.context() as patched:
        patched.setattr(site.kb, "search", endless)
        answers = [site.client.get("/api/search?text=endless") for _ in range(2)]
    said = [(a.status_code, a.json()["error"]["code"]) for a in answers]
    assert said == [(503, "TIMED_OUT"), (503, "OVERLOADED")]
    assert site.client.get("/readyz").status_code == 503
    go.set()
    assert ended.wait(10)
    while site.client.get("/readyz").status_code != 200:
        assert site.service.queue.inside  # the loop has not heard of it yet
    assert site.service.queue.inside == 0


def test_a_file_comes_whole_or_in_ranges_and_not_twice(site: Site) -> None:
    whole = site.client.get("/api/media", params={"id": SOUND})
    assert whole.status_code == 200
    assert whole.headers["content-type"] == "audio/wav" or "wav" in whole.headers["content-type"]
    part = site.client.get("/api/media", params={"id": SOUND}, headers={"range": "bytes=10-29"})
    assert (part.status_code, part.content) == (206, whole.content[10:30])
    assert part.headers["content-range"] == f"bytes 10-29/{len(whole.content)}"
    beyond = site.client.get(
        "/api/media", params={"id": SOUND}, headers={"range": "bytes=99999999-"}
    )
    assert beyond.status_code == 416
    again = site.client.get(
        "/api/media", params={"id": SOUND}, headers={"if-none-match": whole.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    stale = site.client.get(
        "/api/media", params={"id": SOUND}, headers={"range": "bytes=10-29", "if-range": '"other"'}
    )
    assert (stale.status_code, len(stale.content)) == (200, len(whole.content))


def test_a_file_that_has_changed_has_another_tag(own: Site, tmp_path: Path) -> None:
    from graphretrieval.types import Node

    file = tmp_path / "note.svg"
    file.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    own.kb.store.upsert([Node("note", "image", str(file), media_type="image/svg+xml")])
    first = own.client.get("/api/media?id=note")
    assert "sandbox" in first.headers["content-security-policy"]
    file.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    second = own.client.get("/api/media?id=note", headers={"if-none-match": first.headers["etag"]})
    assert second.status_code == 200
    file.unlink()
    gone = own.client.get("/api/media?id=note")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "FILE_GONE")


def test_a_page_of_html_in_the_collection_is_not_served_as_a_page(
    own: Site, tmp_path: Path
) -> None:
    from graphretrieval.types import Node

    file = tmp_path / "page.html"
    file.write_text("<script>alert(1)</script>")
    own.kb.store.upsert([Node("page", "text", str(file), media_type="text/html")])
    answer = own.client.get("/api/media?id=page")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_thumbnail_is_small_and_remembered(site: Site) -> None:
    answer = site.client.get("/api/thumbnail", params={"id": RED_CIRCLE, "side": 64})
    assert answer.headers["content-type"] == "image/webp"
    assert max(Image.open(io.BytesIO(answer.content)).size) == 64
    again = site.client.get(
        "/api/thumbnail",
        params={"id": RED_CIRCLE, "side": 64},
        headers={"if-none-match": answer.headers["etag"]},
    )
    assert again.status_code == 304


@pytest.mark.parametrize("route", ["media", "thumbnail", "node"])
@pytest.mark.parametrize("ident", ["nowhere", "../../etc/passwd", "/etc/passwd", "cat:nature"])
def test_only_what_nodes_point_to_is_served(site: Site, route: str, ident: str) -> None:
    answer = site.client.get(f"/api/{route}", params={"id": ident})
    assert answer.status_code == (200 if (route, ident) == ("node", "cat:nature") else 404)
    assert "root:" not in answer.text


def test_an_uploaded_picture_finds_its_like(site: Site) -> None:
    data = site.client.get("/api/media", params={"id": "toy/nature/wave/blue_wave.png"}).content
    up = site.client.post("/api/uploads", files={"file": ("wave.png", data, "image/png")})
    assert up.status_code == 201
    assert up.json()["modality"] == "image"
    found = site.client.post(
        "/api/search", json={"uploads": [up.json()["id"]], "targets": ["image"], "k": 3}
    )
    assert found.json()["hits"][0]["id"] == "toy/nature/wave/blue_wave.png"


def test_an_uploaded_sound_is_searched_by(site: Site) -> None:
    up = site.client.post(
        "/api/uploads", files={"file": ("recording.wav", tone(), "audio/wav")}
    ).json()
    query = """query ($u: ID) { search(input: {upload: $u, targets: ["audio"], k: 2}) {
      edges { node { id modality } } } }"""
    found = site.ask(query, u=up["id"])["search"]["edges"]
    assert [e["node"]["modality"] for e in found] == ["audio", "audio"]
    caption = site.ask("query ($u: ID) { caption(upload: $u, k: 2) { text known } }", u=up["id"])
    assert all(not c["known"] and c["text"] for c in caption["caption"])


@pytest.mark.parametrize(
    ("name", "data", "kind", "status"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\nrubbish", "image/png", 422),
        ("a.png", picture()[:60], "image/png", 422),
        ("a.exe", b"MZ", "application/x-msdownload", 415),
        ("a.webm", b"\x1aE\xdf\xa3", "video/webm", 415),
        ("a.png", b"", "image/png", 422),
        ("../../x.png", b"no picture", "image/png", 422),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_not_kept(
    site: Site, name: str, data: bytes, kind: str, status: int
) -> None:
    before = set(site.service.uploads.folder.iterdir())
    answer = site.client.post("/api/uploads", files={"file": (name, data, kind)})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
    assert set(site.service.uploads.folder.iterdir()) == before


def test_a_picture_of_too_many_pixels_is_refused(site_with: Callable[..., Site]) -> None:
    site = site_with(max_pixels=1000)
    answer = site.client.post("/api/uploads", files={"file": ("a.png", picture(), "image/png")})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "TOO_LARGE")


def test_a_body_that_is_too_large_is_refused_whatever_it_announced(
    site_with: Callable[..., Site],
) -> None:
    site = site_with(max_body_mb=1)
    big = b"x" * (3 << 19)
    told = site.client.post("/api/uploads", files={"file": ("a.png", big, "image/png")})
    assert (told.status_code, told.json()["error"]["code"]) == (413, "BODY_TOO_LARGE")
    quiet = site.client.post(
        "/graphql", content=iter([big[:1000], big]), headers={"content-type": "application/json"}
    )
    assert quiet.status_code == 413


def test_health_readiness_and_metrics(site: Site) -> None:
    assert site.client.get("/healthz").json()["status"] == "ok"
    assert site.client.get("/readyz").status_code == 200
    site.client.get("/api/search", params={"text": "a word nobody else has"})
    text = site.client.get("/metrics").text
    assert 'graphretrieval_requests_total{method="GET",route="/api/search",status="200"}' in text
    assert "graphretrieval_queue 0.0" in text
    assert "a word nobody" not in text


def test_every_answer_carries_strict_headers(site: Site) -> None:
    for path in ("/", "/web/app.js", "/api/search?text=sun", "/nowhere", "/console"):
        headers = site.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in headers
        assert headers["x-request-id"]


def test_another_site_may_not_call_unless_it_is_listed(
    site: Site, site_with: Callable[..., Site]
) -> None:
    foreign = {"origin": "https://evil.example"}
    answer = site.client.post("/graphql", json={"query": "{ stats { revision } }"}, headers=foreign)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FOREIGN_ORIGIN")
    friend = site_with(cors_origins="https://friend.example")
    hello = {"origin": "https://friend.example", "access-control-request-method": "POST"}
    assert friend.client.options("/graphql", headers=hello).status_code == 204
    answer = friend.client.post("/graphql", json={"query": "{ stats { revision } }"}, headers=hello)
    assert answer.headers["access-control-allow-origin"] == "https://friend.example"
    assert friend.client.options("/graphql", headers=hello | foreign).status_code != 204


def test_a_form_of_another_site_cannot_send_graphql(site: Site) -> None:
    answer = site.client.post(
        "/graphql",
        content='{"query":"{ stats { revision } }"}',
        headers={"content-type": "text/plain"},
    )
    assert answer.status_code == 415
    by_get = site.client.get(
        "/graphql",
        params={"query": 'mutation { link(source: "a", type: "B", target: "c") { revision } }'},
    )
    assert by_get.status_code == 405


def test_a_name_that_is_not_the_services_own_is_refused(site: Site) -> None:
    answer = site.client.get("/api/search?text=sun", headers={"host": "rebound.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "UNKNOWN_HOST")


def test_the_rate_limit_is_charged_by_cost_and_says_when_to_come_back(
    site_with: Callable[..., Site],
) -> None:
    site = site_with(cost_per_minute=700)
    codes = [site.client.get("/api/search", params={"text": "sun"}).status_code for _ in range(4)]
    assert codes == [200, 200, 429, 429]
    answer = site.client.get("/api/search", params={"text": "sun"})
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert (
        site.client.get("/api/search", params={"text": "sun"}, headers=site.key("read")).status_code
        == 200
    )


def test_errors_of_ours_and_of_none_are_json_without_traces(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*a: object, **k: object) -> None:
        raise RuntimeError("/secret/path in here")

    monkeypatch.setattr(site.service, "answer", broken)
    answer = site.client.get("/api/search", params={"text": "sun"})
    assert answer.status_code == 500
    assert "/secret/path" not in answer.text
    assert answer.json()["error"]["id"] == answer.headers["x-request-id"]
    error = site.refused('{ search(input: {text: "sun"}) { revision } }')
    assert error["code"] == "INTERNAL"
    assert "/secret/path" not in str(error)


def test_the_page_is_served_whole_from_here(site: Site) -> None:
    page = site.client.get("/").text
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    for name in ("app.js", "search.js", "style.css", "words.js", "mark.svg", "tap.js"):
        first = site.client.get(f"/web/{name}")
        assert first.status_code == 200
        again = site.client.get(f"/web/{name}", headers={"if-none-match": first.headers["etag"]})
        assert again.status_code == 304
    assert site.client.get("/web/..%2fapp.py").status_code == 404
    assert (
        site.client.get(
            "/graphql", headers={"accept": "text/html"}, follow_redirects=False
        ).headers["location"]
        == "/console"
    )


def test_openapi_describes_every_rest_route_and_its_errors(site: Site) -> None:
    about = site.client.get("/openapi.json").json()
    assert {
        "/api/search",
        "/api/media",
        "/api/thumbnail",
        "/api/uploads",
        "/healthz",
        "/readyz",
        "/metrics",
    } <= set(about["paths"])
    for methods in about["paths"].values():
        for row in methods.values():
            assert row["summary"]
            assert {"429", "503"} <= set(row["responses"])


def test_a_remembered_answer_says_whether_the_store_is_away_now(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"text": "a remembered circle", "target": "image"}
    assert site.client.get("/api/search", params=asked).json()["degraded"] is False
    monkeypatch.setattr(type(site.kb.store), "degraded", True)
    assert site.client.get("/api/search", params=asked).json()["degraded"] is True
    monkeypatch.undo()
    assert site.client.get("/api/search", params=asked).json()["degraded"] is False
