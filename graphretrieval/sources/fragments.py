"""Where long texts and recordings are cut: at sentence ends, and into even lengths."""

from __future__ import annotations

import math
import re
import unicodedata
from itertools import pairwise

# ends of paragraphs, sentences (English and Chinese), clauses and words: the first kind that
# leaves a piece at least half full is taken
_BREAKS = (
    re.compile(r"\n\s*\n\s*"),
    re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|[。！？…]+[”’」』）]*\s*"),
    re.compile(r"(?<=[,;:—])\s+|[，；：、]\s*"),
    re.compile(r"\s+"),
)
_JOINER = "\u200d"
_LONGEST_CLUSTER = 32  # code points; a longer run of marks is no character anyone reads


def cut_text(text: str, longest: int) -> list[tuple[int, int]]:
    """Places ``(start, end)`` of pieces of at most ``longest`` characters, in order.

    All that is not blank lies in exactly one piece. Each piece ends at the last paragraph end
    that leaves it at least half full, else at a sentence's, a clause's or a word's end, else
    between two characters as a reader sees them.
    """
    pieces = []
    start = 0
    while start < len(text):
        end = len(text) if len(text) - start <= longest else _break(text, start, longest)
        piece = text[start:end]
        if piece.strip():
            left = len(piece) - len(piece.lstrip())
            pieces.append((start + left, start + len(piece.rstrip())))
        start = end
    return pieces


def cut_audio(duration: float, longest: float) -> list[tuple[float, float]]:
    """Even parts ``(start, end)`` in seconds, none longer than ``longest``."""
    n = max(1, math.ceil(duration / longest - 1e-9))
    edges = [round(duration * i / n, 3) for i in range(n)] + [duration]
    return list(pairwise(edges))


def _break(text: str, start: int, longest: int) -> int:
    window = text[start : start + longest]
    for pattern in _BREAKS:
        ends = [m.end() for m in pattern.finditer(window) if m.end() > longest // 2]
        if ends:
            return start + ends[-1]
    return _between_characters(text, start, start + longest)


def _between_characters(text: str, start: int, end: int) -> int:
    """The last place up to ``end`` that does not part a letter from its marks."""
    for place in range(end, max(start, end - _LONGEST_CLUSTER), -1):
        joined = text[place - 1] == _JOINER or text[place] == _JOINER
        if not joined and not _is_mark(text[place]):
            return place
    return end


def _is_mark(character: str) -> bool:
    skin = "\U0001f3fb" <= character <= "\U0001f3ff"
    return skin or unicodedata.category(character) in ("Mn", "Mc", "Me")
