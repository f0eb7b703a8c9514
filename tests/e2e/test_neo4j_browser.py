"""The guide, style and favourites in Neo4j Browser itself, in headless Chromium."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graphretrieval.stores import server
from graphretrieval.stores.bolt import Bolt
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.types import DESCRIBES, IN_CATEGORY, SUBCATEGORY_OF, Edge, Node
from tests.conftest import Server

from . import neo4j_browser
from .neo4j_browser import Neo4jBrowser


@pytest.fixture
def program() -> str:
    found = neo4j_browser.chromium()
    if found is None:
        if os.environ.get("GRAPHRETRIEVAL_REQUIRE_CHROMIUM"):
            pytest.fail("chromium is required here: apt-get install chromium")
        pytest.skip("chromium is not installed")
    return found


@pytest.mark.slow
def test_guide_style_and_favourites_work_in_browser(
    program: str, empty_neo4j: Server, tmp_path: Path
) -> None:
    store = Neo4jStore(Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20))
    store.upsert(
        [
            Node("tiger.png", "image", uri="/m/tiger.png", title="tiger"),
            Node("lion.png", "image", uri="/m/lion.png", title="lion"),
            Node("t", "text", text="A striped cat.", title="tiger"),
            Node("cat:cats", "category", title="cats"),
            Node("cat:animals", "category", title="animals"),
        ],
        [
            Edge("t", DESCRIBES, "tiger.png"),
            Edge("t", DESCRIBES, "lion.png", origin="model", status="proposed"),
            Edge("tiger.png", IN_CATEGORY, "cat:cats"),
            Edge("lion.png", IN_CATEGORY, "cat:cats"),
            Edge("cat:cats", SUBCATEGORY_OF, "cat:animals"),
        ],
    )
    store.close()
    found = server.status(empty_neo4j.home)
    assert found is not None
    # every favourite runs as it is
    bolt = Bolt(empty_neo4j.bolt, empty_neo4j.auth, quick=20)
    rows = [len(bolt.run(query)) for query in neo4j_browser.favourites()]
    bolt.close()
    assert rows[0] == 1  # animals above cats
    assert rows[1] == 2  # the tiger's text and category
    assert rows[2] >= 1  # tiger to lion
    assert rows[4] == 1  # the proposal
    with neo4j_browser.page(program) as page, neo4j_browser.guide() as address:
        browser = Neo4jBrowser(page, found.browser, empty_neo4j.bolt, "neo4j", empty_neo4j.password)
        browser.run(f":style {address}/style.grass")
        browser.run(f":play {address}/guide.html")
        page.get_by_text("A collection as a graph").first.wait_for()
        browser.clear()
        browser.run(neo4j_browser.favourites()[1])
        browser.graph()
        captions = page.locator("svg g.node text").all_text_contents()
        fills = {
            page.locator("svg g.node circle.b-outline").nth(i).get_attribute("fill")
            for i in range(page.locator("svg g.node circle.b-outline").count())
        }
    assert any("tiger" in x for x in captions)
    assert any("striped" in x for x in captions)
    assert {"#4C8EDA", "#F79767", "#8DCC93"} <= {(f or "").upper() for f in fills}
