"""What a visitor and a curator do on the page, end to end in a real browser."""

from __future__ import annotations

import base64
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from e2e.conftest import Served
from graphretrieval.api import living
from graphretrieval.types import Node

RED_CIRCLE = "toy/shapes/circle/red_circle.png"
BLUE_WAVE = "toy/nature/wave/blue_wave"


def first(page: Any, kind: str) -> str:
    page.wait_for_selector(f".shelf.of-{kind} .card")
    found: str = page.get_attribute(f".shelf.of-{kind} .card", "data-id")
    return found


@pytest.mark.parametrize(
    ("locale", "words", "shelf"),
    [("en-US", "a red circle", "Pictures"), ("zh-CN", "红色的圆", "图像")],
)
def test_words_in_both_languages_find_the_picture(
    browse: Any, locale: str, words: str, shelf: str
) -> None:
    page = browse("/", locale=locale)
    page.fill("#q", words)
    page.keyboard.press("Enter")
    assert first(page, "image") == RED_CIRCLE
    assert page.inner_text("#shelf-pictures") == shelf
    assert page.get_attribute("html", "lang") == locale.replace("en-US", "en")
    assert page.locator(".shelf.of-text .card q").first.inner_text() in (
        "A red circle.",
        "一个红色的圆。",
    )


def test_a_dropped_picture_is_searched_by(browse: Any, served: Served) -> None:
    page = browse("/")
    page.wait_for_selector(".rooms li")
    data = base64.b64encode(
        Path(str(served.kb.store.get([f"{BLUE_WAVE}.png"])[0].uri)).read_bytes()
    ).decode()  # type: ignore[union-attr]
    drop = """data => {
      const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], "found.png", {type: "image/png"}));
      const how = {dataTransfer: transfer, bubbles: true, cancelable: true};
      document.body.dispatchEvent(new DragEvent("drop", how));
    }"""
    page.evaluate(drop, data)
    assert first(page, "image") == f"{BLUE_WAVE}.png"
    assert page.inner_text(".chip span >> nth=0") == "found.png"


def test_an_uploaded_sound_is_searched_by_with_words_beside_it(browse: Any, served: Served) -> None:
    page = browse("/")
    sound = str(served.kb.store.get([f"{BLUE_WAVE}.flac"])[0].uri)  # type: ignore[union-attr]
    page.set_input_files("#file", sound)
    assert first(page, "audio") == f"{BLUE_WAVE}.flac"
    page.fill("#q", "wave")
    page.keyboard.press("Enter")
    page.wait_for_url("**/*q=wave")
    assert "wave" in first(page, "image")
    assert page.locator("audio").first.get_attribute("src").startswith("/api/media?id=")


def test_a_recorded_sound_is_sent_as_wav(browse: Any, served: Served) -> None:
    page = browse("/", permissions=["microphone"])
    with page.expect_response("**/api/uploads") as answered:
        page.click("#record")
        page.wait_for_selector("#record.on")
        page.wait_for_timeout(600)  # there must be something to hear
        page.click("#record")
    upload = served.application.service.uploads.get(answered.value.json()["id"])
    assert upload.modality == "audio"
    data = upload.path.read_bytes()
    assert (data[:4], data[8:12]) == (b"RIFF", b"WAVE")
    assert len(data) > 10_000
    page.wait_for_selector(".shelf.of-audio .card")


def test_why_shows_the_parts_and_the_path_and_gives_the_focus_back(browse: Any) -> None:
    page = browse("/#/?q=blue%20wave")
    page.wait_for_selector(".shelf.of-audio .card")
    button = page.locator(".shelf.of-audio .card button").first
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] .way")
    assert "Found mostly" in page.inner_text("dialog .lead")
    assert page.locator("dialog .bar i").count() >= 1
    assert page.locator("dialog .way .thumb").count() >= 1
    assert "your query" in page.inner_text("dialog .way")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert button.evaluate("b => b === document.activeElement")


def test_a_node_is_reached_by_keyboard_and_its_graph_leads_on(browse: Any) -> None:
    page = browse("/#/?q=red%20circle")
    page.wait_for_selector(".shelf.of-image .card a")
    page.locator(".shelf.of-image .card a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("svg.graph .dot")
    assert page.inner_text("h1") == "A red circle."
    assert page.evaluate("document.activeElement.tagName") == "H1"
    assert page.locator(".graph .dot").count() > 3
    page.locator(".graph .dot:not(.own)").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "red_circle.png" not in url)
    page.wait_for_selector("svg.graph .dot.own")


def test_the_same_search_is_copied_as_graphql(browse: Any) -> None:
    page = browse("/#/?q=moon")
    page.wait_for_selector(".filters")
    page.click("text=As GraphQL")
    words = page.input_value("dialog textarea")
    assert "query Search" in words
    assert '"text": "moon"' in words


def test_results_are_shown_mixed_and_the_choice_is_kept(browse: Any) -> None:
    page = browse("/#/?q=moon")
    page.wait_for_selector(".filters")
    page.click("text=Mixed")
    page.wait_for_selector(".shelf.of-mixed .card")
    page.reload()
    page.wait_for_selector(".shelf.of-mixed .card")


def chips(page: Any) -> list[str]:
    found: list[str] = page.locator(".chip > span:not([aria-hidden])").all_inner_texts()
    return found


def test_what_is_asked_for_is_what_the_page_shows(browse: Any) -> None:
    page = browse("/")
    for node in (RED_CIRCLE, f"{BLUE_WAVE}.png"):
        page.evaluate("id => { location.hash = '#/node/' + encodeURIComponent(id) }", node)
        page.wait_for_selector(f".facts code >> text={node}")
        page.click("a.go >> text=Find what is like it")
        page.wait_for_selector(".shelf.of-image .card")
        assert chips(page) == [node]
    # another language asks for the same
    page.click("#tongue")
    page.wait_for_selector("#shelf-pictures >> text=图像")
    assert chips(page) == [f"{BLUE_WAVE}.png"]
    page.click("#tongue")
    page.wait_for_selector("#shelf-pictures >> text=Pictures")
    page.click("a.brand")
    page.wait_for_selector(".rooms li")
    assert (chips(page), page.input_value("#q"), page.locator(".card").count()) == ([], "", 0)


def test_the_last_thing_taken_away_leaves_the_first_page_and_the_focus(browse: Any) -> None:
    page = browse("/#/?q=moon")
    page.locator(".shelf.of-image .card button >> text=Similar").first.click()
    page.wait_for_function("location.hash.startsWith('#/?node=')")
    page.wait_for_selector(".results:not([aria-busy]) .shelf.of-image .card")
    page.locator(".shelf.of-image .card button >> text=Similar").first.click()
    page.locator(".chip").nth(1).wait_for()
    shown = chips(page)
    page.reload()
    page.wait_for_selector(".shelf.of-image .card")
    assert len(chips(page)) == len(shown) == 2
    page.locator(".chip button").first.click()
    page.locator(".chip").nth(1).wait_for(state="detached")
    assert page.evaluate("document.activeElement.closest('.chip') !== null")
    page.locator(".chip button").first.click()
    page.wait_for_selector(".rooms li")
    assert page.evaluate("[document.activeElement.id, location.hash]") == ["q", "#/"]
    page.wait_for_load_state("networkidle")
    assert page.locator(".card").count() == 0


def _without_files(route: Any) -> None:
    """What came in as vectors or by name only has no file to be shown."""
    answer = route.fetch()
    said = re.sub(r'"(uri|thumbnail)":\s*"[^"]*"', r'"\1":null', answer.text())
    route.fulfill(response=answer, body=said)


def test_things_without_a_file_are_shown_by_a_sign(browse: Any) -> None:
    page = browse("/#/models")
    page.route("**/graphql", _without_files)
    page.evaluate("location.hash = '#/?q=blue%20wave'")
    page.wait_for_selector(".shelf.of-image .card .glyph")
    page.wait_for_selector(".shelf.of-audio .card .title")
    assert page.locator("[src='null'], img:not([src]), audio").count() == 0
    for kind in ("png", "flac"):
        ident = f"{BLUE_WAVE}.{kind}"
        page.evaluate("id => { location.hash = '#/node/' + encodeURIComponent(id) }", ident)
        page.wait_for_selector(f".facts code >> text={ident}")
        page.wait_for_selector(".exhibit .glyph")


def test_texts_without_a_language_are_one_card_that_names_none(browse: Any, served: Served) -> None:
    said = [Node(f"said{i}", "text", text="Zanzibar lighthouse.") for i in range(2)]
    served.kb.store.upsert([*said, Node("said2", "text", text=said[0].text, lang="en")])
    page = browse("/#/?q=zanzibar%20lighthouse")
    page.wait_for_selector(".filters")
    page.select_option(".tongues select", "all")
    card = page.locator(".shelf.of-text .card:has-text('Zanzibar lighthouse.')")
    card.first.wait_for()
    page.wait_for_selector(".results:not([aria-busy]) .shelf.of-text")
    assert card.count() == 1
    assert card.locator(".meta").all_inner_texts() == ["en"]


def test_the_content_is_skipped_to_and_stays(browse: Any) -> None:
    page = browse("/#/models")
    page.wait_for_selector(".version")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'main'")
    assert page.evaluate("location.hash") == "#/models"
    # neither does a place on the page lead away from it
    page.evaluate("location.hash = '#status'")
    page.wait_for_function("location.hash === '#status'")
    assert page.locator(".page-models .version").count() == 1
    page.evaluate("location.hash = '#/?q=moon'")
    page.wait_for_selector(".shelf.of-image .card")


def test_the_admin_link_works_in_a_tab_that_is_open(browse: Any, served: Served) -> None:
    page = browse("/#/?q=moon")
    page.wait_for_selector(".shelf.of-image .card")
    page.evaluate("link => { location.href = link }", served.admin())
    page.wait_for_selector("#role:not([hidden])")
    page.wait_for_selector(".toast >> text=You may now")
    page.wait_for_selector(".rooms li")
    assert "admin=" not in page.url
    page.go_back()
    page.wait_for_selector(".shelf.of-image .card")
    page.click("text=Models")
    page.wait_for_selector("#retrain:not([disabled])")


def test_a_reader_may_look_at_the_inbox_but_not_judge(browse: Any) -> None:
    page = browse("/#/proposals")
    page.wait_for_selector(".inbox .note, .inbox .proposal")
    assert page.is_disabled("#look")
    assert "admin link" in page.inner_text(".head")


def test_reasons_are_told_in_the_readers_language_without_ids(browse: Any, served: Served) -> None:
    page = browse(served.admin(), locale="zh-CN")
    page.wait_for_selector("#role:not([hidden])")
    page.click("text=待审关联")
    page.click("#look")
    page.wait_for_selector(".proposal .reasons", timeout=60_000)
    reasons = page.locator(".reasons li").all_inner_texts()
    assert any(r.startswith("都与") for r in reasons)
    assert [r for r in reasons if re.search("cat:|linked|alike", r)] == []
    names = page.locator(".pair .thumb span:last-child").all_inner_texts()
    assert [n for n in names if n.startswith("cat:")] == []


def test_a_curator_accepts_undoes_links_and_trains(browse: Any, served: Served) -> None:
    page = browse(served.admin())
    page.wait_for_selector("#role:not([hidden])")
    assert "admin=" not in page.url
    # an accepted proposal becomes an edge, and undone it is a proposal again
    page.click("text=Proposals")
    page.click("#look")
    page.wait_for_selector(".live:not([hidden])")
    page.wait_for_selector("#look:not([disabled])", timeout=60_000)
    page.wait_for_selector(".inbox:not([aria-busy]) .proposal")
    ident = page.get_attribute(".proposal", "data-id")
    page.locator(".proposal .accept").first.click()
    page.wait_for_selector(f'.proposal[data-id="{ident}"]', state="detached")
    page.wait_for_selector(".toast")
    edge = next(d for d in _decisions(served) if d["proposal"] == ident)
    assert _is_linked(served, edge)
    page.click(".toast button")
    page.wait_for_selector(f'.proposal[data-id="{ident}"]')
    assert not _is_linked(served, edge)
    page.locator(".proposal .reject").first.click()
    page.wait_for_selector(f'.proposal[data-id="{ident}"]', state="detached")
    # a link made on a node's page changes what the next search finds
    far = "toy/nature/moon/pink_moon.png"
    before = _score(served, far)
    page.goto(f"{served.url}/#/node/{RED_CIRCLE.replace('/', '%2F')}")
    page.select_option("#relation", "RELATED_TO")
    page.fill("#other", far)
    page.click("form.linker button")
    page.wait_for_selector(".toast >> text=Linked")
    assert _score(served, far) > before
    # training makes a version and says whether it went into service
    page.click("text=Models")
    page.wait_for_selector(".version")
    versions = page.locator(".version").count()
    page.click("#retrain")
    page.locator(".version").nth(versions).wait_for(timeout=120_000)
    assert served.kb.bundles.versions()[-1] in page.inner_text(".versions")
    served.kb.bundles.promote(served.kb.bundles.versions()[-1])
    page.reload()
    page.wait_for_selector("#rollback:not([disabled])")
    page.click("#rollback")
    page.wait_for_selector(".toast >> text=in service again")
    assert served.kb.bundles.current() == "v1"


def test_a_page_that_is_opened_while_a_job_runs_sees_its_end(
    browse: Any, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def waits(*given: Any) -> dict[str, Any]:
        given[-1](1, 2, "half of it")
        assert go.wait(60)
        return {"version": "v1", "promoted": False, "reason": "nothing is new", "found": 0}

    monkeypatch.setattr(living, "refit", waits)
    monkeypatch.setattr(served.application.service.inbox, "look", waits)
    page = browse(served.admin())
    page.wait_for_selector("#role:not([hidden])")
    for begin, label in (("refit", "Training: half of it"), ("propose", "Looking for missing")):
        go.clear()
        page.goto(f"{served.url}/#/")
        page.evaluate(
            """query => fetch("/graphql", {method: "POST",
              headers: {"content-type": "application/json"}, body: JSON.stringify({query})})""",
            f"mutation {{ {begin} {{ id }} }}",
        )
        page.goto(f"{served.url}/#/models")
        page.wait_for_selector(".live:not([hidden])")
        page.wait_for_selector(f".live >> text={label}")
        go.set()
        page.wait_for_selector(".live", state="hidden")
        page.wait_for_selector(".version")
    toasts = page.locator(".toast").all_inner_texts()
    assert [t for t in toasts if "service" in t] == ["v1 stays in service: nothing is new"]


def _decisions(served: Served) -> list[dict[str, Any]]:
    from graphretrieval.proposals import decisions

    return decisions(served.kb)


def _is_linked(served: Served, edge: dict[str, Any]) -> bool:
    links = served.kb.store.neighbours([edge["src"]], direction="out")[0]
    return any((e.type, e.dst) == (edge["type"], edge["dst"]) for e in links)


def _score(served: Served, ident: str) -> float:
    hits = served.kb.search("a red circle", target="image", k=48).hits
    return next((h.score for h in hits if h.id == ident), 0.0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/#/?q=a%20red%20circle",
        "/#/node/toy%2Fshapes%2Fcircle%2Fred_circle.png",
        "/#/models",
        "/#/proposals",
        "/console",
    ],
)
def test_axe_finds_nothing_serious(browse: Any, path: str, scheme: str) -> None:
    page = browse(path, color_scheme=scheme)
    page.wait_for_load_state("networkidle") if path == "/console" else page.wait_for_selector(
        "main .page h1", state="attached"
    )
    page.wait_for_selector(".rooms li, .card, .dot, .version, .inbox li, #types details")
    found = Axe().run(page).response["violations"]
    bad = [
        f"{v['id']}: {n['html'][:120]}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for n in v["nodes"]
    ]
    assert bad == []


@pytest.mark.parametrize(
    "path",
    ["/", "/#/?q=moon", "/#/node/toy%2Fshapes%2Fcircle%2Fred_circle.png", "/#/models", "/console"],
)
def test_nothing_is_wider_than_a_phone(browse: Any, path: str) -> None:
    page = browse(path, viewport={"width": 360, "height": 740}, locale="zh-CN")
    page.wait_for_selector(".rooms li, .card, .dot, .version, #types details")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_console_runs_its_examples_and_documents_the_schema(browse: Any) -> None:
    page = browse("/console")
    page.wait_for_selector("#types details")
    page.click("#run")
    page.wait_for_selector("#result >> text=revision")
    assert "search(input)" in page.inner_text("#types")
