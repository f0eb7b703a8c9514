"""What is known of a place, and what goes with its files: siblings, tables and manifests apart."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import graphretrieval as gr
from graphretrieval.errors import QueryError
from graphretrieval.retriever.ingest import detect


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[gr.Retriever]:
    with gr.open(tmp_path / "store.db") as out:
        yield out


def picture(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), colour).save(path)
    return path


def book(folder: Path, *names: str) -> Path:
    """A manifest of pictures beside it."""
    views = [
        {"type": "Canvas", "items": [{"items": [{"body": {"id": f"https://a.invalid/{name}"}}]}]}
        for name in names
    ]
    context = "http://iiif.io/api/presentation/3/context.json"
    head = {"@context": context, "type": "Manifest", "label": {"en": ["A herbal"]}}
    path = folder / "book.json"
    path.write_text(json.dumps({**head, "items": views}))
    return path


def ids(kb: gr.Retriever, modality: str = "image") -> set[str]:
    return {n.id for n in kb.store.nodes(modality)}


def test_pruning_a_folder_spares_a_sibling_whose_name_goes_on(
    tmp_path: Path, kb: gr.Retriever
) -> None:
    gone = picture(tmp_path / "photos/gone.png")
    picture(tmp_path / "photos/a.png", "green")
    picture(tmp_path / "photos2/b.png", "blue")
    for name in ("photos", "photos2"):
        kb.add(tmp_path / name)
    gone.unlink()
    (tmp_path / "photos2").rename(tmp_path / "unmounted")
    assert kb.add(tmp_path / "photos", prune=True).removed == 1
    assert ids(kb) == {"photos/a.png", "photos2/b.png"}


def test_a_table_knows_its_own_rows_and_no_siblings(tmp_path: Path, kb: gr.Retriever) -> None:
    picture(tmp_path / "t.csv.d/b.png")
    kb.add(tmp_path / "t.csv.d")
    table = tmp_path / "t.csv"
    table.write_text("id,description\n1,A lion\n2,A tiger\n")
    kb.add(table)
    (tmp_path / "t.csv.d").rename(tmp_path / "unmounted")
    report = kb.add(table, prune=True)
    assert (report.nodes, report.files, report.removed) == (0, 0, 0)
    assert ids(kb) | ids(kb, "text") == {"t.csv.d/b.png", "t/1:description", "t/2:description"}


def test_an_unchanged_manifest_of_pictures_is_not_read_again(
    tmp_path: Path, kb: gr.Retriever
) -> None:
    picture(tmp_path / "m/f1.png")
    path = book(tmp_path / "m", "f1.png", "f2.png")
    first, again = kb.add(path), kb.add(path)
    assert first.nodes == 3
    assert (again.nodes, again.files, again.revision) == (0, 0, first.revision)
    assert again.refused == first.refused != ()


def test_a_manifest_loses_its_vanished_pictures_and_others_keep_theirs(
    tmp_path: Path, kb: gr.Retriever
) -> None:
    for name in ("f1.png", "f2.png"):
        picture(tmp_path / "m" / name)
    path = book(tmp_path / "m", "f1.png", "f2.png")
    kb.add(tmp_path / "m", collection="folder")
    kb.add(path)
    (tmp_path / "m/f1.png").unlink()
    assert kb.add(path).removed == 0
    assert kb.add(path, prune=True).removed == 1
    views = {"m/book.json#canvas=2", "folder/f1.png", "folder/f2.png"}
    assert ids(kb) == views
    kb.add(path, prune=True)
    assert ids(kb) == views
    assert kb.add(tmp_path / "m", collection="folder", prune=True).removed == 1
    assert ids(kb) == views - {"folder/f1.png"}


def test_a_manifests_pictures_are_a_folders_files_as_well(tmp_path: Path, kb: gr.Retriever) -> None:
    picture(tmp_path / "m/f1.png")
    path = book(tmp_path / "m", "f1.png")
    kb.add(path)
    kb.add(tmp_path / "m")
    assert ids(kb) == {"m/book.json#canvas=1", "m/f1.png"}
    # both hear of a change, whoever comes first
    picture(tmp_path / "m/f1.png", "blue")
    os.utime(tmp_path / "m/f1.png", ns=(1, 1))
    kb.add(tmp_path / "m")
    kb.add(path)
    assert len({n.sha256 for n in kb.store.nodes("image")}) == 1


def test_deeply_nested_json_is_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000)
    with pytest.raises(QueryError, match="is no folder, manifest"):
        detect(path)


def test_a_place_that_may_not_be_looked_at_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", forbidden)
    with pytest.raises(QueryError, match=r"may not be read. check its permissions"):
        detect(tmp_path)
