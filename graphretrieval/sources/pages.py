"""A PDF's title and its text by page; what runs in the child process, on untrusted bytes."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from graphretrieval.errors import InputRefused, TooLarge, Undecodable
from graphretrieval.sources.decode import hash_of
from graphretrieval.sources.limits import Limits

#: The longest books have a few thousand pages; each costs time even if it is empty.
MAX_PAGES = 20_000
# above what prose has: control characters and halves of pairs, from fonts without a table
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffd]")


def pdf_pages(path: Path, limits: Limits) -> tuple[str, str | None, list[str]]:
    """SHA-256, title if the document says one, and the text of each page, blank if it has none.

    Raises:
        TooLarge: the file, its pages or its text exceed the limits.
        Undecodable: it is broken.
        InputRefused: it is encrypted, or has no text at all.
    """
    size = path.stat().st_size
    if size > limits.max_file_bytes:
        raise TooLarge(f"the PDF has {size >> 20} MB", remedy="raise max_file_mb")
    title, pages = _read(path, limits)
    if not any(pages):
        raise InputRefused(
            f"none of its {len(pages)} pages has text: it seems to be scanned",
            remedy="run text recognition (OCR) on it first",
        )
    return hash_of(path), title, pages


def _read(path: Path, limits: Limits) -> tuple[str | None, list[str]]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        document = PdfReader(path)
        if document.is_encrypted and not document.decrypt(""):
            raise InputRefused(
                "the PDF is encrypted with a password", remedy="save it without the password"
            )
        if (count := len(document.pages)) > MAX_PAGES:
            raise TooLarge(f"the PDF has {count} pages, the limit is {MAX_PAGES}")
        return _title(document), _texts(document, limits.max_text_bytes)
    except InputRefused:
        raise
    except MemoryError:
        raise
    except PyPdfError as e:
        raise Undecodable(f"the PDF is broken ({e})") from e
    except Exception as e:  # pypdf lets whatever a broken object leads to pass through
        raise Undecodable(f"the PDF is broken ({type(e).__name__}: {e})") from e


def _texts(document: Any, limit: int) -> list[str]:
    out: list[str] = []
    length = 0
    for page in document.pages:
        text = _clean(page.extract_text())
        length += len(text)
        if length > limit:
            raise TooLarge(
                f"the PDF's text has more than {limit >> 20} MB", remedy="raise max_text_mb"
            )
        out.append(text)
    return out


def _title(document: Any) -> str | None:
    found = document.metadata.title if document.metadata else None
    return _clean(found)[:1000] or None if isinstance(found, str) else None


def _clean(text: str) -> str:
    text = _NO_TEXT.sub("", text)
    # a word divided at a line's end is one word; single line ends are layout, blank lines are not
    text = re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", text)
    return re.sub(r"[ \t]+", " ", text).strip()
