"""The service's pages in headless Chromium, photographed.

    python -m tests.e2e.photographs 'http://127.0.0.1:8000/#admin=…' docs

takes the screenshots of docs/api.md from a running service over the demo collection; the address is
the admin link that `serve` prints.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.neo4j_browser import chromium

# looking for missing links takes about a minute there
PATIENCE_MS = 300_000
LION = "stamps%2Fanimals%2Fmammals%2Fcats%2Flion.png"
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}
ENGLISH, CHINESE = {"locale": "en-US"}, {"locale": "zh-CN"}
DARK: dict[str, Any] = {"color_scheme": "dark"}


@dataclass(frozen=True)
class Picture:
    """One photograph: the page behind '#', when it is ready, what is done first, and by whom."""

    name: str
    page: str
    ready: str
    options: dict[str, Any]
    first: Callable[[Any], None] | None = None
    whole: bool = False
    admin: bool = False


def _why(page: Any) -> None:
    page.locator(".shelf.of-image .card button").first.click()
    page.wait_for_selector("dialog[open] .way .thumb")


def _look(page: Any) -> None:
    """Have missing links looked for, once: what speaks for one is known since then."""
    if not page.locator(".reasons").count():
        page.click("#look")
    page.wait_for_selector(".reasons", timeout=PATIENCE_MS)


PICTURES = (
    Picture("home", "/", ".rooms li", DESK | ENGLISH),
    Picture("search", "/?q=a%20lion", ".shelf.of-text .card", DESK | ENGLISH, whole=True),
    Picture("search-zh-dark", "/?q=小提琴", ".shelf.of-image .card", DESK | CHINESE | DARK),
    Picture("why", "/?q=a%20lion", ".shelf.of-image .card", DESK | ENGLISH, _why),
    Picture("node", f"/node/{LION}", "svg.graph .dot", DESK | ENGLISH, whole=True),
    Picture("node-zh-dark", f"/node/{LION}", "svg.graph .dot", DESK | CHINESE | DARK, whole=True),
    Picture("models", "/models", ".version", DESK | ENGLISH, admin=True),
    Picture("proposals", "/proposals", ".inbox li", DESK | ENGLISH, _look, admin=True),
    Picture(
        "proposals-zh-dark", "/proposals", ".inbox li", DESK | CHINESE | DARK, _look, admin=True
    ),
    Picture("phone-home", "/", ".rooms li", PHONE | CHINESE),
    Picture("phone", "/?q=老虎", ".shelf.of-image .card", PHONE | CHINESE),
)


def main(link: str, folder: Path, names: list[str]) -> None:
    """Take all of them, or those that are named."""
    from playwright.sync_api import sync_playwright

    site = link.partition("/#")[0]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        entrance = browser.new_context()
        door = entrance.new_page()
        door.goto(link)
        door.wait_for_selector("#role:not([hidden])")
        for picture in PICTURES:
            if names and picture.name not in names:
                continue
            context = browser.new_context(**picture.options)
            if picture.admin:
                context.add_cookies(entrance.cookies())
            page = context.new_page()
            page.goto(f"{site}/#{picture.page}")
            page.wait_for_selector(picture.ready)
            if picture.first is not None:
                picture.first(page)
            page.wait_for_load_state("networkidle")  # all thumbnails are there
            page.screenshot(path=folder / f"{picture.name}.png", full_page=picture.whole)
            context.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
