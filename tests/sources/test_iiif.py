"""IIIF manifests of both versions become an object with its pictures; nothing is ever fetched."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from graphretrieval.config import Config
from graphretrieval.errors import GraphRetrievalError, InputRefused, TooLarge, Undecodable
from graphretrieval.sources.iiif import IiifSource
from graphretrieval.sources.media import Limits, MediaReader
from graphretrieval.types import Batch, FileStamp, Node

BASE = "https://museum.invalid/iiif"


@pytest.fixture(scope="module")
def reader() -> Iterator[MediaReader]:
    with MediaReader(Limits.of(Config()), workers=1) as r:
        yield r


def three(pictures: list[tuple[str, str]], **more: Any) -> dict[str, Any]:
    """A manifest of version 3 with (label, address) of each canvas."""
    items = [
        {
            "type": "Canvas",
            "label": {"en": [label]},
            "items": [
                {"type": "AnnotationPage", "items": [{"body": {"id": address, "type": "Image"}}]}
            ],
        }
        for label, address in pictures
    ]
    context = "http://iiif.io/api/presentation/3/context.json"
    head = {"@context": context, "id": f"{BASE}/m", "type": "Manifest"}
    return {**head, "label": {"en": ["A herbal"]}, "items": items, **more}


def two(pictures: list[tuple[str, str]], **more: Any) -> dict[str, Any]:
    """The same of version 2."""
    canvases = [
        {"@type": "sc:Canvas", "label": label, "images": [{"resource": {"@id": address}}]}
        for label, address in pictures
    ]
    head = {"@context": "http://iiif.io/api/presentation/2/context.json", "@id": f"{BASE}/m"}
    rest = {"label": "A herbal", "sequences": [{"canvases": canvases}], **more}
    return {**head, "@type": "sc:Manifest", **rest}


def write(folder: Path, document: object) -> Path:
    path = folder / "book.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    return path


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), "red").save(path)


def read(
    path: Path, reader: MediaReader, known: dict[str, FileStamp] | None = None, **options: Any
) -> Batch:
    options.setdefault("collection", "c")
    source = IiifSource(path, reader=reader, config=Config(), **options)
    assert source.total() == 1
    (batch,) = source.batches(known or {})
    return batch


def links(batch: Batch) -> set[tuple[str, str, str]]:
    return {(e.src, e.type, e.dst) for e in batch.edges}


def by_id(batch: Batch) -> dict[str, Node]:
    return {n.id: n for n in batch.nodes}


@pytest.mark.parametrize("version", [two, three])
def test_views_become_pictures_that_are_parts_in_order(
    tmp_path: Path, reader: MediaReader, version: Any
) -> None:
    for name in ("folio-1.jpg", "scans/FOLIO-2.png"):
        picture(tmp_path / name)
    path = write(
        tmp_path,
        version(
            [
                ("1 recto", f"{BASE}/folio-1/full/max/0/default.jpg"),
                ("1 verso", f"{BASE}/scans/folio-2.png?download=1"),
            ]
        ),
    )
    batch = read(path, reader)
    nodes = by_id(batch)
    first, second = "c/book.json#canvas=1", "c/book.json#canvas=2"
    assert nodes["c/book.json"].modality == "source"
    assert nodes["c/book.json"].properties["manifest"] == f"{BASE}/m"
    assert (nodes[first].modality, nodes[first].title) == ("image", "A herbal · 1 recto")
    assert nodes[second].uri == str(tmp_path / "scans/FOLIO-2.png")
    assert links(batch) >= {
        (first, "PART_OF", "c/book.json"),
        (second, "PART_OF", "c/book.json"),
        (first, "NEXT", second),
    }
    assert all(f.refused is None for f in batch.files)


def test_labels_and_summaries_are_a_text_for_each_language(
    tmp_path: Path, reader: MediaReader
) -> None:
    words = {
        "label": {"en": ["A herbal"], "zh": ["本草"]},
        "summary": {"en": ["Plants <b>drawn</b> &amp; named."], "none": ["Herbarius"]},
    }
    batch = read(write(tmp_path, three([], **words)), reader, lang="la")
    texts = {n.lang: n.text for n in batch.nodes if n.modality == "text"}
    assert texts == {"en": "A herbal\nPlants drawn & named.", "zh": "本草", "la": "Herbarius"}
    assert links(batch) == {
        (f"c/book.json#{lang}", "DESCRIBES", "c/book.json") for lang in ("en", "zh", "la")
    }


def test_the_only_picture_is_described_as_well(tmp_path: Path, reader: MediaReader) -> None:
    picture(tmp_path / "a.jpg")
    batch = read(write(tmp_path, three([("", f"{BASE}/a.jpg")])), reader)
    assert ("c/book.json#en", "DESCRIBES", "c/book.json#canvas=1") in links(batch)


@pytest.mark.parametrize("version", [two, three])
def test_rights_credit_and_metadata_are_kept(
    tmp_path: Path, reader: MediaReader, version: Any
) -> None:
    more: dict[str, Any] = {
        "metadata": [{"label": "Date", "value": "<i>1485</i>"}, {"label": "Empty", "value": ""}]
    }
    if version is two:
        more |= {"license": "CC0", "attribution": "The Library"}
    else:
        more |= {"rights": "CC0", "requiredStatement": {"value": {"en": ["The Library"]}}}
    node = by_id(read(write(tmp_path, version([], **more)), reader))["c/book.json"]
    assert node.license == "CC0"
    assert node.properties["Date"] == "1485"
    assert node.properties["attribution"] == "The Library"
    assert "Empty" not in node.properties


def test_a_missing_picture_is_refused_and_not_fetched(
    tmp_path: Path, reader: MediaReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        pytest.fail("something was fetched")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    picture(tmp_path / "b.jpg")
    path = write(tmp_path, three([("1", f"{BASE}/a.jpg"), ("2", f"{BASE}/b.jpg")]))
    batch = read(path, reader)
    (refused,) = [f for f in batch.files if f.refused]
    assert "nothing is fetched" in str(refused.refused)
    assert "c/book.json#canvas=2" in by_id(batch)


def test_a_name_that_leads_out_finds_nothing(tmp_path: Path, reader: MediaReader) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    picture(tmp_path / "secret.jpg")
    (inside / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    pictures = [("1", "../secret.jpg"), ("2", f"file://{tmp_path}/secret.jpg"), ("3", "link.jpg")]
    batch = read(write(inside, three(pictures)), reader)
    assert not [n for n in batch.nodes if n.modality == "image"]


def test_an_unchanged_object_is_not_read_again(tmp_path: Path, reader: MediaReader) -> None:
    picture(tmp_path / "a.jpg")
    path = write(tmp_path, three([("1", f"{BASE}/a.jpg")]))
    known = {f.uri: f for f in read(path, reader).files}
    assert read(path, reader, known).nodes == ()
    view = f"{path}:canvas-1"
    assert len(read(path, reader, {**known, view: FileStamp(view, 1, 1)}).nodes) == 3


def test_what_is_still_missing_or_broken_is_said_again_and_what_others_miss_is_not(
    tmp_path: Path, reader: MediaReader
) -> None:
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    path = write(tmp_path, three([("1", f"{BASE}/a.jpg"), ("2", f"{BASE}/b.jpg")]))
    first = read(path, reader)
    known = {f.uri: f for f in first.files}
    other = FileStamp(f"{tmp_path}/other.json:canvas-1", 0, 0, "", "missing")
    again = read(path, reader, {**known, other.uri: other})
    assert again.nodes == ()
    assert list(again.files) == [f for f in first.files if f.refused] == list(known.values())[1:]
    assert str(again.files[1].refused).startswith("b.jpg: ")
    picture(tmp_path / "a.jpg")  # found at last
    assert "c/book.json#canvas=1" in by_id(read(path, reader, known))


def test_a_picture_that_vanished_is_missed(tmp_path: Path, reader: MediaReader) -> None:
    picture(tmp_path / "a.jpg")
    path = write(tmp_path, three([("1", f"{BASE}/a.jpg")]))
    known = {f.uri: f for f in read(path, reader).files}
    (tmp_path / "a.jpg").unlink()
    (refused,) = [f for f in read(path, reader, known).files if f.refused]
    assert "nothing is fetched" in str(refused.refused)


def test_what_is_no_address_belongs_to_no_file(tmp_path: Path, reader: MediaReader) -> None:
    picture(tmp_path / "f1.png")
    path = write(tmp_path, three([("1", "http://[h/f1.png"), ("2", "http://h/f1.png")]))
    batch = read(path, reader)
    assert [f.uri for f in batch.files if f.refused] == [f"{path}:canvas-1"]
    assert "c/book.json#canvas=2" in by_id(batch)


def test_everything_is_put_into_the_category_given(tmp_path: Path, reader: MediaReader) -> None:
    picture(tmp_path / "a.jpg")
    batch = read(write(tmp_path, three([("1", "a.jpg")])), reader, category="herbals")
    inside = {s for s, t, d in links(batch) if (t, d) == ("IN_CATEGORY", "cat:herbals")}
    assert inside == {"c/book.json#canvas=1", "c/book.json#en"}


@pytest.mark.parametrize(
    ("document", "error", "why"),
    [
        ("{", Undecodable, "cannot be read"),
        ("[]", Undecodable, "cannot be read"),
        ({"type": "Collection"}, InputRefused, "no IIIF manifest"),
        ({}, InputRefused, "no IIIF manifest"),
    ],
)
def test_what_is_no_manifest_is_refused(
    tmp_path: Path, reader: MediaReader, document: object, error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        read(write(tmp_path, document), reader)


def test_a_manifest_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, three([]))
    with MediaReader(Limits(max_text_bytes=10)) as small, pytest.raises(TooLarge, match="bytes"):
        read(path, small)


JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a.jpg", "x", "\0", "en"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "@id", "body", "items", "en", "value"]), inner)
    ),
    max_leaves=8,
)
KEYS = ("label", "summary", "items", "sequences", "metadata", "rights", "requiredStatement", "id")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from(KEYS), JSONS))
def test_any_json_is_read_or_refused(
    tmp_path: Path, reader: MediaReader, wild: dict[str, Any]
) -> None:
    path = write(tmp_path, {"type": "Manifest", **wild})
    try:
        batch = read(path, reader)
    except GraphRetrievalError:
        return
    ids = set(by_id(batch))
    assert all({e.src, e.dst} <= ids for e in batch.edges)
