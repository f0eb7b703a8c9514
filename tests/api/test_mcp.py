"""The MCP server as a client of the official SDK sees it, over standard input and output."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from api.conftest import RED_CIRCLE

SIX: dict[str, Any] = {"text": "a red circle", "targets": ["image"], "k": 6}


@pytest.fixture(scope="module")
def answers(fitted: Path) -> dict[str, Any]:
    """One session's tools and answers."""
    command = ["-m", "graphretrieval", "--store", str(fitted), "mcp"]
    server = StdioServerParameters(command=sys.executable, args=command)

    async def talk() -> dict[str, Any]:
        async with Client(server) as client:

            async def call(name: str, **arguments: Any) -> Any:
                found = await client.call_tool(name, arguments)
                text = found.content[0].text
                return {"error": text} if found.is_error else json.loads(text)

            return {
                "tools": [t.name for t in (await client.list_tools()).tools],
                "search": await call("search", text="红色的圆", targets=["image"], k=2),
                "plain": await call("search", **SIX),
                "diverse": await call("search", **SIX, diversity=0.7),
                "too diverse": await call("search", **SIX, diversity=7),
                "node": await call("node", id=RED_CIRCLE),
                "path": await call("path", source=RED_CIRCLE, target="cat:shapes"),
                "unknown": await call("node", id="nowhere"),
                "empty": await call("search"),
            }

    return asyncio.run(asyncio.wait_for(talk(), 240))


def test_it_offers_search_node_and_path(answers: dict[str, Any]) -> None:
    assert answers["tools"] == ["search", "node", "path"]


def test_search_finds_and_says_why(answers: dict[str, Any]) -> None:
    hit = answers["search"]["hits"][0]
    assert hit["id"] == RED_CIRCLE
    assert set(hit["parts"]) == {"content", "graph", "path", "lexical"}
    assert answers["search"]["no_match"] is False


def test_a_diverse_answer_is_another_one(answers: dict[str, Any]) -> None:
    plain, diverse = ([h["id"] for h in answers[name]["hits"]] for name in ("plain", "diverse"))
    assert diverse[0] == plain[0]
    assert diverse != plain
    assert "from 0 to 1" in answers["too diverse"]["error"]


def test_a_node_comes_with_its_links_but_without_paths_of_the_disk(answers: dict[str, Any]) -> None:
    assert {"IN_CATEGORY", "DESCRIBES"} <= {link["type"] for link in answers["node"]["links"]}
    assert "museum" not in json.dumps(answers["node"])


def test_a_path_connects(answers: dict[str, Any]) -> None:
    assert answers["path"]["connected"] is True
    assert answers["path"]["path"][-1] == {"node": "cat:shapes"}


def test_errors_are_told_not_thrown(answers: dict[str, Any]) -> None:
    assert "no node is called 'nowhere'" in answers["unknown"]["error"]
    assert "empty" in answers["empty"]["error"]
