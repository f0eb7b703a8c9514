"""Words of every length are found in the embedded store, in stores of earlier releases too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from graphretrieval.stores.search import han_grams
from graphretrieval.stores.sqlite import SqliteStore
from graphretrieval.types import Node


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "words.db")
    store.upsert([Node("a", "text", text="一只黑色的猫"), Node("b", "text", text="a black cat")])
    yield store
    store.close()


def found(store: SqliteStore, query: str) -> list[str]:
    return [name for name, _ in store.text_search([query])[0]]


def test_the_grams_of_a_text_are_its_characters_and_their_pairs() -> None:
    assert han_grams("黑猫 cat 猫") == "黑 猫 黑猫"
    assert han_grams("a black cat") == ""


@pytest.mark.parametrize("query", ["猫", "黑色", "黑", "色的", "黑色的猫"])
def test_chinese_of_any_length_is_found(store: SqliteStore, query: str) -> None:
    assert found(store, query) == ["a"]


def test_characters_that_do_not_stand_together_are_no_pair(store: SqliteStore) -> None:
    assert store.text_search(["猫黑"])[0] == []


@pytest.mark.parametrize("run", ["々人", "二〇", "㐀㐁", "鿿一", "豈更", "𠮷野", "𱍊𲎯"])
def test_rare_characters_are_found(store: SqliteStore, run: str) -> None:
    store.upsert([Node("rare", "text", text=f"甲{run}乙")])
    assert found(store, run) == ["rare"]


def test_two_letters_are_found_though_no_index_has_them(store: SqliteStore) -> None:
    store.upsert([Node("ox", "text", text="an ox")])
    assert found(store, "ox") == ["ox"]


def test_what_was_changed_or_deleted_is_not_found_any_more(store: SqliteStore) -> None:
    store.upsert([Node("a", "text", text="一只白色的狗")])
    assert (found(store, "猫"), found(store, "白色")) == ([], ["a"])
    store.delete(["a"])
    assert found(store, "白色") == []


def test_a_cleared_store_finds_nothing(store: SqliteStore) -> None:
    store.clear()
    assert found(store, "猫") == []


def test_a_store_of_an_earlier_release_is_brought_up_to_date(store: SqliteStore) -> None:
    store._connection.executescript(
        "DROP TABLE han; DELETE FROM meta WHERE name IN ('write', 'life');"
        "DROP TABLE copied;"
        "DELETE FROM migrations WHERE version >= 2"
    )
    store.close()
    again = SqliteStore(store.path)
    assert found(again, "黑色") == ["a"]
    again.close()


def test_scrubbing_leaves_no_deleted_character_in_the_file(store: SqliteStore) -> None:
    store.upsert([Node("c", "text", text="饕")])
    store.delete(["c"])
    store.scrub()
    store.close()
    assert "饕".encode() not in store.path.read_bytes()
