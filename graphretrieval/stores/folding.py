"""Text as it is compared in full-text search: case, width and character variants folded."""

from __future__ import annotations

import re
import unicodedata

# runs of Han characters, or words of any other script
_TOKEN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+|[^\W_]+", re.UNICODE)
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
#: Words that would match nearly every English sentence.
STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "to",
        "in",
        "on",
        "at",
        "is",
        "are",
        "was",
        "were",
        "be",
        "and",
        "or",
        "for",
        "with",
        "by",
        "from",
        "it",
        "its",
        "this",
        "that",
        "as",
    ]
)


def fold(text: str) -> str:
    """NFKC and case folding, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def tokens(text: str) -> list[str]:
    """Words and Han runs of folded text, each once, in order."""
    return list(dict.fromkeys(_TOKEN.findall(fold(text))))


def is_han(token: str) -> bool:
    """Whether a token is written without spaces between words."""
    return _HAN.match(token) is not None
