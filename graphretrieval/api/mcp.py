"""Tools for language models over the Model Context Protocol: search, node, path; read only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from graphretrieval.errors import GraphRetrievalError, MissingExtra
from graphretrieval.retriever import Retriever
from graphretrieval.types import Hit, Node, Path

INSTRUCTIONS = (
    "A collection of images, texts and sounds in one graph. Use `search` to find items by words "
    "or by an item's id, `node` to read one with its links, `path` to see how two are connected. "
    "Ids are stable. What the collection does not hold is not in the answers: if `no_match` is "
    "true, say so."
)


def make(kb: Retriever) -> Any:
    """The server, not running yet.

    Raises:
        MissingExtra: the SDK is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError as e:
        raise MissingExtra(
            "the MCP server needs a package that is not installed (mcp)",
            remedy="pip install 'graphretrieval[mcp]'",
        ) from e
    server = MCPServer("graphretrieval", instructions=INSTRUCTIONS)
    # tools may be called side by side; the model is loaded once
    turn = threading.Lock()

    @contextmanager
    def told() -> Iterator[None]:
        """What a model did wrong is told to it with the remedy; crashes are the SDK's to hide."""
        try:
            yield
        except GraphRetrievalError as e:
            raise ToolError(str(e)) from e

    @server.tool()
    def search(
        text: str | None = None,
        like: list[str] | None = None,
        unlike: list[str] | None = None,
        targets: list[str] | None = None,
        lang: str | None = None,
        category: str | None = None,
        k: int = 8,
        diversity: float = 0.0,
    ) -> dict[str, Any]:
        """Find items by words (any language), by ids of items they are like, or both.

        `targets` are image, text or audio. `diversity`, from 0 to 1, brings hits forward that are
        unlike those before them. Each hit says why it was found: its score's parts and the path
        to it.
        """
        if not 1 <= k <= 50:
            raise ToolError(f"k is {k}: ask for 1 to 50 hits")
        with told(), turn:
            answer = kb.search(
                text,
                node=like,
                exclude=unlike,
                target=list(dict.fromkeys(targets or ())) or "any",
                lang=lang,
                category=category,
                k=k,
                diversity=diversity,
            )
        return {
            "model": answer.model,
            "no_match": answer.no_match,
            "hits": [_hit(h) for h in answer.hits],
        }

    @server.tool()
    def node(id: str, links: int = 20) -> dict[str, Any]:
        """Read an item: its attributes and its strongest links."""
        found = kb.store.get([id])[0]
        if found is None:
            raise ToolError(f"no node is called {id!r}: search for it first")
        with told():
            edges = kb.store.neighbours([id], limit=max(1, min(links, 200)))[0]
        return _node(found) | {
            "links": [{"source": e.src, "type": e.type, "target": e.dst} for e in edges]
        }

    @server.tool()
    def path(source: str, target: str, max_hops: int = 4) -> dict[str, Any]:
        """How two items are connected: a shortest path, links walked either way."""
        for ident, found in zip((source, target), kb.store.get([source, target]), strict=True):
            if found is None:
                raise ToolError(f"no node is called {ident!r}: search for it first")
        with told():
            way = kb.store.paths([source], [target], max_hops=max(1, min(max_hops, 6)))[0]
        return {"connected": way is not None, "path": _path(way)}

    return server


def run(kb: Retriever) -> None:
    """Serve on standard input and output until they close."""
    make(kb).run(transport="stdio")


def _node(node: Node) -> dict[str, Any]:
    """What a reader may know; paths of this machine's disk are left out."""
    row = {
        "id": node.id,
        "modality": node.modality,
        "title": node.title,
        "text": node.text,
        "lang": node.lang,
        "license": node.license,
        "collection": node.collection,
        "duration": node.duration,
    }
    return {k: v for k, v in row.items() if v is not None}


def _hit(hit: Hit) -> dict[str, Any]:
    return _node(hit.node) | {
        "score": round(hit.score, 3),
        "confidence": None if hit.confidence is None else round(hit.confidence, 3),
        "parts": {n: round(v, 3) for n, v in hit.parts.items()},
        "path": _path(hit.path),
    }


def _path(path: Path | None) -> list[Any]:
    return [] if path is None else path.to_json()
