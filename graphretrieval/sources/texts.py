"""Bytes → text: UTF-8, UTF-16 with a mark, or GB18030, and nothing that only looks like text."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from graphretrieval.errors import TooLarge, Undecodable
from graphretrieval.sources.limits import Limits

# control characters that texts do hold: tab, line ends, form feed
_SPACES = set("\t\n\r\f\v\x85")
_SAMPLE = 50_000


def read_text(path: Path, limits: Limits) -> str:
    """A file's text with ``\\n`` line ends and without a byte order mark.

    Raises:
        TooLarge: more bytes than ``max_text_bytes``.
        Undecodable: the bytes are no text.
    """
    size = path.stat().st_size
    if size > limits.max_text_bytes:
        raise TooLarge(
            f"the text has {size:,} bytes, the limit is {limits.max_text_bytes:,}",
            remedy="cut it up, or raise max_text_mb",
        )
    return text_of(path.read_bytes())


def text_of(data: bytes) -> str:
    """The text that bytes hold.

    Raises:
        Undecodable: they are no text in an encoding that is read, or blank.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = _decoded(data, "utf-16")
    else:
        text = _decoded(data, "utf-8-sig")
        if text is None:
            text = _decoded(data, "gb18030")
            text = text if text is not None and looks_chinese(text) else None
    if text is None or _is_noise(text):
        raise Undecodable(
            "the bytes are no text in UTF-8, UTF-16 with a mark, or GB18030",
            remedy="save it as UTF-8",
        )
    if not text.strip():
        raise Undecodable("the text is blank")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None


def _is_noise(text: str) -> bool:
    """Whether more than one character in a hundred cannot be printed."""
    sample = text[:_SAMPLE]
    odd = sum(not (c.isprintable() or c in _SPACES or c.isspace()) for c in sample)
    return odd * 100 > len(sample)


def looks_chinese(text: str) -> bool:
    """Whether nearly all characters beyond ASCII are among the 7,445 of GB 2312.

    GB18030 gives almost any bytes some meaning, but random ones fall on rare characters.
    """
    beyond = list(islice((c for c in text if c > "\x7f"), _SAMPLE))
    common = len("".join(beyond).encode("gb2312", "ignore")) // 2
    return common * 10 >= len(beyond) * 9
