"""A node's fields take what they can hold; all else is refused by name, before it is stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphretrieval.config import Config
from graphretrieval.errors import QueryError
from graphretrieval.retriever import Retriever
from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import JSON, Node

BEFORE = Node("a", "image", title="a boat", width=40)


@pytest.fixture
def boat(tmp_path: Path) -> Retriever:
    store = SqliteStore(tmp_path / "x.db")
    store.upsert([BEFORE])
    return Retriever(store, tmp_path / "x.db", Config({"cache_dir": str(tmp_path / "c")}))


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("title", ["x"], "give text"),
        ("title", 5, "give text"),
        ("text", b"x", "give text"),
        ("text", "half of \ud83d a sign", "give text"),
        ("width", "wide", "give a whole number"),
        ("width", 2.5, "give a whole number"),
        ("height", True, "give a whole number"),
        ("height", -1, "give a whole number"),
        ("height", 2**63, "give a whole number"),
        ("start", "soon", "give a finite number"),
        ("end", float("nan"), "give a finite number"),
        ("end", False, "give a finite number"),
        ("duration", 10**400, "give a finite number"),
        ("properties", None, "give a mapping"),
        ("properties", ["a"], "give a mapping"),
        ("properties", {1: "a"}, "give a mapping"),
        ("properties", {"a": {1}}, "give a mapping"),
        ("properties", {"a": float("inf")}, "give a mapping"),
        ("properties", {"a": "\ud83d"}, "give a mapping"),
        ("colour", "red", "choose from"),
    ],
)
def test_a_value_that_a_field_cannot_hold_is_refused_by_name(
    boat: Retriever, name: str, value: JSON, remedy: str
) -> None:
    with pytest.raises(QueryError, match=f"{name}.*{remedy}"):
        boat.update("a", **{name: value})
    assert boat.store.get(["a"]) == [BEFORE]


def test_what_fits_is_stored_and_none_empties_a_field(boat: Retriever) -> None:
    changes = {"title": None, "width": 0, "start": 1, "end": 2.5, "properties": {"a": [1, None]}}
    boat.update("a", **changes)
    node = boat.store.get(["a"])[0]
    assert node is not None
    assert {name: getattr(node, name) for name in changes} == changes
