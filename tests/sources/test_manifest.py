from __future__ import annotations

import json
import os
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
from graphretrieval.sources.manifest import ManifestSource, write_manifest
from graphretrieval.sources.media import Limits, MediaReader
from graphretrieval.sources.records import MEANT
from graphretrieval.types import Batch, Edge, FileStamp, Node


@pytest.fixture(scope="module")
def reader() -> Iterator[MediaReader]:
    with MediaReader(Limits.of(Config()), workers=1) as r:
        yield r


class Taken:
    """Everything a source gave, added up."""

    def __init__(self, batches: list[Batch]) -> None:
        self.nodes = {n.id: n for b in batches for n in b.nodes}
        self.edges = [e for b in batches for e in b.edges]
        self.files = {f.uri: f for b in batches for f in b.files}
        self.refused = {uri: f.refused for uri, f in self.files.items() if f.refused}
        self.links = {(e.src, e.type, e.dst) for e in self.edges}
        self.done = sum(b.done for b in batches)


def read(
    folder: Path,
    reader: MediaReader,
    known: dict[str, FileStamp] | None = None,
    config: Config | None = None,
    **options: object,
) -> Taken:
    source = ManifestSource(folder, reader=reader, config=config or Config(), **options)  # type: ignore[arg-type]
    return Taken(list(source.batches(known or {})))


def manifest(folder: Path, rows: list[object], edges: str = "", categories: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "nodes.jsonl").write_text("\n".join(json.dumps(r) for r in rows) + "\n", "utf-8")
    if edges:
        (folder / "edges.csv").write_text("src,dst,type\n" + edges, "utf-8")
    if categories:
        (folder / "categories.csv").write_text(categories, "utf-8")
    return folder


def picture(path: Path, colour: str = "red") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), colour).save(path)


def text(id: str, words: str = "a dog", **more: object) -> dict[str, object]:
    return {"id": id, "modality": "text", "text": words, **more}


# --- what rows mean -------------------------------------------------------------------------


def test_row_becomes_a_node_with_its_unknown_keys_as_properties(
    tmp_path: Path, reader: MediaReader
) -> None:
    row = text("t", lang="en", license="CC0", title="T", split="train", fold=3)
    node = read(manifest(tmp_path, [row]), reader, collection="c").nodes["t"]
    expected = Node(
        "t",
        "text",
        text="a dog",
        lang="en",
        license="CC0",
        title="T",
        collection="c",
        properties={"split": "train", "fold": 3},
    )
    assert node == expected


def test_picture_is_inspected_and_stamped(tmp_path: Path, reader: MediaReader) -> None:
    picture(tmp_path / "images" / "a.png")
    row = {"id": "im:a", "modality": "image", "path": "images/a.png", "width": 99}
    taken = read(manifest(tmp_path, [row]), reader)
    node = taken.nodes["im:a"]
    assert (node.width, node.height, node.media_type) == (8, 6, "image/png")
    assert node.uri == str(tmp_path / "images" / "a.png")
    assert node.sha256 is not None
    assert len(node.sha256) == 64
    assert node.title is None
    assert taken.files[node.uri].refused is None


def test_source_key_reads_as_collection(tmp_path: Path, reader: MediaReader) -> None:
    rows = [text("a", source="flickr"), text("b"), text("c", source="s", collection="k")]
    nodes = read(manifest(tmp_path / "set", rows), reader).nodes
    assert [nodes[i].collection for i in "abc"] == ["flickr", "set", "k"]
    assert nodes["c"].properties == {"source": "s"}


def test_other_modalities_become_nodes(tmp_path: Path, reader: MediaReader) -> None:
    row = {"id": "obj:1", "modality": "Object", "title": "Mosaic", "date": [115, 150]}
    node = read(manifest(tmp_path, [row]), reader).nodes["obj:1"]
    assert (node.modality, node.title) == ("object", "Mosaic")
    assert node.properties == {"date": [115, 150]}


def test_language_and_category_can_be_given_for_all(tmp_path: Path, reader: MediaReader) -> None:
    taken = read(
        manifest(tmp_path, [text("a"), text("b", lang="zh")]), reader, lang="en", category="pets"
    )
    assert [taken.nodes[i].lang for i in "ab"] == ["en", "zh"]
    assert {("a", "IN_CATEGORY", "cat:pets"), ("b", "IN_CATEGORY", "cat:pets")} <= taken.links


def test_long_text_is_cut_and_its_fragments_describe_what_it_describes(
    tmp_path: Path, reader: MediaReader
) -> None:
    rows = [text("t", "word " * 40, category="dog"), text("s")]
    folder = manifest(tmp_path, rows, "t,s,describes\nt,s,cites\n")
    taken = read(folder, reader, config=Config({"text_fragment": 100}))
    assert taken.nodes["t"].modality == "source"
    pieces = [n for n in taken.nodes.values() if n.start is not None]
    assert len(pieces) == 2
    for piece in pieces:
        assert (piece.id, "PART_OF", "t") in taken.links
        assert (piece.id, "DESCRIBES", "s") in taken.links
        assert (piece.id, "IN_CATEGORY", "cat:dog") in taken.links
    assert ("t", "CITES", "s") in taken.links
    assert ("t", "DESCRIBES", "s") not in taken.links


def test_long_recording_is_cut(tmp_path: Path, reader: MediaReader) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000, np.float32) + 0.1, 8_000)
    folder = manifest(tmp_path, [{"id": "a", "modality": "audio", "path": "a.wav"}])
    taken = read(folder, reader, config=Config({"audio_fragment": 1.0}))
    assert {i: n.modality for i, n in taken.nodes.items()} == {
        "a": "source",
        "a#0-1": "audio",
        "a#1-2": "audio",
    }


def test_text_in_a_file_is_read(tmp_path: Path, reader: MediaReader) -> None:
    (tmp_path / "a.txt").write_text("一只老虎", "utf-8")
    folder = manifest(tmp_path, [{"id": "a", "modality": "text", "path": "a.txt", "lang": "zh"}])
    node = read(folder, reader).nodes["a"]
    assert (node.text, node.lang, node.uri) == ("一只老虎", "zh", str(tmp_path / "a.txt"))


def test_csv_of_nodes_and_jsonl_of_edges_are_read(tmp_path: Path, reader: MediaReader) -> None:
    (tmp_path / "nodes.csv").write_text(
        "\ufeffid,modality,text,lang\na,text,hello,en\nb,text,你好,\n"
    )
    (tmp_path / "edges.jsonl").write_text('{"src": "a", "dst": "b", "type": "same as"}\n')
    taken = read(tmp_path, reader)
    assert taken.nodes["b"].text == "你好"
    assert taken.nodes["b"].lang is None
    assert taken.links == {("a", "SAME_AS", "b")}
    assert ManifestSource(tmp_path, reader=reader, config=Config()).total() == 2


# --- categories and edges -------------------------------------------------------------------


def test_dog_and_cat_dog_are_one_category_and_one_edge(tmp_path: Path, reader: MediaReader) -> None:
    rows = [text("a", category="dog"), text("b", category="cat:dog"), text("c", category="dog")]
    edges = "a,cat:dog,member_of\nb,dog,IN_CATEGORY\n"
    categories = "id,name_en,name_zh,complete\ndog,dog,狗,1\n"
    taken = read(manifest(tmp_path, rows, edges, categories), reader)
    assert sorted((e.src, e.type, e.dst) for e in taken.edges) == [
        (i, "IN_CATEGORY", "cat:dog") for i in "abc"
    ]
    node = taken.nodes["cat:dog"]
    assert (node.modality, node.title, node.text) == ("category", "dog", "dog 狗")
    assert node.properties == {"name_en": "dog", "name_zh": "狗", "complete": "1"}


def test_category_nobody_lists_becomes_a_node(tmp_path: Path, reader: MediaReader) -> None:
    taken = read(manifest(tmp_path, [text("a", category=["sea_waves", "rain"])]), reader)
    assert taken.nodes["cat:sea_waves"].title == "sea waves"
    assert {c for _, _, c in taken.links} == {"cat:sea_waves", "cat:rain"}


def test_unknown_ends_that_begin_with_cat_become_nodes_of_their_kind(
    tmp_path: Path, reader: MediaReader
) -> None:
    edges = (
        "a,cat:place:Emesa,found\na,cat:place:Rome,member_of\na,cat:dog,about\n"
        "cat:dog,animal,subcategory_of\na,cat:text:x,about\n"
    )
    nodes = read(manifest(tmp_path, [text("a")], edges), reader).nodes
    assert (nodes["cat:place:Emesa"].modality, nodes["cat:place:Emesa"].title) == ("place", "Emesa")
    for name in ("cat:place:Rome", "cat:dog", "cat:animal", "cat:text:x"):
        assert nodes[name].modality == "category"


def test_edge_to_nowhere_is_refused(tmp_path: Path, reader: MediaReader) -> None:
    taken = read(manifest(tmp_path, [text("a")], "a,b,describes\na,a,related_to\n"), reader)
    assert taken.links == {("a", "RELATED_TO", "a")}
    assert taken.refused == {f"{tmp_path}/edges.csv:2": "no node has the id 'b', or it was refused"}


def test_edge_keeps_weight_origin_and_status(tmp_path: Path, reader: MediaReader) -> None:
    manifest(tmp_path, [text("a"), text("b")])
    (tmp_path / "edges.csv").write_text(
        "src,dst,type,weight,origin,status\na,b,describes,0.5,user,rejected\n"
        "a,b,x,-1,,\na,b,x,1,,maybe\na,b,9x,1,,\na,b,x,nan,,\n"
    )
    taken = read(tmp_path, reader)
    assert taken.edges == [Edge("a", "DESCRIBES", "b", 0.5, "user", "rejected")]
    reasons = list(taken.refused.values())
    assert [r.partition(" ")[0] for r in reasons] == ["weight", "status", "'9X'", "weight"]


def test_nodes_come_before_edges(tmp_path: Path, reader: MediaReader) -> None:
    rows = [text(f"t{i}", category=f"c{i % 7}") for i in range(1200)]
    edges = "".join(f"t{i},t{1199 - i},describes\n" for i in range(1200))
    source = ManifestSource(manifest(tmp_path, rows, edges), reader=reader, config=Config())
    here: set[str] = set()
    count = 0
    for batch in source.batches({}):
        here |= {n.id for n in batch.nodes}
        assert all(e.src in here and e.dst in here for e in batch.edges)
        assert len(batch.nodes) <= 500
        count += len(batch.edges)
    assert count == 2400


# --- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"modality": "text", "text": "x"}, "no id"),
        ({"id": "a", "text": "x"}, "no modality"),
        ({"id": "a", "modality": "text"}, "neither text nor path"),
        ({"id": "a", "modality": "image"}, "no path"),
        ({"id": "a", "modality": "text", "text": ["x"]}, "text must be text"),
        ({"id": {"a": 1}, "modality": "text", "text": "x"}, "id must be text"),
        ({"id": "a", "modality": "text", "text": "x", "start": -1}, "start must be a number"),
        ({"id": "a\nb", "modality": "text", "text": "x"}, "on one line"),
        ({"id": "a", "modality": "text", "text": "x", "properties": 3}, "JSON object"),
        ({"id": "a", "modality": "text", "text": "\ud800"}, "surrogate"),
        ({"id": "ok", "modality": "text", "text": "x"}, "already"),
        (["not", "an object"], "not an object"),
    ],
)
def test_bad_row_is_refused_alone(
    tmp_path: Path, reader: MediaReader, row: object, reason: str
) -> None:
    taken = read(manifest(tmp_path, [text("ok"), row, text("last")]), reader)
    assert set(taken.nodes) == {"ok", "last"}
    assert list(taken.refused) == [f"{tmp_path}/nodes.jsonl:2"]
    assert reason in taken.refused[f"{tmp_path}/nodes.jsonl:2"]


@pytest.mark.parametrize("bad", ["Painting\nOil", "x" * 1100])
def test_a_category_that_cannot_be_is_left_out_alone(
    tmp_path: Path, reader: MediaReader, bad: str
) -> None:
    picture(tmp_path / "p.png")
    rows = [
        text("a", category="Cats"),
        text("b", category=[bad, "Cats"]),
        {"id": "p", "modality": "image", "path": "p.png", "category": bad},
        text("c", category="Cats"),
    ]
    taken = read(manifest(tmp_path, rows, f'a,"{bad}",in_category\n'), reader)
    assert set(taken.nodes) == {*"abpc", "cat:Cats"}
    assert taken.links == {(i, "IN_CATEGORY", "cat:Cats") for i in "abc"}
    lines = [uri.rpartition("/")[2] for uri in taken.refused]
    assert lines[:2] == ["nodes.jsonl:2", "nodes.jsonl:3"]
    assert all("a node's id must be 1 to 1024" in reason for reason in taken.refused.values())
    # nothing is read again though rows have something to be told of
    again = read(tmp_path, reader, taken.files)
    assert not again.nodes
    assert again.refused == taken.refused


def test_an_address_too_long_for_a_file_does_not_stop_the_rest(
    tmp_path: Path, reader: MediaReader
) -> None:
    long = "/" + "a" * 300
    rows: list[object] = [
        {"id": "o", "modality": "object", "title": "O", "uri": long},
        {"id": "i", "modality": "image", "uri": long},
        {"id": "p", "modality": "image", "path": long[1:]},
        text("last"),
    ]
    taken = read(manifest(tmp_path, rows), reader)
    assert set(taken.nodes) == {"o", "last"}
    assert taken.nodes["o"].properties == {"uri": long}
    assert len(taken.refused) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{broken", "not JSON"),
        (b'{"id": "a", "weight": NaN}', "NaN is no JSON number"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[" * 100_000, "nested more than 32 deep"),
        (b'{"id": "a", "x": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_line_that_is_not_json_is_refused(
    tmp_path: Path, reader: MediaReader, line: bytes, reason: str
) -> None:
    good = json.dumps(text("ok")).encode()
    (tmp_path / "nodes.jsonl").write_bytes(
        good + b"\n" + line + b"\n\n" + good.replace(b"ok", b"z")
    )
    taken = read(tmp_path, reader)
    assert set(taken.nodes) == {"ok", "z"}
    assert reason in taken.refused[f"{tmp_path}/nodes.jsonl:2"]


def test_line_of_enormous_length_is_refused(
    tmp_path: Path, reader: MediaReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphretrieval.sources.rows.MAX_LINE", 1000)
    manifest(tmp_path, [text("a", "x" * 5000), text("b")])
    taken = read(tmp_path, reader)
    assert set(taken.nodes) == {"b"}
    assert "more than" in taken.refused[f"{tmp_path}/nodes.jsonl:1"]


def test_path_that_leads_out_is_refused(tmp_path: Path, reader: MediaReader) -> None:
    picture(tmp_path / "secret.png")
    folder = tmp_path / "set"
    folder.mkdir()
    os.symlink(tmp_path / "secret.png", folder / "link.png")
    os.symlink(tmp_path, folder / "up")
    paths = ["../secret.png", str(tmp_path / "secret.png"), "link.png", "up/secret.png"]
    paths += ["x/../../secret.png", "https://example.org/a.png", "~/a.png", "a\0b"]
    rows: list[object] = [{"id": p, "modality": "image", "path": p} for p in paths[:-1]]
    taken = read(
        manifest(folder, [*rows, {"id": "n", "modality": "image", "path": "a\0b"}]), reader
    )
    assert not taken.nodes
    assert len(taken.refused) == len(paths)
    assert all("leads out" in r for r in list(taken.refused.values())[:-1])
    assert all(uri.startswith(f"{folder}/nodes.jsonl:") for uri in taken.refused)


def test_file_outside_is_believed_only_with_its_hash(tmp_path: Path, reader: MediaReader) -> None:
    picture(tmp_path / "p.png")
    uri = str(tmp_path / "p.png")
    row = {"id": "a", "modality": "image", "uri": uri}
    refused = read(manifest(tmp_path / "one", [row]), reader).refused
    assert "lies outside the folder" in next(iter(refused.values()))
    refused = read(manifest(tmp_path / "two", [{**row, "sha256": "0" * 64}]), reader).refused
    assert "the file has changed" in next(iter(refused.values()))


def test_damaged_and_missing_files_are_refused_by_name(tmp_path: Path, reader: MediaReader) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG nothing")
    picture(tmp_path / "sound.png")
    rows: list[object] = [
        {"id": "a", "modality": "image", "path": "bad.png"},
        {"id": "b", "modality": "image", "path": "gone.png"},
        {"id": "c", "modality": "audio", "path": "sound.png"},
        text("d"),
    ]
    taken = read(manifest(tmp_path, rows, "d,a,describes\n"), reader)
    assert set(taken.nodes) == {"d"}
    assert taken.refused[f"{tmp_path}/bad.png"].startswith("the name ends in .png")
    assert "gone" in taken.refused[f"{tmp_path}/gone.png"]
    assert "says audio" in taken.refused[f"{tmp_path}/nodes.jsonl:3"]
    assert "'a'" in taken.refused[f"{tmp_path}/edges.csv:2"]


def test_folder_without_a_list_says_what_is_missing(tmp_path: Path, reader: MediaReader) -> None:
    with pytest.raises(InputRefused, match=r"neither nodes\.jsonl nor nodes\.csv"):
        read(tmp_path, reader)


def test_edges_without_columns_are_refused_with_those_found(
    tmp_path: Path, reader: MediaReader
) -> None:
    manifest(tmp_path, [text("a")])
    (tmp_path / "edges.csv").write_text("from,to\na,a\n")
    reason = read(tmp_path, reader).refused[f"{tmp_path}/edges.csv"]
    assert reason == "edges.csv has no column dst, src, type; its columns: from, to"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
keys = st.sampled_from(sorted(MEANT)) | st.text(max_size=6)
wild_rows = st.dictionaries(keys, values, max_size=6) | st.builds(
    lambda row, m: {"id": "i", "modality": m, **row},
    st.dictionaries(keys, values, max_size=4),
    st.sampled_from(["text", "image", "object", "category", "Source"]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(wild_rows, max_size=6), edges=st.text(max_size=80))
def test_wild_rows_are_taken_or_refused_but_never_stop_the_rest(
    tmp_path_factory: pytest.TempPathFactory,
    reader: MediaReader,
    rows: list[dict[str, object]],
    edges: str,
) -> None:
    folder = tmp_path_factory.mktemp("wild")
    manifest(folder, [*rows, text("the last")])
    (folder / "edges.csv").write_bytes(
        b"src,dst,type\n" + edges.encode("utf-8", "surrogatepass") + b"\nthe last,the last,SELF\n"
    )
    taken = read(folder, reader)
    assert "the last" in taken.nodes
    lines = [uri for uri in taken.refused if "nodes.jsonl:" in uri]
    pieces = {e.src for e in taken.edges if e.type == "PART_OF"}
    whole = [i for i in taken.nodes if i not in pieces and not i.startswith("cat:")]
    categories = sum(str(r.get("modality", "")).strip().lower() == "category" for r in rows)
    assert len(rows) + 1 - categories <= len(lines) + len(whole) + categories
    for node in taken.nodes.values():
        json.dumps(dict(node.properties)).encode("utf-8")
        (node.text or "").encode("utf-8")


# --- again ----------------------------------------------------------------------------------


class Counting(MediaReader):
    """Counts what it is asked to decode."""

    opened = 0

    def inspect(self, paths):  # type: ignore[no-untyped-def]
        self.opened += len(paths)
        return super().inspect(paths)


@pytest.fixture(scope="module")
def counting() -> Iterator[Counting]:
    with Counting(Limits.of(Config()), workers=1) as r:
        yield r


def collection(folder: Path) -> list[object]:
    rows: list[object] = [text("t")]
    for name in "abc":
        picture(folder / f"{name}.png", {"a": "red", "b": "green", "c": "blue"}[name])
        rows.append({"id": name, "modality": "image", "path": f"{name}.png"})
    rows.append({"id": "bad", "modality": "audio"})
    manifest(folder, rows, "t,a,describes\n")
    return rows


def test_nothing_is_read_when_nothing_changed(tmp_path: Path, counting: Counting) -> None:
    collection(tmp_path)
    first = read(tmp_path, counting)
    counting.opened = 0
    again = read(tmp_path, counting, first.files)
    assert (counting.opened, len(again.nodes), len(again.edges)) == (0, 0, 0)
    assert again.refused == first.refused
    assert again.done == 5


def test_only_changed_media_are_decoded_when_the_list_changed(
    tmp_path: Path, counting: Counting
) -> None:
    rows = collection(tmp_path)
    known = read(tmp_path, counting).files
    picture(tmp_path / "b.png", "white")
    rows[-1] = text("good")
    manifest(tmp_path, rows, "t,a,describes\nt,b,describes\n")
    counting.opened = 0
    again = read(tmp_path, counting, known)
    assert counting.opened == 1
    assert set(again.nodes) == {"t", "b", "good"}
    assert again.links == {("t", "DESCRIBES", "a"), ("t", "DESCRIBES", "b")}
    # the row that was refused is no longer remembered as such
    assert again.files[f"{tmp_path}/nodes.jsonl:5"].refused is None


def test_changed_picture_is_noticed_though_the_list_is_the_same(
    tmp_path: Path, counting: Counting
) -> None:
    collection(tmp_path)
    known = read(tmp_path, counting).files
    picture(tmp_path / "b.png", "white")
    assert "b" in read(tmp_path, counting, known).nodes
    (tmp_path / "c.png").unlink()
    assert "gone" in read(tmp_path, counting, known).refused[f"{tmp_path}/c.png"]


def test_missing_picture_is_taken_once_it_is_there(tmp_path: Path, counting: Counting) -> None:
    collection(tmp_path)
    (tmp_path / "b.png").unlink()
    known = read(tmp_path, counting).files
    assert f"{tmp_path}/b.png" in read(tmp_path, counting, known).refused
    picture(tmp_path / "b.png")
    assert "b" in read(tmp_path, counting, known).nodes


def test_cut_short_run_passes_over_media_it_had_read(tmp_path: Path, counting: Counting) -> None:
    collection(tmp_path)
    first = next(iter(ManifestSource(tmp_path, reader=counting, config=Config()).batches({})))
    counting.opened = 0
    again = read(tmp_path, counting, {f.uri: f for f in first.files})
    assert counting.opened == 0
    assert again.links == {("t", "DESCRIBES", "a")}


def test_other_settings_read_everything_again(tmp_path: Path, counting: Counting) -> None:
    collection(tmp_path)
    known = read(tmp_path, counting).files
    assert set(read(tmp_path, counting, known, collection="new").nodes) == {"t", "a", "b", "c"}


# --- writing --------------------------------------------------------------------------------


def test_written_manifest_reads_back_to_the_same_graph(tmp_path: Path, reader: MediaReader) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000, np.float32) + 0.1, 8_000)
    picture(tmp_path / "p.png")
    rows = [
        text("t", "long words " * 20, category="dog", license="CC0"),
        text(
            "s",
            ' "quoted",\u2028 线 ',
            lang="zh",
            collection=None,
            properties={"path": 1, "id": "x"},
        ),
        {"id": "a", "modality": "audio", "path": "a.wav", "fold": 1},
        {"id": "p", "modality": "image", "path": "p.png", "source": "x"},
        {"id": "o", "modality": "object", "title": "O", "uri": "https://example.org/o"},
    ]
    manifest(tmp_path, rows, 's,p,describes\no,p,"depicts"\n', "id,name_en,name_zh\ndog,dog,狗\n")
    config = Config({"audio_fragment": 1.0, "text_fragment": 100})
    first = read(tmp_path, reader, config=config)
    assert not first.refused
    edges = [*first.edges, Edge("s", "RELATED_TO", "a", 0.1 + 0.2, "model", "proposed")]
    write_manifest(tmp_path / "out", iter(first.nodes.values()), iter(edges))
    again = read(tmp_path / "out", reader, config=config)
    assert not again.refused
    assert again.nodes == first.nodes
    key = lambda e: (e.src, e.type, e.dst)  # noqa: E731
    assert sorted(again.edges, key=key) == sorted(edges, key=key)


def test_files_inside_the_written_folder_are_named_by_path(tmp_path: Path) -> None:
    inside = Node("p", "image", uri=str(tmp_path / "p.png"), sha256="0")
    write_manifest(tmp_path, [inside], [])
    row = json.loads((tmp_path / "nodes.jsonl").read_text())
    assert row["path"] == "p.png"
    assert "uri" not in row


def test_a_manifest_is_never_overwritten(tmp_path: Path) -> None:
    write_manifest(tmp_path, [], [])
    with pytest.raises(ConfigError, match=r"holds a manifest already.*name a new folder"):
        write_manifest(tmp_path, [], [])


graph_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    ids=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1).filter(
            str.strip
        ),
        unique=True,
        min_size=1,
        max_size=4,
    ),
    title=graph_text.filter(str.strip),
    properties=st.dictionaries(graph_text, st.integers() | graph_text, max_size=3),
    weight=st.floats(0, 1e6),
)
def test_any_text_node_survives_the_way_out_and_back(
    tmp_path_factory: pytest.TempPathFactory,
    reader: MediaReader,
    ids: list[str],
    title: str,
    properties: dict[str, object],
    weight: float,
) -> None:
    folder = tmp_path_factory.mktemp("out") / "m"
    nodes = [Node(i, "text", title=title, text=title, properties=properties) for i in ids]
    edges = [Edge(ids[0], "DESCRIBES", i, weight) for i in ids]
    write_manifest(folder, nodes, edges)
    taken = read(folder, reader)
    assert taken.nodes == {n.id: n for n in nodes}
    assert sorted(taken.links) == sorted((e.src, e.type, e.dst) for e in edges)
    assert {e.weight for e in taken.edges} == {weight}


# --- real collections -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "refused"),
    [("everyday_tri", 4327 + 20, 6867, 0), ("museum_getty_mosaics", 301 - 2 + 84, 484 - 2, 4)],
)
def test_real_collection_comes_in_whole(
    data: Path, reader: MediaReader, name: str, nodes: int, edges: int, refused: int
) -> None:
    taken = read(data / name, reader, config=Config({"text_fragment": 10_000}))
    assert (len(taken.nodes), len(taken.edges), len(taken.refused)) == (nodes, edges, refused)


def test_the_mosaics_133_unknown_ends_become_places_and_cultures(
    data: Path, reader: MediaReader
) -> None:
    taken = read(data / "museum_getty_mosaics", reader)
    new = {i: n.modality for i, n in taken.nodes.items() if i.startswith("cat:")}
    assert sum(e.dst in new for e in taken.edges) == 133
    assert sorted(set(new.values())) == ["culture", "place"]
