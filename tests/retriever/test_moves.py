"""Files that move keep their nodes, and files that come to the old paths get nodes of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

import graphretrieval as gr
from graphretrieval import privacy
from graphretrieval.retriever.moves import MOVED
from graphretrieval.types import FileStamp


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[gr.Retriever]:
    with gr.open(tmp_path / "store.db") as out:
        yield out


@pytest.fixture
def p(tmp_path: Path) -> Path:
    (tmp_path / "p").mkdir()
    return tmp_path / "p"


def picture(path: Path, colour: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), colour).save(path)


def places(kb: gr.Retriever) -> dict[str, str]:
    """Id → file, of all that lies in files."""
    return {n.id: Path(n.uri).name for n in kb.store.nodes() if n.uri}


def links(kb: gr.Retriever) -> set[tuple[str, str, str]]:
    return {(e.src, e.type, e.dst) for e in kb.store.edges()}


def moves(kb: gr.Retriever) -> dict[str, str]:
    return {s.uri.removeprefix(MOVED): s.sha256 for s in kb.store.files(MOVED).values()}


def settled(kb: gr.Retriever, folder: Path) -> None:
    """Another run finds nothing to do."""
    before, stamps = places(kb), kb.store.files()
    report = kb.add(folder)
    assert (report.nodes, report.edges, report.files, report.removed) == (0, 0, 0, 0)
    assert (places(kb), kb.store.files()) == (before, stamps)


@pytest.mark.parametrize("name", ["lion.png", "zoo.png"])  # sorted before and after scan.png
def test_a_new_file_at_the_old_path_gets_an_id_of_its_own(
    p: Path, kb: gr.Retriever, name: str
) -> None:
    picture(p / "scan.png", "red")
    picture(p / "other.png", "green")
    kb.add(p)
    kb.link("p/scan.png", "SHOWN_WITH", "p/other.png")
    (p / "scan.png").rename(p / name)
    kb.add(p)
    picture(p / "scan.png", "blue")
    report = kb.add(p)
    assert (report.nodes, report.files, report.unchanged) == (1, 1, 2)
    now = {"p/scan.png": name, "p/scan.png~2": "scan.png", "p/other.png": "other.png"}
    assert places(kb) == now
    settled(kb, p)
    # both go on under their ids as they change
    for file, colour in ((name, "white"), ("scan.png", "black")):
        picture(p / file, colour)
        os.utime(p / file, ns=(1, 1))
    assert kb.add(p).removed == 0
    assert places(kb) == now
    assert links(kb) == {("p/scan.png", "SHOWN_WITH", "p/other.png")}
    # and as they move again, with a third at the old path
    (p / "scan.png").rename(p / "second.png")
    (p / name).rename(p / "first.png")
    kb.add(p)
    picture(p / "scan.png", "yellow")
    picture(p / name, "pink")
    kb.add(p, prune=True)
    assert places(kb) == {
        "p/scan.png": "first.png",
        "p/scan.png~2": "second.png",
        "p/scan.png~3": "scan.png",
        f"p/{name}": name,
        "p/other.png": "other.png",
    }
    settled(kb, p)


@pytest.mark.parametrize("name", ["a.png", "zoo.png"])
def test_a_file_that_moves_on_as_another_comes_is_still_itself(
    p: Path, kb: gr.Retriever, name: str
) -> None:
    picture(p / "scan.png", "red")
    kb.add(p)
    (p / "scan.png").rename(p / "lion.png")
    kb.add(p)
    (p / "lion.png").rename(p / name)
    picture(p / "scan.png", "blue")
    kb.add(p, prune=True)
    assert places(kb) == {"p/scan.png": name, "p/scan.png~2": "scan.png"}
    picture(p / "lion.png", "green")
    kb.add(p)
    assert places(kb)["p/lion.png"] == "lion.png"
    settled(kb, p)


def test_a_path_that_is_filled_again_before_anyone_looked_is_a_changed_file(
    p: Path, kb: gr.Retriever
) -> None:
    picture(p / "scan.png", "red")
    kb.add(p)
    (p / "scan.png").rename(p / "lion.png")
    picture(p / "scan.png", "blue")
    os.utime(p / "scan.png", ns=(1, 1))
    kb.add(p, prune=True)
    assert places(kb) == {"p/lion.png": "lion.png", "p/scan.png": "scan.png"}
    settled(kb, p)


@pytest.mark.parametrize("away", ["c.png", "0.png"])
def test_a_file_that_went_home_leaves_the_other_path_to_others(
    p: Path, kb: gr.Retriever, away: str
) -> None:
    picture(p / "a.png", "red")
    kb.add(p)
    (p / "a.png").rename(p / away)
    kb.add(p)
    assert moves(kb) == {f"p/{away}": "p/a.png"}
    (p / away).rename(p / "a.png")
    kb.add(p)
    assert places(kb) == {"p/a.png": "a.png"}
    assert moves(kb) == {}
    settled(kb, p)
    picture(p / away, "blue")
    kb.add(p, prune=True)
    assert places(kb) == {"p/a.png": "a.png", f"p/{away}": away}
    assert moves(kb) == {}
    settled(kb, p)


def test_a_move_that_is_remembered_and_long_undone_misleads_nobody(
    p: Path, kb: gr.Retriever
) -> None:
    picture(p / "a.png", "red")
    kb.add(p)
    kb.store.upsert([], [], [FileStamp(f"{MOVED}p/c.png", 0, 0, "p/a.png")])
    picture(p / "c.png", "blue")
    kb.add(p)
    assert places(kb) == {"p/a.png": "a.png", "p/c.png": "c.png"}
    assert moves(kb) == {}
    settled(kb, p)


def test_what_lies_beside_the_old_path_says_it_of_who_is_there_now(
    p: Path, kb: gr.Retriever
) -> None:
    picture(p / "scan.png", "red")
    (p / "scan.txt").write_text("A lion.\nzh.utf8=狮子")
    soundfile.write(p / "scan.wav", np.sin(np.arange(800)), 8000)
    kb.add(p)
    (p / "scan.png").rename(p / "lion.png")
    kb.add(p)
    assert ("p/scan.txt#en", "DESCRIBES", "p/scan.png") in links(kb)  # it may be so still
    picture(p / "scan.png", "blue")
    kb.add(p)
    texts = ("p/scan.txt#en", "p/scan.txt#zh")
    assert links(kb) == {
        ("p/scan.wav", "RELATED_TO", "p/scan.png~2"),
        *((text, "DESCRIBES", end) for text in texts for end in ("p/scan.png~2", "p/scan.wav")),
    }
    (p / "lion.txt").write_text("Really a lion.")
    kb.add(p)
    assert ("p/lion.txt", "DESCRIBES", "p/scan.png") in links(kb)
    settled(kb, p)


@pytest.mark.parametrize("later", ["scan.png", "scan.txt"])
def test_a_couple_that_moved_and_a_couple_that_came_are_not_mixed(
    p: Path, kb: gr.Retriever, later: str
) -> None:
    picture(p / "scan.png", "red")
    (p / "scan.txt").write_text("A lion.")
    kb.add(p)
    for suffix in (".png", ".txt"):
        (p / f"scan{suffix}").rename(p / f"lion{suffix}")
    kb.add(p)
    picture(p / "scan.png", "blue")
    (p / "scan.txt").write_text("A whale.")
    (p / later).rename(p.parent / later)
    kb.add(p)
    (p.parent / later).rename(p / later)
    kb.add(p)
    assert links(kb) == {
        ("p/scan.txt", "DESCRIBES", "p/scan.png"),
        ("p/scan.txt~2", "DESCRIBES", "p/scan.png~2"),
    }
    texts = {n.id: n.text for n in kb.store.nodes("text")}
    assert texts == {"p/scan.txt": "A lion.", "p/scan.txt~2": "A whale."}
    settled(kb, p)


def test_an_id_whose_file_was_pruned_is_free_again(p: Path, kb: gr.Retriever) -> None:
    picture(p / "scan.png", "red")
    kb.add(p)
    (p / "scan.png").rename(p / "lion.png")
    kb.add(p)
    (p / "lion.png").unlink()
    assert kb.add(p, prune=True).removed == 1
    assert moves(kb) == {}
    for name in ("lion.png", "scan.png"):
        picture(p / name, "blue")
    kb.add(p)
    assert places(kb) == {f"p/{name}": name for name in ("lion.png", "scan.png")}


def test_a_moved_file_that_was_forgotten_stays_out(p: Path, kb: gr.Retriever) -> None:
    picture(p / "scan.png", "red")
    kb.add(p)
    (p / "scan.png").rename(p / "lion.png")
    kb.add(p)
    privacy.forget(kb, ["p/scan.png"])
    report = kb.add(p)
    assert places(kb) == {}
    assert report.refused == (("p/lion.png", "it was forgotten on request and is kept out"),)


def test_a_file_that_moves_while_the_folder_is_read_is_followed_by_the_next_run(
    p: Path, kb: gr.Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graphretrieval.sources.folder import FolderSource

    picture(p / "a.png", "red")
    kb.add(p)
    os.utime(p / "a.png", ns=(1, 1))  # looks changed, so that it is opened
    total = FolderSource.total

    def late(self: FolderSource) -> int:
        listed = total(self)
        (p / "a.png").rename(p / "b.png")
        return listed

    with monkeypatch.context() as patch:
        patch.setattr(FolderSource, "total", late)
        assert kb.add(p).refused == ((str(p / "a.png"), "the file is gone"),)
    kb.add(p)
    assert places(kb) == {"p/a.png": "b.png"}


def test_an_exported_manifest_means_the_nodes_by_the_ids_they_are_kept_under(
    p: Path, kb: gr.Retriever, tmp_path: Path
) -> None:
    picture(p / "scan.png", "red")
    (p / "scan.txt").write_text("A whale.")
    kb.add(p)
    (p / "scan.png").rename(p / "lion.png")
    kb.add(p)
    picture(p / "scan.png", "blue")
    kb.add(p)
    before, edges = {n.id: n.uri for n in kb.store.nodes()}, links(kb)
    kb.export(tmp_path / "out")
    report = kb.add(tmp_path / "out")
    assert report.refused == ()
    assert ({n.id: n.uri for n in kb.store.nodes()}, links(kb)) == (before, edges)
