"""A list that is read again: what a row was made into and no longer is goes, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import graphretrieval as gr
from graphretrieval.retriever.retriever import Retriever

LONG = "A lion sleeps in the sun. " * 60


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[Retriever]:
    with gr.open(tmp_path / "a.db") as made:
        yield made


def ids(kb: Retriever) -> set[str]:
    return {node.id for node in kb.store.nodes() if node.modality != "category"}


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        Image.new("RGB", (4, 4), (i * 40, len(name), 0)).save(folder / name)


def add(kb: Retriever, path: Path, content: str, **options: str) -> int:
    """Write and read a table; how many nodes were removed."""
    path.write_text(content, "utf-8")
    return kb.add(path, **options).removed  # type: ignore[arg-type]


def manifest(folder: Path, *rows: dict[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "nodes.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    return folder


def text(id: str, words: str, **more: object) -> dict[str, object]:
    return {"id": id, "modality": "text", "text": words, **more}


# --- tables ---------------------------------------------------------------------------------


def test_what_a_changed_row_has_no_more_goes(tmp_path: Path, kb: Retriever) -> None:
    pictures(tmp_path, "1.png", "2.png", "3.png")
    path, head = tmp_path / "t.csv", "id,title,description,image\n"
    add(kb, path, f"{head}1,Lion,{LONG},1.png;2.png;3.png\n2,Tiger,A tiger,\n")
    assert {"t/1:description", "t/1:description#0-597", "t/1:image3", "t/2:description"} <= ids(kb)
    kb.link("t/1:image", "RELATED_TO", "t/2:description")
    assert add(kb, path, f"{head}1,Lion,A lion,1.png;2.png;3.png\n2,Tiger,A tiger,\n") == 3
    assert not any("#" in i for i in ids(kb))
    assert add(kb, path, f"{head}1,Zebra,,1.png\n2,Tiger,,\n") == 4
    assert ids(kb) == {"t/1:image", "t/2:title"}
    assert add(kb, path, f"{head}1,Zebra,,1.png\n2,,,\n") == 1
    assert ids(kb) == {"t/1:image"}
    assert add(kb, path, f"{head}1,Zebra,,1.png\n2,,,\n") == 0


def test_a_column_that_is_taken_away_takes_its_nodes_along(tmp_path: Path, kb: Retriever) -> None:
    path = tmp_path / "t.csv"
    add(kb, path, "id,text,description\n1,a,b\n2,c,d\n")
    assert add(kb, path, "id,text\n1,a\n2,c\n") == 2
    assert ids(kb) == {"t/1:text", "t/2:text"}


def test_rows_that_move_keep_their_nodes_and_links(tmp_path: Path, kb: Retriever) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{i},Lion {i},about {i}\n" for i in range(500)]
    add(kb, path, "id,text,description\n" + "".join(lines))
    kb.link("t/1:text", "RELATED_TO", "t/499:text")
    before = ids(kb)
    for order in (["new,Zebra,z\n", *lines], lines[::-1], [*lines[1:], lines[0]]):
        assert add(kb, path, "id,text,description\n" + "".join(order)) == 0
    assert ids(kb) == {*before, "t/new:text", "t/new:description"}
    assert [e.dst for e in kb.store.neighbours(["t/1:text"], types=["RELATED_TO"])[0]] == [
        "t/499:text"
    ]


def test_what_cannot_be_read_now_stays(tmp_path: Path, kb: Retriever) -> None:
    pictures(tmp_path, "1.png", "2.png")
    path = tmp_path / "t.csv"
    content = "id,description,image\n1,A lion,1.png;2.png\n2,A tiger,\n"
    add(kb, path, content)
    before = ids(kb)
    away = (tmp_path / "2.png").rename(tmp_path / "away.png")
    assert add(kb, path, content.replace("A lion", "One lion")) == 0
    assert add(kb, path, content.replace("A tiger", "A tiger,,too many")) == 0
    assert ids(kb) == before
    away.rename(tmp_path / "2.png")
    # remembered in the meantime, so that they go when all of the row can be read
    assert add(kb, path, "id,description,image\n1,,1.png\n2,,\n") == 3
    assert ids(kb) == {"t/1:image"}


def test_two_tables_that_share_a_collection_leave_each_other_alone(
    tmp_path: Path, kb: Retriever
) -> None:
    pictures(tmp_path, "1.png")
    texts, images = tmp_path / "texts.csv", tmp_path / "images.csv"
    add(kb, texts, "id,text,description\n1,Lion,A lion\n", collection="zoo")
    add(kb, images, "id,image\n1,1.png\n", collection="zoo")
    assert add(kb, texts, "id,text,description\n1,Zebra,\n", collection="zoo") == 1
    assert ids(kb) == {"zoo/1:text", "zoo/1:image"}
    assert add(kb, images, "id,image\n1,\n", collection="zoo") == 1
    assert ids(kb) == {"zoo/1:text"}


def test_an_empty_row_does_not_take_away_what_another_of_its_id_says(
    tmp_path: Path, kb: Retriever
) -> None:
    path = tmp_path / "t.csv"
    add(kb, path, "id,text\n1,Lion\n2,Tiger\n")
    assert add(kb, path, "id,text\n1,\n2,Tiger\n1,Lion\n") == 0
    assert ids(kb) == {"t/1:text", "t/2:text"}


def test_rows_that_were_deleted_stay(tmp_path: Path, kb: Retriever) -> None:
    path = tmp_path / "t.csv"
    add(kb, path, "id,text\n1,Lion\n2,Tiger\n")
    path.write_text("id,text\n1,Lion\n")
    assert kb.add(path, prune=True).removed == 0
    assert ids(kb) == {"t/1:text", "t/2:text"}


# --- manifests ------------------------------------------------------------------------------


def test_fragments_of_a_text_that_became_short_go(tmp_path: Path, kb: Retriever) -> None:
    folder = tmp_path / "m"
    kb.add(manifest(folder, text("a", LONG), text("b", LONG), text("c", "short")))
    whole = {i for i in ids(kb) if not i.startswith("a")}
    assert kb.add(manifest(folder, text("a", "A zebra"), text("b", LONG))).removed == 3
    assert ids(kb) == {"a", *whole}
    assert kb.add(folder).removed == 0
    longer = "A zebra runs. " * 60
    kb.add(manifest(folder, text("a", longer), text("b", LONG)))
    assert kb.add(manifest(folder, text("a", longer + longer), text("b", LONG))).removed == 1
    assert sum(i.startswith("a#") for i in ids(kb)) == 3


def test_fragments_that_are_rows_of_their_own_stay(tmp_path: Path, kb: Retriever) -> None:
    folder = tmp_path / "m"
    place = {"start": 0, "end": 4, "unit": "characters"}
    kb.add(manifest(folder, text("a", LONG)))
    pieces = sorted(i for i in ids(kb) if "#" in i)
    rows = [text("a", "A zebra"), text(pieces[0], "kept", **place), text("a#0-4", "own", **place)]
    assert kb.add(manifest(folder, *rows)).removed == len(pieces) - 1
    rows[0] = text("a", "Another zebra")
    assert kb.add(manifest(folder, *rows)).removed == 0
    assert ids(kb) == {"a", pieces[0], "a#0-4"}


def test_fragments_of_a_row_that_is_refused_stay_until_it_is_put_right(
    tmp_path: Path, kb: Retriever
) -> None:
    folder = tmp_path / "m"
    kb.add(manifest(folder, text("a", LONG), text("b", "short")))
    before = ids(kb)
    for _ in range(2):
        report = kb.add(manifest(folder, text("a", " "), text("b", "short")))
        assert (report.removed, len(report.refused)) == (0, 1)
    assert ids(kb) == before
    assert kb.add(manifest(folder, text("a", "A zebra"), text("b", "short"))).removed == 3
    assert ids(kb) == {"a", "b"}


def test_a_run_that_was_cut_short_still_lets_former_fragments_go(
    tmp_path: Path, kb: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "m"
    kb.add(manifest(folder, text("a", LONG)))
    manifest(folder, text("a", "A zebra"))
    with monkeypatch.context() as broken:
        broken.setattr("graphretrieval.sources.manifest.ManifestSource._closing", None)
        with pytest.raises(TypeError):
            kb.add(folder)
    assert kb.add(folder).removed == 3
    assert ids(kb) == {"a"}


def test_a_file_that_no_row_names_any_more_is_no_longer_refused(
    tmp_path: Path, kb: Retriever
) -> None:
    folder = tmp_path / "m"
    pictures(folder, "good.png")
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")
    row = {"id": "1", "modality": "image"}
    manifest(folder, {**row, "path": "bad.png"})
    assert [len(kb.add(folder).refused) for _ in range(2)] == [1, 1]
    manifest(folder, {**row, "path": "good.png"})
    assert [kb.add(folder).refused for _ in range(2)] == [(), ()]
    manifest(folder, {**row, "path": "bad.png"})
    assert [len(kb.add(folder).refused) for _ in range(2)] == [1, 1]
    pictures(folder, "bad.png")
    assert kb.add(folder).refused == ()
    assert ids(kb) == {"1"}
