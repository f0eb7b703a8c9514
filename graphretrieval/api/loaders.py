"""Data loaders: what a result page asks node by node reaches the store in a few plural calls."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

from strawberry.dataloader import DataLoader

from graphretrieval.api.service import Service
from graphretrieval.types import DESCRIBES, IN_CATEGORY, Edge, Modality, Node, Path

K = TypeVar("K", bound=Hashable)
# descriptions of one node that are looked through for the right language
DESCRIPTIONS = 200

#: (id, relations or None for all, direction, limit)
Asked = tuple[str, tuple[str, ...] | None, str, int]


class Loaders:
    """One request's loaders; they remember for as long as the request lasts."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.node: DataLoader[str, Node | None] = DataLoader(self._nodes)
        self.edges: DataLoader[Asked, list[Edge]] = DataLoader(self._edges)
        self.path: DataLoader[tuple[str, str, int], Path | None] = DataLoader(self._paths)

    async def _nodes(self, ids: list[str]) -> list[Node | None]:
        return await self._service.read(self._service.kb.store.get, ids)

    async def _edges(self, asked: list[Asked]) -> list[list[Edge]]:
        """One store call for each kind of question."""
        groups: dict[tuple[tuple[str, ...] | None, str, int], list[str]] = {}
        for ident, types, direction, limit in asked:
            groups.setdefault((types, direction, limit), []).append(ident)
        found: dict[Asked, list[Edge]] = {}
        for (types, direction, limit), ids in groups.items():
            rows = await self._service.read(
                self._service.kb.store.neighbours,
                ids,
                types=types,
                direction=direction,
                limit=limit,
            )
            found |= {(i, types, direction, limit): r for i, r in zip(ids, rows, strict=True)}
        return [found[a] for a in asked]

    async def _paths(self, asked: list[tuple[str, str, int]]) -> list[Path | None]:
        out: dict[tuple[str, str, int], Path | None] = {}
        for hops in {h for *_, h in asked}:
            mine = [a for a in asked if a[2] == hops]
            found = await self._service.work(
                self._service.kb.store.paths,
                [a[0] for a in mine],
                [a[1] for a in mine],
                max_hops=hops,
            )
            out |= dict(zip(mine, found, strict=True))
        return [out[a] for a in asked]

    async def nodes(self, ids: Sequence[str]) -> list[Node]:
        """Those that are there, in order."""
        found = await self.node.load_many(list(ids))
        return [n for n in found if n is not None]

    async def descriptions(self, ident: str) -> list[Node]:
        """Texts (and spoken descriptions) of a node."""
        edges = await self.edges.load((ident, (DESCRIBES,), "in", DESCRIPTIONS))
        return await self.nodes([e.src for e in edges])

    async def said(self, node: Node, lang: str | None) -> str | None:
        """What is said of a node in a language; of a spoken description, what it describes."""
        if node.text:
            return node.text
        if node.modality == Modality.CATEGORY:
            return None
        found = in_language(await self.descriptions(node.id), lang)
        if not found and node.modality == Modality.AUDIO:
            edges = await self.edges.load((node.id, (DESCRIBES,), "out", 1))
            found = in_language(await self.descriptions(edges[0].dst), lang) if edges else []
        return found[0].text if found else None

    async def categories(self, ident: str) -> list[Node]:
        """Categories a node is in, directly."""
        edges = await self.edges.load((ident, (IN_CATEGORY,), "out", 50))
        return await self.nodes([e.dst for e in edges])


def in_language(nodes: Sequence[Node], lang: str | None) -> list[Node]:
    """Texts in a language first (``zh`` means ``zh_CN`` before ``zh_TW``), then English ones."""

    def place(node: Node) -> tuple[int, int, str]:
        said = node.lang or ""
        wanted = lang or "en"
        near = 0 if said == wanted else 1 if said.startswith(wanted[:2]) else 3
        if near == 3 and said == "en":
            near = 2
        return near, 0 if node.modality == "text" else 1, node.id

    return sorted((n for n in nodes if n.text), key=place)
