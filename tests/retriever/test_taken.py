"""Two folders of one name: the second is refused where it would overwrite what the first holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import graphretrieval as gr


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[gr.Retriever]:
    with gr.open(tmp_path / "store.db") as out:
        yield out


def picture(path: Path, colour: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), colour).save(path)


@pytest.fixture
def years(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of one name, each with a picture 1.png and one of its own."""
    both = tmp_path / "2023/photos", tmp_path / "2024/photos"
    for folder, colour in zip(both, ("red", "blue"), strict=True):
        picture(folder / "1.png", colour)
        picture(folder / f"{colour}.png", colour)
    return both


def places(kb: gr.Retriever) -> dict[str, str]:
    return {n.id: n.uri for n in kb.store.nodes() if n.uri}


def links(kb: gr.Retriever) -> set[tuple[str, str]]:
    return {(e.src, e.dst) for e in kb.store.edges("DESCRIBES")}


def test_the_newcomer_is_refused_until_it_has_a_collection_of_its_own(
    years: tuple[Path, Path], kb: gr.Retriever
) -> None:
    first, second = years
    kb.add(first)
    before = places(kb)
    for _ in range(2):
        report = kb.add(second)
        reason = f"its id photos/1.png is taken by {first}/1.png. give --collection NAME"
        assert report.refused == ((f"{second}/1.png", reason),)
        assert places(kb) == {**before, "photos/blue.png": f"{second}/blue.png"}
    assert kb.add(second, collection="2024").refused == ()
    assert places(kb)["2024/1.png"] == f"{second}/1.png"
    assert places(kb).items() >= before.items()
    assert kb.add(first).nodes == 0


def test_what_belongs_to_a_refused_file_waits_with_it(
    years: tuple[Path, Path], kb: gr.Retriever
) -> None:
    first, second = years
    (second / "1.txt").write_text("A whale.\nzh.utf8=鲸")
    kb.add(first)
    report = kb.add(second)
    assert [Path(uri).name for uri, _ in report.refused] == ["1.png", "1.txt"]
    assert report.refused[1][1].startswith("it belongs to photos/1.png, and that id is taken by")
    assert links(kb) == set()
    assert not list(kb.store.nodes("text"))
    kb.add(second, collection="2024")
    assert links(kb) == {(f"2024/1.txt#{lang}", "2024/1.png") for lang in ("en", "zh")}


def test_a_file_takes_the_place_of_one_that_is_gone(
    years: tuple[Path, Path], kb: gr.Retriever
) -> None:
    first, second = years
    kb.add(first)
    kb.add(second)
    shutil.rmtree(first)
    assert kb.add(second).refused == ()
    assert places(kb)["photos/1.png"] == f"{second}/1.png"


@pytest.mark.parametrize("name", ["photos", "pictures"])
def test_a_folder_that_moved_as_a_whole_keeps_its_nodes(
    years: tuple[Path, Path], kb: gr.Retriever, tmp_path: Path, name: str
) -> None:
    first, _ = years
    kb.add(first)
    kb.link("photos/1.png", "SHOWN_WITH", "photos/red.png")
    (first / "1.png").rename(first / "one.png")
    kb.add(first)
    now = tmp_path / "archive" / name
    now.parent.mkdir()
    first.rename(now)
    picture(now / "1.png", "green")
    report = kb.add(now, collection="photos")
    assert report.refused == ()
    assert places(kb) == {
        "photos/1.png": f"{now}/one.png",
        "photos/1.png~2": f"{now}/1.png",
        "photos/red.png": f"{now}/red.png",
    }
    assert [e.dst for e in kb.store.edges("SHOWN_WITH")] == ["photos/red.png"]


def test_one_folder_seen_at_two_paths_is_not_two(
    years: tuple[Path, Path], kb: gr.Retriever, tmp_path: Path
) -> None:
    first, _ = years
    kb.add(first)
    twin = tmp_path / "mounted/photos"
    twin.mkdir(parents=True)
    for file in first.iterdir():
        (twin / file.name).hardlink_to(file)
    assert kb.add(twin).refused == ()
    assert places(kb)["photos/1.png"] == f"{twin}/1.png"


def test_an_inner_folder_of_the_same_name_is_another(tmp_path: Path, kb: gr.Retriever) -> None:
    outer = tmp_path / "photos"
    picture(outer / "1.png", "red")
    picture(outer / "photos/1.png", "blue")
    kb.add(outer / "photos")
    kb.add(outer)
    assert places(kb) == {
        "photos/1.png": f"{outer}/photos/1.png",
        "photos/1.png~2": f"{outer}/1.png",
    }


def test_a_manifest_of_pictures_is_refused_as_a_whole(tmp_path: Path, kb: gr.Retriever) -> None:
    view = {"items": [{"items": [{"body": {"id": "https://a.invalid/f1.png"}}]}]}
    context = "http://iiif.io/api/presentation/3/context.json"
    for year in ("2023", "2024"):
        picture(tmp_path / year / "scans/f1.png", "red")
        words = {"@context": context, "type": "Manifest", "label": {"en": [f"Herbal of {year}"]}}
        (tmp_path / year / "scans/book.json").write_text(json.dumps({**words, "items": [view]}))
    kb.add(tmp_path / "2023/scans/book.json")
    before = {n.id: n for n in kb.store.nodes()}
    report = kb.add(tmp_path / "2024/scans/book.json")
    assert [Path(uri).name for uri, _ in report.refused] == ["book.json", "f1.png"]
    assert {n.id: n for n in kb.store.nodes()} == before
    again = kb.add(tmp_path / "2024/scans/book.json", collection="2024")
    assert (again.nodes, again.refused) == (3, ())


def test_a_row_may_name_another_file_than_before(tmp_path: Path, kb: gr.Retriever) -> None:
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        picture(tmp_path / "m" / name, colour)
    table = tmp_path / "m/t.csv"
    for name in ("a.png", "b.png"):
        table.write_text(f"id,image\n1,{name}\n")
        assert kb.add(table).refused == ()
        assert places(kb) == {"t/1:image": str(tmp_path / "m" / name)}
