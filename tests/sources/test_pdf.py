from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfWriter

from graphretrieval.config import Config
from graphretrieval.errors import InputRefused, TooLarge, Undecodable
from graphretrieval.sources import pages
from graphretrieval.sources.media import Limits, MediaReader
from graphretrieval.sources.pdf import PdfSource, pdf_nodes
from graphretrieval.types import Batch, FileStamp


@pytest.fixture(scope="module")
def reader() -> Iterator[MediaReader]:
    with MediaReader(Limits.of(Config()), workers=1) as r:
        yield r


def pdf(texts: list[str], title: str | None = None) -> bytes:
    """A PDF written by hand: a catalogue, a font, and a content stream for each page."""
    n = len(texts)
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(n))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {n} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for i, text in enumerate(texts):
        lines = " T* ".join(f"({line}) Tj" for line in text.split("\n"))
        stream = f"BT /F1 12 Tf 12 TL 20 700 Td {lines} ET" if text else ""
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * i} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append(f"<< /Title ({title or ''}) >>")
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    out += f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n".encode()
    out += f"<< /Size {size} /Root 1 0 R /Info {size - 1} 0 R >>\n".encode()
    return out + f"startxref\n{out.index(b'xref')}\n%%EOF".encode()


def read(
    path: Path,
    reader: MediaReader,
    known: dict[str, FileStamp] | None = None,
    config: Config | None = None,
    **options: str,
) -> Batch:
    source = PdfSource(path, reader=reader, config=config or Config(), **options)
    (batch,) = source.batches(known or {})
    return batch


def refusal(path: Path, reader: MediaReader) -> str:
    batch = read(path, reader)
    assert not batch.nodes
    (stamp,) = batch.files
    assert stamp.refused is not None
    return stamp.refused


def test_pages_become_texts_in_order(tmp_path: Path, reader: MediaReader) -> None:
    path = tmp_path / "guide.pdf"
    path.write_bytes(pdf(["The first page.", "", "The third page."], "Guide to Mosaics"))
    batch = read(path, reader, lang="en", collection="books")
    document, first, third = batch.nodes
    assert (document.id, document.modality) == ("books/guide.pdf", "source")
    assert (document.title, document.properties) == ("Guide to Mosaics", {"pages": 3})
    assert (first.id, first.text) == ("books/guide.pdf#page=1", "The first page.")
    assert (third.id, third.text) == ("books/guide.pdf#page=3", "The third page.")
    assert (third.start, third.end, third.unit, third.lang) == (3.0, 3.0, "page", "en")
    assert third.uri == str(path)
    assert [(e.src, e.type, e.dst) for e in batch.edges] == [
        (first.id, "PART_OF", document.id),
        (third.id, "PART_OF", document.id),
        (first.id, "NEXT", third.id),
    ]


def test_document_without_a_title_is_called_by_its_name(
    tmp_path: Path, reader: MediaReader
) -> None:
    path = tmp_path / "roman_mosaics.pdf"
    path.write_bytes(pdf(["text"]))
    assert read(path, reader).nodes[0].title == "roman mosaics"


def test_long_page_is_cut(tmp_path: Path, reader: MediaReader) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["\n".join(["A sentence of some words."] * 12)]))
    batch = read(path, reader, config=Config({"text_fragment": 120}), collection="c")
    texts = batch.nodes[1:]
    assert len(texts) >= 3
    assert all(len(n.text or "") <= 120 for n in texts)
    assert texts[0].id.startswith("c/a.pdf#page=1:0-")
    assert {n.start for n in texts} == {1.0}
    assert len({n.id for n in texts}) == len(texts)


def test_pages_are_put_into_the_category_given(tmp_path: Path, reader: MediaReader) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["text"]))
    batch = read(path, reader, category="books", collection="c")
    assert ("c/a.pdf#page=1", "IN_CATEGORY", "cat:books") in [
        (e.src, e.type, e.dst) for e in batch.edges
    ]
    assert batch.nodes[-1].id == "cat:books"


def test_unchanged_document_is_not_opened(tmp_path: Path, reader: MediaReader) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["text"]))
    (stamp,) = read(path, reader).files
    again = read(path, reader, {stamp.uri: stamp})
    assert (again.nodes, again.files, again.done) == ((), [], 1)
    path.write_bytes(pdf(["other text"]))
    assert read(path, reader, {stamp.uri: stamp}).nodes


def test_scanned_document_is_refused(tmp_path: Path, reader: MediaReader) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["", ""]))
    assert "none of its 2 pages has text: it seems to be scanned" in refusal(path, reader)
    (stamp,) = read(path, reader).files
    assert read(path, reader, {stamp.uri: stamp}).files == [stamp]


def test_encrypted_document_is_refused(tmp_path: Path, reader: MediaReader) -> None:
    writer = PdfWriter(clone_from=io.BytesIO(pdf(["secret"])))
    writer.encrypt("password", algorithm="RC4-128")
    path = tmp_path / "a.pdf"
    writer.write(path)
    assert "encrypted" in refusal(path, reader)


def test_document_encrypted_without_a_password_is_read(tmp_path: Path, reader: MediaReader) -> None:
    writer = PdfWriter(clone_from=io.BytesIO(pdf(["open to all"])))
    writer.encrypt("", "owner", algorithm="RC4-128")
    path = tmp_path / "a.pdf"
    writer.write(path)
    assert read(path, reader).nodes[1].text == "open to all"


@pytest.mark.parametrize("content", [b"%PDF-1.4\nnothing", b"", b"\x89PNG", b"%PDF-1.4\n" * 500])
def test_broken_document_is_refused(tmp_path: Path, reader: MediaReader, content: bytes) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(content)
    assert "broken" in refusal(path, reader)


def test_missing_document_is_refused(tmp_path: Path, reader: MediaReader) -> None:
    assert "gone" in refusal(tmp_path / "a.pdf", reader)


def test_too_many_pages_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_PAGES", 2)
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["a", "b", "c"]))
    with pytest.raises(TooLarge, match="3 pages, the limit is 2"):
        pages.pdf_pages(path, Limits())


def test_too_much_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["some words"] * 3))
    with pytest.raises(TooLarge, match="text"):
        pages.pdf_pages(path, Limits(max_text_bytes=15))
    with pytest.raises(TooLarge, match="max_file_mb"):
        pages.pdf_pages(path, Limits(max_file_bytes=15))


def test_page_tree_in_a_circle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["text"]).replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]"))
    with pytest.raises(InputRefused):
        pages.pdf_pages(path, Limits())


def test_decompression_bomb_is_refused(tmp_path: Path) -> None:
    import zlib

    bomb = zlib.compress(b"\0" * (90 << 20), 1)
    head = f"<< /Length {len(bomb)} /Filter /FlateDecode >>\nstream\n".encode()
    path = tmp_path / "a.pdf"
    plain = pdf(["text"])
    start, end = plain.index(b"<< /Length"), plain.index(b"endstream")
    path.write_bytes(plain[:start] + head + bomb + b"\n" + plain[end:])
    limits = Limits(memory_mb=120, seconds=10)
    with MediaReader(limits, workers=1) as reader:
        assert "memory" in refusal(path, reader)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.lists(st.tuples(st.integers(0, 900), st.binary(max_size=4)), max_size=6))
def test_damage_anywhere_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, bytes]]
) -> None:
    content = bytearray(pdf(["one", "two"], "t"))
    for place, patch in cuts:
        content[place : place + len(patch)] = patch
    path = tmp_path_factory.mktemp("pdf") / "a.pdf"
    path.write_bytes(content)
    try:
        _, _, texts = pages.pdf_pages(path, Limits())
    except (InputRefused, Undecodable):
        return
    assert any(texts)


def test_ids_of_pages_do_not_depend_on_other_pages() -> None:
    stamp = FileStamp("/a.pdf", 1, 1, "0")
    given = {"id": "d", "title": "T", "collection": "c", "longest": 600}
    nodes, _ = pdf_nodes(["", "b"], stamp, **given)  # type: ignore[arg-type]
    assert nodes[1].id == "d#page=2"
