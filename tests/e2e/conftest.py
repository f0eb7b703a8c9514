"""The real service on the toy museum, looked at by Debian's Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from museum import copied, fitted_museum

import graphretrieval as gr
from graphretrieval.api.app import make
from graphretrieval.config import Config

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Served:
    """A running service: its address, and a way to a fresh admin link."""

    def __init__(self, url: str, application: Any, kb: gr.Retriever) -> None:
        self.url, self.application, self.kb = url, application, kb

    def admin(self) -> str:
        """The link as ``serve`` prints it."""
        return f"{self.url}/#admin={self.application.gatekeeper.sessions.link()}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    import uvicorn

    store = copied(fitted_museum(tmp_path_factory), tmp_path_factory.mktemp("served"))
    config = Config({"cache_dir": str(store.parent / "cache")}).replace(cost_per_minute=0)
    with gr.open(store, config=config) as kb, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        application = make(kb)
        application.service.newest()
        server = uvicorn.Server(uvicorn.Config(application.asgi, log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", application, kb)
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; without it these tests are skipped visibly."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None and os.environ.get("GRAPHRETRIEVAL_REQUIRE_CHROMIUM"):
        pytest.fail("chromium is required here: apt-get install chromium")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
            ],
        )
        yield browser
        browser.close()


class Watched:
    """A page whose errors and foreign requests fail the test."""

    def __init__(self, context: Any, url: str) -> None:
        self.context, self.url = context, url
        self.wrong: list[str] = []
        self.page = context.new_page()
        self.page.on("pageerror", lambda e: self.wrong.append(f"error: {e}"))
        self.page.on("console", self._said)
        self.page.on("request", self._asked)

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.wrong.append(f"console: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.wrong.append(f"foreign: {request.url}")


@pytest.fixture
def browse(chromium: Any, served: Served) -> Iterator[Any]:
    """Opens pages: ``browse("/#/…", locale=…)``."""
    opened: list[Watched] = []

    def go(path: str, **options: Any) -> Any:
        options = {"locale": "en-US", "viewport": {"width": 1280, "height": 900}} | options
        context = chromium.new_context(**options)
        context.set_default_timeout(20_000)
        watched = Watched(context, served.url)
        opened.append(watched)
        watched.page.goto(path if path.startswith("http") else served.url + path)
        return watched.page

    yield go
    for watched in opened:
        watched.context.close()
    assert [w for x in opened for w in x.wrong] == []


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder for files that a reader has on disk."""
    return tmp_path
