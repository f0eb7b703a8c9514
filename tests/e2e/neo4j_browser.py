"""Neo4j Browser in headless Chromium: log in, style, run, photograph.

    python -m tests.e2e.neo4j_browser http://127.0.0.1:7474/browser/ \\
        bolt://127.0.0.1:7687 docs/browser

takes the screenshots of docs/browser.md from a running server that holds the demo collection; the
password comes from GRAPHRETRIEVAL_NEO4J_PASSWORD.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE_MS = 60_000


def chromium() -> str | None:
    """The browser's program, if it is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def page(executable: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        try:
            made = browser.new_page(viewport={"width": 1400, "height": 900})
            made.set_default_timeout(PATIENCE_MS)
            yield made
        finally:
            browser.close()


class Neo4jBrowser:
    """One logged-in page of Neo4j Browser."""

    def __init__(self, page: Any, url: str, bolt: str, user: str, password: str) -> None:
        self.page = page
        page.goto(f"{url}?connectURL={bolt}")
        field = page.locator("[data-testid=password]")
        field.wait_for()
        page.wait_for_load_state("networkidle")
        # the form forgets what is filled in: it wants to be typed at
        for name, text in (("username", user), ("password", password)):
            page.locator(f"[data-testid={name}]").click()
            page.keyboard.press("Control+A")
            page.locator(f"[data-testid={name}]").press_sequentially(text)
        field.press("Enter")
        page.locator("[data-testid=password]").wait_for(state="detached")
        page.locator("[data-testid=activeEditor]").wait_for()

    def run(self, text: str) -> None:
        """Type into the editor and run; a new frame appears on top, but not for ``:style``."""
        frames = self.page.locator("[data-testid=frame]").count()
        self._type(text)
        if not text.startswith(":style"):
            self._wait_for(f"n > {frames}")

    def clear(self) -> None:
        """Take all frames away."""
        self._type(":clear")
        self._wait_for("n === 0")

    def _type(self, text: str) -> None:
        self.page.locator(".monaco-editor textarea").first.focus()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(" ".join(text.split()))
        self.page.keyboard.press("Control+Enter")

    def _wait_for(self, condition: str) -> None:
        count = "document.querySelectorAll('[data-testid=frame]').length"
        self.page.wait_for_function(f"(() => {{ const n = {count}; return {condition} }})()")

    def graph(self) -> Any:
        """The newest drawing, once its nodes are there."""
        drawing = self.page.locator("[data-testid=frame] svg g.node").first
        drawing.wait_for()
        return drawing

    def settle(self, milliseconds: int = 2500) -> None:
        """Let the drawing come to rest, for a picture of it."""
        self.page.wait_for_timeout(milliseconds)

    def photograph(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(file))


@contextmanager
def guide() -> Iterator[str]:
    """The guide's pages, served; yields their address."""
    from graphretrieval.stores import guide as pages

    with pages.server(0) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield pages.address(http)
        http.shutdown()


def favourites() -> list[str]:
    """The saved queries without their comments, in order."""
    from graphretrieval.stores.server import folder

    text = (folder() / "browser" / "favourites.cypher").read_text("utf-8")
    parts = [part.strip() for part in text.split(";\n") if part.strip()]
    return ["\n".join(x for x in p.splitlines() if not x.startswith("//")) for p in parts]


def main(url: str, bolt: str, out: Path) -> None:
    program = chromium()
    if program is None:
        sys.exit("chromium is not installed: apt-get install chromium")
    password = os.environ["GRAPHRETRIEVAL_NEO4J_PASSWORD"]
    shots = {"categories": 0, "picture": 1, "path": 2, "words": 3, "proposed": 4}
    queries = favourites()
    with page(program) as made, guide() as address:
        browser = Neo4jBrowser(made, url, bolt, "neo4j", password)
        browser.run(f":style {address}/style.grass")
        browser.settle(1500)
        browser.run(f":play {address}/guide.html")
        browser.settle(2000)
        browser.photograph(out / "guide.png")
        for name, number in shots.items():
            browser.clear()
            browser.run(queries[number])
            if name != "words":
                browser.graph()
            browser.settle()
            browser.photograph(out / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
