"""Rows of JSONL and CSV files, one at a time with their line numbers; a bad one is refused alone.

Also which files a row may name, those below the folder that the list itself lies in, and what the
stamp of a list or row remembers.
"""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, Self, TypeAlias

from graphretrieval.errors import InputRefused, TooLarge, Undecodable, UnsafePath
from graphretrieval.sources.texts import looks_chinese
from graphretrieval.types import JSON, FileStamp

#: What a file gives for each row: its line, and its values or why it has none.
Row: TypeAlias = tuple[int, "dict[str, JSON] | InputRefused"]

MAX_LINE = 16 << 20  # a row is held in memory at once; the longest met in collections had 200 kB
MAX_DEPTH = 32  # deeper JSON is written by nobody, and exhausts the stack of who reads it
_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16
# csv knows one limit for the whole process
_CELL_LIMIT = threading.Lock()


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a ``.jsonl`` file as JSON objects, of any other as delimited text with a header.

    Raises:
        InputRefused: the file as a whole cannot be read.
    """
    try:
        yield from _jsonl(path) if path.suffix == ".jsonl" else delimited(path)
    except OSError as e:
        raise InputRefused(f"{path.name} cannot be read ({e.strerror})") from e


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as f:
        number = 0
        while line := f.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                _skip_line(f)
                yield number, TooLarge(f"the line has more than {MAX_LINE >> 20} MB")
            elif line.strip(b"\xef\xbb\xbf \t\r\n"):
                yield number, json_object(line.removeprefix(b"\xef\xbb\xbf"))


def _skip_line(f: io.BufferedReader) -> None:
    while (rest := f.readline(MAX_LINE)) and not rest.endswith(b"\n"):
        pass


def json_object(line: bytes) -> dict[str, JSON] | InputRefused:
    """The JSON object that untrusted bytes hold, or why they hold none."""
    try:
        text = line.decode("utf-8")
        if _deep(text):
            return Undecodable(f"its JSON is nested more than {MAX_DEPTH} deep")
        values = json.loads(text, parse_constant=_no_number)
        if "\\u" in text:
            json.dumps(values, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError:
        return Undecodable("the line is not UTF-8")
    except UnicodeEncodeError:
        return Undecodable("the line holds half of a surrogate pair, which is no character")
    except (ValueError, RecursionError) as e:
        return Undecodable(f"the line is not JSON ({e})")
    if not isinstance(values, dict):
        return Undecodable(f"the line is a JSON {type(values).__name__}, not an object")
    return values


def _deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = deepest = 0
    for sign in re.findall(r'[\[{\]}]|"(?:[^"\\]|\\.)*"', text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(sign, 0)
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def delimited(path: Path) -> Iterator[Row]:
    """Rows of a CSV or TSV file by the names in its header; see :func:`encoding_of`.

    Empty cells are left out; cells beyond the header are a reason to refuse the row. Where a row
    cannot be told from the next, one refusal stands for the rest of the file.

    Raises:
        Undecodable: the file is in no encoding that is read.
    """
    header: list[str] | None = None
    for line, cells in _split(path):
        if isinstance(cells, InputRefused):
            yield line, cells
        elif header is None:
            header = [name.strip() for name in cells]
        elif cells:
            yield line, _record(header, cells)


def header_of(path: Path) -> list[str]:
    """The column names of a delimited file.

    Raises:
        InputRefused: the file cannot be read, has none, or has one of them twice.
    """
    try:
        _, cells = next(_split(path), (0, []))
    except OSError as e:
        raise InputRefused(f"the header of {path.name} cannot be read ({e})") from e
    if isinstance(cells, InputRefused):
        raise Undecodable(f"the header of {path.name} cannot be read: {cells}")
    if _damaged(cells):
        raise Undecodable(f"the header of {path.name} is damaged", remedy="save it as UTF-8")
    names = [name.strip() for name in cells]
    if not any(names):
        raise InputRefused(f"{path.name} is empty", remedy="its first line names the columns")
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise InputRefused(
            f"{path.name} has {names.count(twice[0])} columns called {twice[0]!r}",
            remedy="give each a name of its own",
        )
    return names


class _Lines:
    """A file's lines as csv asks for them, of at most ``MAX_LINE`` characters a row."""

    def __init__(self, f: io.TextIOWrapper) -> None:
        self.f = f
        self.begin_row()

    def begin_row(self) -> None:
        """What is asked for next begins a row."""
        self.left, self.within = MAX_LINE, False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self.f.readline(self.left + 1)
        if len(line) > self.left:
            raise csv.Error(f"a row has more than {MAX_LINE >> 20} MB")
        if not line and self.within:  # only a cell in quotes goes on in the next line
            raise csv.Error("a quote that is opened there is never closed")
        if not line:
            raise StopIteration
        self.left -= len(line)
        self.within = True
        return line


def _split(path: Path) -> Iterator[tuple[int, list[str] | InputRefused]]:
    """The cells of each row, the header's first, with the number of the row's last line."""
    encoding = encoding_of(path)
    errors = "surrogatepass" if encoding == "utf-16" else "surrogateescape"
    with path.open(encoding=encoding, errors=errors, newline="") as f:
        lines = _Lines(f)
        first = 1
        try:
            reader = csv.reader(lines, delimiter=_delimiter(f))
            while (cells := _next(reader)) is not None:
                yield reader.line_num, cells
                first = reader.line_num + 1
                lines.begin_row()
        except (csv.Error, UnicodeDecodeError) as e:
            yield first, Undecodable(f"from line {first} on it cannot be read ({e})")


def _next(reader: Iterator[list[str]]) -> list[str] | None:
    """The next row, its cells as long as a row may be."""
    with _CELL_LIMIT:
        former = csv.field_size_limit(MAX_LINE)
        try:
            return next(reader, None)
        finally:
            csv.field_size_limit(former)


def _record(header: list[str], cells: list[str]) -> dict[str, JSON] | InputRefused:
    if len(cells) > len(header):
        return Undecodable(f"the row has {len(cells)} cells, the header {len(header)}")
    if _damaged(cells):
        return Undecodable("the row's bytes do not fit the rest", remedy="save it as UTF-8")
    return {name: cell for name, cell in zip(header, cells, strict=False) if cell and name}


def _damaged(cells: list[str]) -> bool:
    """Whether bytes were left over that make no character."""
    return any("\ud800" <= c <= "\udfff" for cell in cells if not cell.isascii() for c in cell)


def encoding_of(path: Path) -> str:
    """UTF-16 with a mark, UTF-8 or GB18030, whichever a file's first megabyte fits.

    It fits UTF-8 also where few of its lines are damaged, so that their rows are refused alone.

    Raises:
        Undecodable: it fits none.
    """
    with path.open("rb") as f:
        # up to a line's end, so that no character is cut in two
        head = f.read(1 << 20) + f.readline(1 << 20)
    if head.startswith(_MARKS):
        return "utf-16"
    if _mostly_utf8(head):
        return "utf-8-sig"
    try:
        if looks_chinese(head.decode("gb18030")):
            return "gb18030"
    except UnicodeDecodeError:
        pass
    raise Undecodable(
        f"{path.name} is no text in UTF-8, UTF-16 with a mark, or GB18030",
        remedy="save it as UTF-8",
    )


def _mostly_utf8(head: bytes) -> bool:
    """Whether the header and most lines with more than ASCII in them are UTF-8."""
    lines = head.splitlines()
    telling = [line for line in lines if not line.isascii()]
    good = sum(map(_is_utf8, telling))
    return good == len(telling) or (_is_utf8(lines[0]) and good * 2 > len(telling))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _delimiter(f: io.TextIOWrapper) -> str:
    """The likeliest of comma, tab, semicolon and bar, by the header line."""
    line = f.readline(1 << 16)
    f.seek(0)
    return max(",\t;|", key=line.count)


# --- files that rows name -------------------------------------------------------------------


def within(folder: Path, name: str) -> Path:
    """The file ``name`` below ``folder``.

    Raises:
        UnsafePath: the name is absolute, climbs by ``..``, or passes a link that leads out.
    """
    parts = PurePosixPath(name).parts
    if not name.strip() or "\0" in name:
        raise UnsafePath(f"{name!r} is no path")
    if name.startswith(("/", "~")) or ".." in parts or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", name):
        raise UnsafePath(
            f"{name!r} leads out of the folder", remedy="give a path relative to the list itself"
        )
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as e:
        raise UnsafePath(f"{name!r} leads nowhere ({type(e).__name__})") from e
    if not inside:
        raise UnsafePath(f"{name!r} is a link that leads out of the folder")
    return path


def is_file(path: Path) -> bool:
    """Whether a regular file is there; a name too long for one is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def stat_of(path: Path) -> tuple[int, int]:
    """Size and mtime of a file; zeros where there is none."""
    try:
        about = path.stat()
    except (OSError, ValueError):
        return 0, 0
    return about.st_size, about.st_mtime_ns


# --- what stamps remember -----------------------------------------------------------------------


def remembered(mark: str, ids: Iterable[str]) -> str:
    """What a stamp holds in ``sha256``: a mark of what was read, and what was made of it."""
    return "\n".join((mark, *ids))  # no id has a line end


def mark_in(stamp: FileStamp) -> str:
    """The mark of what was read."""
    return stamp.sha256.partition("\n")[0]


def ids_in(stamp: FileStamp | None) -> list[str]:
    """Ids of the nodes that were made of it, as far as they are remembered."""
    return [] if stamp is None else stamp.sha256.split("\n")[1:]


# --- values ---------------------------------------------------------------------------------


def word(values: Mapping[str, Any], key: str) -> str | None:
    """A value that must be text, or a number standing for it; blank counts as absent.

    Raises:
        InputRefused: it is something else.
    """
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InputRefused(f"{key} must be text, not {_shown(value)}")


def words(values: Mapping[str, Any], key: str) -> list[str]:
    """A value that is a text or a list of texts, as a list.

    Raises:
        InputRefused: it is something else.
    """
    value = values.get(key)
    items = value if isinstance(value, list) else [value]
    found = [word({key: item}, key) for item in items]
    return [item for item in found if item is not None]


def number(values: Mapping[str, Any], key: str) -> float | None:
    """A value that must be a finite number of at least 0, or text that reads as one.

    Raises:
        InputRefused: it is not.
    """
    value = values.get(key)
    if value is None or value == "":
        return None
    try:
        found = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = float("nan")
    if not 0 <= found < 1e15:
        raise InputRefused(f"{key} must be a number of at least 0, not {_shown(value)}")
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
