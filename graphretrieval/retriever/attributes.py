"""Languages, collections and licences of all nodes as numbers: a filter is one comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from graphretrieval.protocols import GraphStore
from graphretrieval.retriever.query import Filter
from graphretrieval.types import Bools, Changes, Node

_FIELDS = ("lang", "collection", "license")


class Attributes:
    """Read from the store when first asked for, then kept up to date."""

    def __init__(self, store: GraphStore) -> None:
        self._store = store
        self._known: dict[str, tuple[str, str, str]] | None = None
        self._values: list[dict[str, int]] = [{} for _ in _FIELDS]
        self._codes: list[npt.NDArray[np.int32]] | None = None

    def update(self, changes: Changes) -> None:
        """Follow the store."""
        if self._known is not None:
            for name in changes.deleted_nodes:
                self._known.pop(name, None)
            self._take(changes.nodes)
            self._codes = None

    def passing(self, where: Filter, row: Mapping[str, int], n: int) -> Bools:
        """Nodes ``(n,)`` of that language (or a variant of it), collection and licence."""
        if self._known is None:
            self._known = {}
            self._take(self._store.nodes())
        if self._codes is None:
            self._codes = [np.full(n, -1, np.int32) for _ in _FIELDS]
            for name, values in self._known.items():
                at = row.get(name, -1)
                if at >= 0:
                    for codes, seen, value in zip(self._codes, self._values, values, strict=True):
                        codes[at] = seen.setdefault(value, len(seen))
        out = self._codes[0] >= -1
        asked: tuple[tuple[str | None, Callable[[str, str], bool]], ...] = (
            (where.lang, lambda has, want: has == want or has.startswith(f"{want}_")),
            (where.collection, lambda has, want: has == want),
            (where.license, lambda has, want: has == want),
        )
        for codes, seen, (want, fits) in zip(self._codes, self._values, asked, strict=True):
            if want is not None:
                out &= np.isin(codes, [code for has, code in seen.items() if fits(has, want)])
        return out

    def _take(self, nodes: Iterable[Node]) -> None:
        assert self._known is not None
        for node in nodes:
            self._known[node.id] = (node.lang or "", node.collection or "", node.license or "")
