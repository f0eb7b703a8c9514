"""Every store under the one contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphretrieval import registry
from graphretrieval.protocols import GraphStore

from .contract import StoreContract

# name of each store → how a place in an empty folder is turned into its address
STORES: dict[str, Callable[[Path], Path]] = {"sqlite": lambda folder: folder / "graph.db"}


@pytest.mark.parametrize("kind", list(STORES), scope="class")
class TestStores(StoreContract):
    @pytest.fixture
    def reopen(self, kind: str) -> Iterator[Callable[[Path], GraphStore]]:
        opened: list[GraphStore] = []

        def at(path: Path) -> GraphStore:
            opened.append(registry.resolve("store", kind)(path))
            return opened[-1]

        yield at
        for store in opened:
            store.close()

    @pytest.fixture
    def opener(
        self, kind: str, tmp_path: Path, reopen: Callable[[Path], GraphStore]
    ) -> Callable[[], GraphStore]:
        address = STORES[kind](tmp_path)
        return lambda: reopen(address)


def test_every_registered_store_is_under_the_contract() -> None:
    assert set(registry.names("store")) == set(STORES)
