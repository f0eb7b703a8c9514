"""Rows of delimited text: every row is what the file says, or is refused; none is made up."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphretrieval.errors import InputRefused, Undecodable
from graphretrieval.sources.rows import header_of, read_rows

GERMAN = 'id,title,description\n1,Hans Müller,"Das Mädchen, fröhlich"\n2,Der König,Ein Schloß\n'


def table(folder: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def read(path: Path) -> tuple[list[dict[str, object]], dict[int, str]]:
    """Rows, and the reasons of others by line."""
    good, refused = [], {}
    for line, values in read_rows(path):
        if isinstance(values, InputRefused):
            refused[line] = str(values)
        else:
            good.append(values)
    return good, refused


# --- encodings ------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "mac-roman"])
@pytest.mark.parametrize(
    "content",
    [
        GERMAN,
        "id,titre\n1,Une élève âgée à l'été\n2,Café\n",
        "id,título\n1,El niño pequeño en la montaña\n",
        "id,title\n" + "plain words, \n" * 9_000 + "1,Mädchen\n",
    ],
)
def test_a_western_encoding_is_refused_and_never_read_as_chinese(
    tmp_path: Path, encoding: str, content: str
) -> None:
    path = table(tmp_path, content, encoding)
    for reading in (header_of, lambda p: list(read_rows(p))):
        with pytest.raises(Undecodable, match=r"t\.csv is no text in UTF-8.*save it as UTF-8"):
            reading(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_spreadsheets_save_as_unicode_is_read(tmp_path: Path, encoding: str) -> None:
    path = table(tmp_path, GERMAN.replace(",", "\t").replace("\n", "\r\n"), encoding)
    assert header_of(path) == ["id", "title", "description"]
    rows, refused = read(path)
    assert [row["title"] for row in rows] == ["Hans Müller", "Der König"]
    assert refused == {}


def test_a_few_damaged_lines_of_utf_8_are_refused_alone(tmp_path: Path) -> None:
    path = table(tmp_path, "id,a\n1,Löwe\n2,".encode() + b"M\xe4dchen\n3," + "König\n".encode())
    rows, refused = read(path)
    assert [row["a"] for row in rows] == ["Löwe", "König"]
    assert list(refused) == [3]
    assert "save it as UTF-8" in refused[3]


def test_a_utf_16_file_that_was_cut_short_ends_there(tmp_path: Path) -> None:
    content = "id,a\n" + "".join(f"{i},Löwe\n" for i in range(9_000))
    rows, refused = read(table(tmp_path, content.encode("utf-16")[:-1]))
    assert rows[0] == {"id": "0", "a": "Löwe"}
    assert len(refused) == 1
    assert "from line" in next(iter(refused.values()))


# --- cells ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["A lion, asleep. ", "A lion, asleep.\n", '""lion"", '])
def test_a_long_cell_is_one_cell_and_the_rows_after_it_are_rows(tmp_path: Path, words: str) -> None:
    long = words * 20_000
    path = table(tmp_path, f'id,text\n1,"{long}"\n2,Tiger\n3,"A ""big"" elephant"\n')
    limit = csv.field_size_limit()
    rows, refused = read(path)
    assert rows == [
        {"id": "1", "text": long.replace('""', '"')},
        {"id": "2", "text": "Tiger"},
        {"id": "3", "text": 'A "big" elephant'},
    ]
    assert refused == {}
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('2,"' + "long\n" * 500 + '"\n', "more than"),
        ("2," + "long " * 500 + "\n", "more than"),
        ("2" + ",x" * 1_000 + "\n", "more than"),
        ('2,"Tiger\n', "never closed"),
    ],
)
def test_where_a_row_has_no_end_the_table_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str, reason: str
) -> None:
    monkeypatch.setattr("graphretrieval.sources.rows.MAX_LINE", 1_000)
    path = table(tmp_path, f"id,text\n1,Lion\n{row}3,Zebra\n4,Giraffe\n")
    limit = csv.field_size_limit()
    rows, refused = read(path)
    assert rows == [{"id": "1", "text": "Lion"}]
    assert list(refused) == [3]
    assert refused[3].startswith("from line 3 on it cannot be read (")
    assert reason in refused[3]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
def test_the_last_row_may_lack_its_line_end(tmp_path: Path, end: str) -> None:
    rows, refused = read(table(tmp_path, f'id,text\n1,"two\nlines"\n2,"Tiger"{end}'))
    assert [row["text"] for row in rows] == ["two\nlines", "Tiger"]
    assert refused == {}


@pytest.mark.parametrize("header", ["id,title,title", "id,title, title ", 'id,"title",title,'])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(InputRefused, match=r"2 columns called 'title'\. give each a name"):
        header_of(table(tmp_path, f"{header}\n1,Lion,Tiger\n"))


def test_columns_without_a_name_are_passed_over(tmp_path: Path) -> None:
    path = table(tmp_path, "id,,,title\n1,x,y,Lion\n")
    assert header_of(path) == ["id", "", "", "title"]
    assert read(path)[0] == [{"id": "1", "title": "Lion"}]


@pytest.mark.parametrize("content", ['id,"title\n1,Lion\n', b"\xff\xfei"])
def test_a_header_that_does_not_end_is_refused(tmp_path: Path, content: str | bytes) -> None:
    with pytest.raises(InputRefused, match=r"header of t\.csv cannot be read"):
        header_of(table(tmp_path, content))


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(st.tuples(cells, cells), max_size=8),
    encoding=st.sampled_from(["utf-8", "utf-16"]),
)
def test_any_table_written_by_csv_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], encoding: str
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    with path.open("w", encoding=encoding, newline="") as f:
        csv.writer(f, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    found, refused = read(path)
    assert refused == {}
    assert [(row.get("a", ""), row.get("b", "")) for row in found] == rows
