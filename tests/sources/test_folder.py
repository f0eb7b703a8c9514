"""Folder trees: folders are categories, one name is one thing, and nothing is read twice."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.errors import TooLarge
from graphretrieval.sources.folder import BATCH, FolderSource
from graphretrieval.sources.media import Inspection, Limits, MediaReader
from graphretrieval.types import Batch, FileStamp


class Counting(MediaReader):
    """Remembers which files were opened."""

    def __init__(self) -> None:
        super().__init__(Limits.of(Config()), workers=1)
        self.opened: list[str] = []

    def inspect(self, paths: Sequence[Path]) -> list[Inspection | gr.errors.InputRefused]:  # type: ignore[name-defined]
        self.opened += [path.name for path in paths]
        return super().inspect(paths)


class Taken:
    """Everything a source gave, added up."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches
        self.nodes = {n.id: n for b in batches for n in b.nodes}
        self.links = {(e.src, e.type, e.dst) for b in batches for e in b.edges}
        self.files = {f.uri: f for b in batches for f in b.files}
        self.refused = {Path(u).name: f.refused for u, f in self.files.items() if f.refused}

    def links_of(self, type: str) -> set[tuple[str, str]]:
        return {(s, d) for s, t, d in self.links if t == type}


@pytest.fixture(scope="module")
def reader() -> Iterator[Counting]:
    with Counting() as r:
        yield r


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "zoo").mkdir()
    return tmp_path / "zoo"


def read(
    root: Path, reader: Counting, known: dict[str, FileStamp] | None = None, **options: object
) -> Taken:
    reader.opened.clear()
    source = FolderSource(root, reader=reader, config=Config(), **options)  # type: ignore[arg-type]
    return Taken(list(source.batches(known or {})))


def picture(path: Path, colour: str = "red") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), colour).save(path)


def sound(path: Path, seconds: float = 0.2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).normal(0, 0.1, round(8_000 * seconds))
    soundfile.write(path, noise, 8_000)


def text(path: Path, words: str = "A lion.") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(words, "utf-8")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make folders that may not be entered, for root too, who may enter all."""

    def close(folder: Path) -> None:
        for name in ("scandir", "stat", "lstat"):
            monkeypatch.setattr(os, name, _refusing(getattr(os, name), folder))

    return close


def _refusing(call: Callable[..., object], folder: Path) -> Callable[..., object]:
    def refuse(path: object, *args: object, **options: object) -> object:
        inside = isinstance(path, str | Path) and folder in Path(path).parents
        if inside or (call.__name__ == "scandir" and Path(str(path)) == folder):
            raise PermissionError(13, "Permission denied", str(path))
        return call(path, *args, **options)

    refuse.__name__ = call.__name__
    return refuse


# --- what names mean ------------------------------------------------------------------------


def test_folders_are_a_hierarchy_of_categories(root: Path, reader: Counting) -> None:
    picture(root / "animals/big-cats/lion.png")
    picture(root / "animals/dog.png")
    picture(root / "plan.png")
    found = read(root, reader)
    assert found.links_of("IN_CATEGORY") == {
        ("zoo/animals/big-cats/lion.png", "cat:animals/big-cats"),
        ("zoo/animals/dog.png", "cat:animals"),
    }
    assert found.links_of("SUBCATEGORY_OF") == {("cat:animals/big-cats", "cat:animals")}
    assert found.nodes["cat:animals/big-cats"].title == "big cats"
    assert found.nodes["zoo/plan.png"].collection == "zoo"


def test_a_category_for_all_is_one_more(root: Path, reader: Counting) -> None:
    picture(root / "a/lion.png")
    found = read(root, reader, category="loans/2024")
    assert found.links_of("IN_CATEGORY") == {
        ("zoo/a/lion.png", "cat:a"),
        ("zoo/a/lion.png", "cat:loans/2024"),
    }
    assert ("cat:loans/2024", "cat:loans") in found.links_of("SUBCATEGORY_OF")


def test_a_text_describes_the_picture_and_the_sound_of_its_name(
    root: Path, reader: Counting
) -> None:
    picture(root / "lion.png")
    sound(root / "lion.wav")
    text(root / "lion.txt")
    text(root / "tiger.txt")
    found = read(root, reader, lang="en")
    assert found.links_of("DESCRIBES") == {
        ("zoo/lion.txt", "zoo/lion.png"),
        ("zoo/lion.txt", "zoo/lion.wav"),
    }
    assert found.links_of("RELATED_TO") == {("zoo/lion.wav", "zoo/lion.png")}
    assert (found.nodes["zoo/lion.txt"].text, found.nodes["zoo/lion.txt"].lang) == ("A lion.", "en")


def test_names_are_compared_without_case_but_within_their_folder(
    root: Path, reader: Counting
) -> None:
    picture(root / "Lion.PNG")
    text(root / "lion.TXT")
    text(root / "elsewhere/lion.txt")
    found = read(root, reader)
    assert found.links_of("DESCRIBES") == {("zoo/lion.TXT", "zoo/Lion.PNG")}


def test_a_description_in_many_languages_is_a_text_for_each(root: Path, reader: Counting) -> None:
    picture(root / "lion.png")
    lines = (
        "A sleeping lion.",
        "",
        "zh_CN.utf8=一只睡着的狮子。",
        "pt_BR.UTF-8=Um leão.",
        "ca@valencia.utf8 = Un lleó.",
        "de.utf8=",
    )
    text(root / "lion.txt", "\n".join(lines))
    found = read(root, reader)
    texts = {n.lang: n.text for n in found.nodes.values() if n.modality == "text"}
    assert texts == {
        "en": "A sleeping lion.",
        "zh_CN": "一只睡着的狮子。",
        "pt_BR": "Um leão.",
        "ca@valencia": "Un lleó.",
    }
    assert found.links_of("DESCRIBES") == {
        (f"zoo/lion.txt#{lang}", "zoo/lion.png") for lang in texts
    }


def test_the_first_line_is_in_the_language_given(root: Path, reader: Counting) -> None:
    text(root / "a.txt", "狮子\nen.utf8=lion")
    found = read(root, reader, lang="zh")
    assert {n.lang: n.text for n in found.nodes.values()} == {"zh": "狮子", "en": "lion"}


def test_a_text_that_only_looks_multilingual_stays_one_text(root: Path, reader: Counting) -> None:
    words = "Settings:\nen.utf8=on\nand more prose"
    text(root / "a.txt", words)
    assert read(root, reader).nodes["zoo/a.txt"].text == words


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ("A lion.\nzh-CN.utf8=狮子", {"en": "A lion.", "zh_CN": "狮子"}),
        ("A lion.\nzh_Hans_CN.utf8=狮子", {"en": "A lion.", "zh_Hans_CN": "狮子"}),
        ("A lion.\nes_419.utf8=León", {"en": "A lion.", "es_419": "León"}),
        ("A lion.\nde-CH-1996.utf8=Löwe", {"en": "A lion.", "de_CH_1996": "Löwe"}),
        ("A lion.\nzh_CN.utf8=狮子\nzh-CN.utf8=雄狮", {"en": "A lion.", "zh_CN": "狮子\n雄狮"}),
        ("A lion.\nen.utf8=A lion.\nfr.utf8=Un lion.", {"en": "A lion.", "fr": "Un lion."}),
        ("en.utf8=Lion\nzh_CN.utf8=狮子", {"en": "Lion", "zh_CN": "狮子"}),
        ("zh_CN.utf8=狮子\n", {"zh_CN": "狮子"}),
    ],
)
def test_codes_of_languages_have_many_forms_and_no_line_is_lost(
    root: Path, reader: Counting, words: str, texts: dict[str, str]
) -> None:
    text(root / "lion.txt", words)
    found = read(root, reader)
    assert {n.lang: n.text for n in found.nodes.values()} == texts


def test_names_belong_together_however_their_accents_are_written(
    root: Path, reader: Counting
) -> None:
    apart, together = (unicodedata.normalize(form, "café") for form in ("NFD", "NFC"))
    picture(root / f"{apart}.png")
    text(root / f"{together}.txt", "A café.")
    found = read(root, reader)
    assert found.links_of("DESCRIBES") == {(f"zoo/{together}.txt", f"zoo/{apart}.png")}


def test_a_spoken_description_describes_and_is_in_its_language(
    root: Path, reader: Counting
) -> None:
    picture(root / "lion.png")
    names = ("lion_desc", "lion_desc_fr", "lion_DESC_pt_BR", "lion_desc_zh-Hans-CN")
    for name in ("lion", *names):
        sound(root / f"{name}.ogg")
    found = read(root, reader, lang="en")
    assert found.links_of("DESCRIBES") == {(f"zoo/{name}.ogg", "zoo/lion.png") for name in names}
    assert found.links_of("RELATED_TO") == {("zoo/lion.ogg", "zoo/lion.png")}
    langs = {n.id: (n.lang, n.properties.get("spoken")) for n in found.nodes.values()}
    assert langs["zoo/lion_desc.ogg"] == ("en", True)
    assert langs["zoo/lion_desc_fr.ogg"] == ("fr", True)
    assert langs["zoo/lion_DESC_pt_BR.ogg"] == ("pt_BR", True)
    assert langs["zoo/lion_desc_zh-Hans-CN.ogg"] == ("zh_Hans_CN", True)
    assert langs["zoo/lion.ogg"] == (None, None)


def test_a_long_texts_fragments_describe_the_picture(root: Path, reader: Counting) -> None:
    picture(root / "lion.png")
    text(root / "lion.txt", "A lion sleeps in the sun. " * 60)
    found = read(root, reader)
    parts = {n.id for n in found.nodes.values() if n.modality == "text"}
    assert len(parts) >= 3
    assert found.links_of("PART_OF") == {(part, "zoo/lion.txt") for part in parts}
    assert {src for src, _ in found.links_of("DESCRIBES")} == parts


def test_files_that_are_no_media_and_hidden_ones_are_passed_over(
    root: Path, reader: Counting
) -> None:
    for name in ("lion.dat", "Thumbs.db", ".hidden.png", ".git/lion.png", "README"):
        picture(root / "x.png")
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes((root / "x.png").read_bytes())
    found = read(root, reader)
    assert set(found.nodes) == {"zoo/x.png"}
    assert found.refused == {}


def test_a_damaged_file_is_refused_and_its_neighbours_come_in(root: Path, reader: Counting) -> None:
    picture(root / "lion.png")
    text(root / "lion.txt")
    (root / "lion.wav").write_bytes(b"RIFF")
    found = read(root, reader)
    assert set(found.refused) == {"lion.wav"}
    assert found.links == {("zoo/lion.txt", "DESCRIBES", "zoo/lion.png")}


def test_links_out_of_the_folder_are_refused_and_those_within_are_files(
    root: Path, reader: Counting
) -> None:
    picture(root.parent / "secret.png")
    picture(root / "lion.png")
    (root / "out.png").symlink_to(root.parent / "secret.png")
    (root / "in.png").symlink_to(root / "lion.png")
    (root / "nowhere.png").symlink_to(root / "gone.png")
    (root / "loop").symlink_to(root)
    found = read(root, reader)
    assert {"zoo/lion.png", "zoo/in.png"} == set(found.nodes)
    assert set(found.refused) == {"out.png", "nowhere.png", "loop"}


def test_a_folder_that_cannot_be_listed_is_refused(
    root: Path, reader: Counting, closed: Callable[[Path], None]
) -> None:
    picture(root / "lion.png")
    picture(root / "secret/tiger.png")
    closed(root / "secret")
    found = read(root, reader)
    assert set(found.nodes) == {"zoo/lion.png"}
    assert set(found.refused) == {"secret"}
    assert "cannot be listed (Permission denied). check its perm" in str(found.refused["secret"])


def test_files_that_may_not_be_looked_at_are_refused(
    root: Path, reader: Counting, closed: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(root / "secret/tiger.png")
    scandir = os.scandir
    closed(root / "secret")
    monkeypatch.setattr(os, "scandir", scandir)  # it may be listed, and no more
    assert "may not be looked at" in str(read(root, reader).refused["tiger.png"])


def test_a_file_that_vanishes_after_the_listing_costs_itself_only(
    root: Path, reader: Counting
) -> None:
    for name in ("ant", "lion", "zebra"):
        picture(root / f"{name}.png")
    source = FolderSource(root, reader=reader, config=Config())
    assert source.total() == 3
    (root / "lion.png").unlink()
    found = Taken(list(source.batches({})))
    assert set(found.nodes) == {"zoo/ant.png", "zoo/zebra.png"}
    assert found.refused == {"lion.png": "the file is gone"}


def test_what_belongs_together_is_never_parted_by_a_batch(root: Path, reader: Counting) -> None:
    for i in range(BATCH):
        text(root / f"t{i:03d}.txt", f"Number {i}.")
        text(root / f"t{i:03d}.md", f"Number {i}.")
    found = read(root, reader)
    assert len(found.batches) == 2
    for batch in found.batches:
        stems = [n.id.rpartition(".")[0] for n in batch.nodes]
        assert all(stems.count(stem) == 2 for stem in stems)


def test_a_name_of_two_lines_costs_its_file_only(root: Path, reader: Counting) -> None:
    text(root / "a\nb.txt")
    text(root / "c.txt")
    found = read(root, reader)
    assert set(found.nodes) == {"zoo/c.txt"}
    assert "rename the file" in str(found.refused["a\nb.txt"])


def test_a_name_in_another_encoding_costs_its_file_only(root: Path, kb: gr.Retriever) -> None:
    text(root / "c.txt")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.txt")).write_text("words")
    report = kb.add(root)
    assert [n.id for n in kb.store.nodes("text")] == ["zoo/c.txt"]
    assert report.refused == ((f"{root}/?.txt", "its name is not in UTF-8. rename the file"),)


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(NAMES, min_size=1, max_size=4))
def test_files_of_any_name_come_in_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, reader: Counting, names: list[str]
) -> None:
    root = tmp_path_factory.mktemp("wild")
    written = set()
    for name in names:
        path = root / f"{name}.txt"
        try:
            path.write_text("words", "utf-8")
        except OSError:
            continue
        if not name.startswith("."):
            written.add(path.name)
    found = read(root, reader, collection="c")
    assert len(found.nodes) + len(found.refused) == len(written)


# --- again ----------------------------------------------------------------------------------


def test_unchanged_files_are_not_opened(root: Path, reader: Counting) -> None:
    picture(root / "a/lion.png")
    text(root / "a/lion.txt", "A lion.\nzh.utf8=狮子")
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    first = read(root, reader)
    assert sorted(reader.opened) == ["broken.png", "lion.png", "lion.txt"]
    again = read(root, reader, first.files)
    assert reader.opened == []
    assert again.nodes == {}
    assert set(again.refused) == {"broken.png"}  # still unreadable, and still said


def test_a_changed_picture_is_opened_with_its_text_and_nothing_else(
    root: Path, reader: Counting
) -> None:
    for name in ("lion", "tiger"):
        picture(root / f"{name}.png")
        text(root / f"{name}.txt", f"A {name}.\nzh.utf8=狮")
        sound(root / f"{name}.wav")
    first = read(root, reader)
    picture(root / "lion.png", "blue")
    os.utime(root / "lion.png", ns=(1, 1))
    found = read(root, reader, first.files)
    assert sorted(reader.opened) == ["lion.png", "lion.txt"]
    assert ("zoo/lion.txt#zh", "DESCRIBES", "zoo/lion.png") in found.links
    assert ("zoo/lion.wav", "RELATED_TO", "zoo/lion.png") in found.links


def test_a_picture_that_comes_later_is_described_by_the_text_that_was_there(
    root: Path, reader: Counting
) -> None:
    text(root / "lion.txt")
    first = read(root, reader)
    picture(root / "lion.png")
    found = read(root, reader, first.files)
    assert found.links == {("zoo/lion.txt", "DESCRIBES", "zoo/lion.png")}


def test_a_text_that_cannot_be_read_again_says_nothing_of_a_changed_picture(
    root: Path, reader: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(root / "lion.png")
    text(root / "lion.txt")
    first = read(root, reader)
    picture(root / "lion.png", "blue")
    os.utime(root / "lion.png", ns=(1, 1))
    inspect = Counting.inspect

    def slow(self: Counting, paths: Sequence[Path]) -> list[object]:
        late = TooLarge("decoding it took longer than 60 s")
        found = inspect(self, paths)
        return [late if p.suffix == ".txt" else x for p, x in zip(paths, found, strict=True)]

    monkeypatch.setattr(Counting, "inspect", slow)
    found = read(root, reader, first.files)
    assert set(found.nodes) == {"zoo/lion.png"}
    assert set(found.refused) == {"lion.txt"}
    # what its nodes were made of is remembered
    before = first.files[str(root / "lion.txt")]
    now = found.files[str(root / "lion.txt")]
    assert replace(now, refused=None) == before


# --- through the front door -----------------------------------------------------------------


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[gr.Retriever]:
    with gr.open(tmp_path / "zoo.db") as out:
        yield out


def links(kb: gr.Retriever) -> set[tuple[str, str, str]]:
    return {(e.src, e.type, e.dst) for e in kb.store.edges()}


def test_pruning_removes_what_vanished_and_only_that(root: Path, kb: gr.Retriever) -> None:
    picture(root / "cats/lion.png")
    text(root / "cats/lion.txt")
    picture(root / "cats/tiger.png", "blue")
    kb.add(root)
    (root / "cats/lion.png").unlink()
    assert kb.add(root).removed == 0
    assert kb.store.get(["zoo/cats/lion.png"])[0] is not None
    assert kb.add(root, prune=True).removed == 1
    assert kb.store.get(["zoo/cats/lion.png"])[0] is None
    left = {n.id for n in kb.store.nodes() if n.modality in ("image", "text")}
    assert left == {"zoo/cats/lion.txt", "zoo/cats/tiger.png"}
    picture(root / "cats/lion.png")
    kb.add(root)
    assert ("zoo/cats/lion.txt", "DESCRIBES", "zoo/cats/lion.png") in links(kb)


def test_pruning_keeps_what_may_not_be_looked_at(
    root: Path, kb: gr.Retriever, closed: Callable[[Path], None]
) -> None:
    picture(root / "lion.png")
    picture(root / "secret/tiger.png", "blue")
    kb.add(root)
    closed(root / "secret")
    report = kb.add(root, prune=True)
    assert report.removed == 0
    assert [Path(uri).name for uri, _ in report.refused] == ["secret"]
    assert {n.id for n in kb.store.nodes("image")} == {"zoo/lion.png", "zoo/secret/tiger.png"}


def test_a_changed_texts_lost_fragments_do_not_stay(root: Path, kb: gr.Retriever) -> None:
    text(root / "lion.txt", "A lion sleeps in the sun. " * 60)
    kb.add(root)
    assert sum(1 for _ in kb.store.nodes("text")) >= 3
    text(root / "lion.txt", "A lion.")
    assert kb.add(root).removed >= 3
    assert [n.text for n in kb.store.nodes("text")] == ["A lion."]


def test_a_language_taken_out_of_a_description_does_not_stay(root: Path, kb: gr.Retriever) -> None:
    picture(root / "lion.png")
    text(root / "lion.txt", "A lion.\nzh.utf8=狮子")
    kb.add(root)
    text(root / "lion.txt", "A lion.\nfr.utf8=Un lion.")
    assert kb.add(root).removed == 1
    assert [n.lang for n in kb.store.nodes("text")] == ["en", "fr"]


def test_a_file_that_became_unreadable_keeps_what_it_had(root: Path, kb: gr.Retriever) -> None:
    picture(root / "lion.png")
    text(root / "lion.txt", "A lion.\nzh.utf8=狮子")
    kb.add(root)
    (root / "lion.txt").write_bytes(bytes(range(256)))
    report = kb.add(root)
    assert len(report.refused) == 1
    assert report.removed == 0
    assert [n.lang for n in kb.store.nodes("text")] == ["en", "zh"]


def test_a_changed_picture_keeps_its_curators_links(root: Path, kb: gr.Retriever) -> None:
    for name in ("lion", "dog"):
        picture(root / f"{name}.png")
        text(root / f"{name}.txt", f"A {name}.")
    kb.add(root)
    kb.link("zoo/lion.png", "SHOWN_WITH", "zoo/dog.png")
    picture(root / "lion.png", "blue")
    os.utime(root / "lion.png", ns=(1, 1))
    assert kb.add(root).removed == 0
    assert ("zoo/lion.png", "SHOWN_WITH", "zoo/dog.png") in links(kb)
