from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from graphretrieval.config import Config
from graphretrieval.errors import ConfigError, InputRefused
from graphretrieval.sources.media import Limits, MediaReader
from graphretrieval.sources.table import TableSource
from graphretrieval.types import Batch, FileStamp


@pytest.fixture(scope="module")
def reader() -> Iterator[MediaReader]:
    with MediaReader(Limits.of(Config()), workers=1) as r:
        yield r


class Taken:
    def __init__(self, batches: list[Batch]) -> None:
        self.nodes = {n.id: n for b in batches for n in b.nodes}
        self.links = [(e.src, e.type, e.dst) for b in batches for e in b.edges]
        self.files = {f.uri: f for b in batches for f in b.files}
        self.refused = {uri: f.refused for uri, f in self.files.items() if f.refused}


def read(
    path: Path,
    reader: MediaReader,
    known: dict[str, FileStamp] | None = None,
    config: Config | None = None,
    **options: object,
) -> Taken:
    source = TableSource(path, reader=reader, config=config or Config(), **options)  # type: ignore[arg-type]
    return Taken(list(source.batches(known or {})))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (4, 4), "red").save(tmp_path / name)
    soundfile.write(tmp_path / "a.wav", np.zeros(8_000, np.float32) + 0.1, 8_000)
    return tmp_path


def table(folder: Path, content: str, encoding: str = "utf-8", name: str = "objects.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode(encoding))
    return path


def test_row_becomes_an_object_described_by_its_text(folder: Path, reader: MediaReader) -> None:
    path = table(
        folder,
        "dc:identifier,dc:title,dc:description,dc:subject,dc:language,dc:rights,image,audio,room\n"
        "12,Lion,A lion roars,animals; cats|Africa,en,CC0,a.png,a.wav,3\n",
    )
    taken = read(path, reader)
    image, sound = taken.nodes["objects/12:image"], taken.nodes["objects/12:audio2"]
    text = taken.nodes["objects/12:description"]
    assert (image.modality, sound.modality, text.text) == ("image", "audio", "A lion roars")
    assert (image.title, image.license, text.lang) == ("Lion", "CC0", "en")
    assert image.properties == {"room": "3"}
    assert image.collection == "objects"
    assert set(taken.links) == {
        (text.id, "DESCRIBES", image.id),
        (text.id, "DESCRIBES", sound.id),
        (sound.id, "RELATED_TO", image.id),
        *(
            (n, "IN_CATEGORY", f"cat:{c}")
            for n in (image.id, sound.id, text.id)
            for c in ("animals", "cats", "Africa")
        ),
    }
    assert taken.nodes["cat:cats"].modality == "category"


def test_several_pictures_in_a_cell(folder: Path, reader: MediaReader) -> None:
    taken = read(table(folder, "id,image,text\nx,a.png;b.png,two\n"), reader)
    assert sorted(taken.nodes) == ["objects/x:image", "objects/x:image2", "objects/x:text"]
    assert len(taken.links) == 2


def test_row_without_media_is_a_text_of_its_own(folder: Path, reader: MediaReader) -> None:
    taken = read(table(folder, "title,text\nT,words\nOnly a title,\n"), reader)
    assert taken.nodes["objects/2:text"].text == "words"
    assert taken.nodes["objects/3:title"].text == "Only a title"
    assert not taken.links


def test_long_text_is_cut_and_each_piece_describes(folder: Path, reader: MediaReader) -> None:
    path = table(folder, f"id,image,text\nx,a.png,{'many words ' * 20}\n")
    taken = read(path, reader, config=Config({"text_fragment": 100}))
    describing = [src for src, kind, _ in taken.links if kind == "DESCRIBES"]
    assert len(describing) >= 3
    assert all("#" in src for src in describing)
    assert taken.nodes["objects/x:text"].modality == "source"


def test_mapping_names_other_columns(folder: Path, reader: MediaReader) -> None:
    path = table(folder, "Bild,Titel,text\na.png,Löwe,x\n")
    taken = read(path, reader, mapping={"image": "Bild", "title": "Titel"}, collection="zoo")
    assert taken.nodes["zoo/2:image"].title == "Löwe"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("sign", [",", "\t", ";"])
def test_encoding_and_delimiter_are_found(
    folder: Path, reader: MediaReader, encoding: str, sign: str
) -> None:
    path = table(folder, f"id{sign}text{sign}lang\n1{sign}一只老虎{sign}zh\n", encoding)
    assert read(path, reader).nodes["objects/1:text"].text == "一只老虎"


def test_quoted_cells_hold_line_ends(folder: Path, reader: MediaReader) -> None:
    path = table(folder, 'id,text\n1,"two\nlines, ""quoted"""\n2,x\n')
    taken = read(path, reader)
    assert taken.nodes["objects/1:text"].text == 'two\nlines, "quoted"'
    assert len(taken.nodes) == 2


def test_refused_file_does_not_take_its_row_with_it(folder: Path, reader: MediaReader) -> None:
    content = "id,image,audio,text\n1,gone.png,,a\n2,../a.png,,b\n3,a.wav,,c\n4,a.png,,d\n"
    taken = read(table(folder, content), reader)
    assert {f"objects/{i}:text" for i in range(1, 5)} <= set(taken.nodes)
    assert [uri.rpartition(":")[2] for uri in taken.refused] == ["2", "3", "4"]
    reasons = list(taken.refused.values())
    assert "gone.png: the file is gone" in reasons[0]
    assert "leads out of the folder" in reasons[1]
    assert "the column says image, the file is audio" in reasons[2]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",,", "no picture, no recording and no text"),
        ("1,x,en", "already"),
        ("9,x,en,more", "4 cells"),
    ],
)
def test_bad_row_is_refused_alone(folder: Path, reader: MediaReader, row: str, reason: str) -> None:
    taken = read(table(folder, f"id,text,lang\n1,first,\n{row}\n2,last,\n"), reader)
    assert set(taken.nodes) == {"objects/1:text", "objects/2:text"}
    assert reason in taken.refused[f"{folder}/objects.csv:3"]


@pytest.mark.parametrize("bad", ["Painting\nOil", "x" * 1100, "a\0b"])
def test_a_category_that_cannot_be_is_left_out_alone(
    folder: Path, reader: MediaReader, bad: str
) -> None:
    content = f'id,text,category\n1,Lion,Cats\n2,Sketch,"{bad};Cats"\n3,Tiger,Cats\n'
    taken = read(table(folder, content), reader)
    texts = {f"objects/{i}:text" for i in "123"}
    assert set(taken.nodes) == {*texts, "cat:Cats"}
    assert set(taken.links) == {(i, "IN_CATEGORY", "cat:Cats") for i in texts}
    assert len(taken.refused) == 1
    assert next(iter(taken.refused.values())).startswith("a category is left out: a node's id")


def test_twenty_pictures_in_a_cell_are_twenty_pictures(folder: Path, reader: MediaReader) -> None:
    names = [f"IMG_20240101_{i:06}.png" for i in range(20)]
    for i, name in enumerate(names):
        Image.new("RGB", (4, 4), (i * 9, 0, 0)).save(folder / name)
    long = "x" * 300 + ".png"
    taken = read(table(folder, f"id,image,text\n1,{';'.join(names)},a\n2,{long},b\n"), reader)
    assert sum(node.modality == "image" for node in taken.nodes.values()) == 20
    assert "objects/2:text" in taken.nodes
    assert list(taken.refused) == [f"{folder}/objects.csv:3"]


def test_table_without_content_names_its_columns(folder: Path, reader: MediaReader) -> None:
    with pytest.raises(InputRefused, match=r"\(inventory, room\)\. say which does"):
        read(table(folder, "inventory,room\n1,2\n"), reader)
    with pytest.raises(InputRefused, match="is empty"):
        read(table(folder, ""), reader)


def test_mapping_to_nothing_is_refused(folder: Path, reader: MediaReader) -> None:
    path = table(folder, "id,text\n1,x\n")
    with pytest.raises(ConfigError, match=r"no column 'Bild'. Its columns: id, text"):
        read(path, reader, mapping={"image": "Bild"})
    with pytest.raises(ConfigError, match=r"no field 'colour'. Fields: id, title"):
        read(path, reader, mapping={"colour": "id"})


def test_only_changed_rows_are_read_again(folder: Path, reader: MediaReader) -> None:
    path = table(folder, "id,image,text\n1,a.png,x\n2,b.png,y\n3,gone.png,z\n")
    first = read(path, reader)
    again = read(path, reader, first.files)
    assert not again.nodes
    assert again.refused == first.refused
    Image.new("RGB", (9, 9)).save(folder / "b.png")
    assert set(read(path, reader, first.files).nodes) == {"objects/2:image", "objects/2:text"}
    table(folder, "id,image,text\n1,a.png,new\n2,b.png,y\n3,gone.png,z\n")
    assert "objects/1:text" in read(path, reader, first.files).nodes
    assert len(read(path, reader, first.files, lang="de").nodes) == 5


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.text(max_size=200) | st.binary(max_size=200), sign=st.sampled_from(",;\t|"))
def test_wild_tables_never_crash(
    tmp_path_factory: pytest.TempPathFactory, reader: MediaReader, body: str | bytes, sign: str
) -> None:
    path = tmp_path_factory.mktemp("wild") / "t.csv"
    raw = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    path.write_bytes(sign.join(["id", "text", "image"]).encode() + b"\n" + raw)
    try:
        taken = read(path, reader)
    except InputRefused:  # the table as a whole
        return
    for node in taken.nodes.values():
        (node.id + (node.text or "")).encode("utf-8")
    here = set(taken.nodes)
    assert all(src in here and dst in here for src, _, dst in taken.links)
