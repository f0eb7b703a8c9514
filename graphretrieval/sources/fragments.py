"""Where long texts and recordings are cut: at sentence ends, and at even lengths."""

from __future__ import annotations

import math
import re

# ends of paragraphs, sentences (English and Chinese), clauses, words: the best that fits is taken
_BREAKS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|[。！？…][”’」』）]*"),
    re.compile(r"(?<=[,;:])\s+|[，；：、]"),
    re.compile(r"\s+"),
)


def cut_text(text: str, longest: int) -> list[tuple[int, int]]:
    """Places ``(start, end)`` of fragments of at most ``longest`` characters, blank edges left out.

    Each ends at the last paragraph end that fills at least half of it, else at a sentence's, a
    clause's or a word's end, else in the middle of a word.
    """
    pieces = []
    start = 0
    while start < len(text):
        end = len(text) if len(text) - start <= longest else _best_break(text, start, longest)
        piece = text[start:end]
        if piece.strip():
            left = len(piece) - len(piece.lstrip())
            pieces.append((start + left, start + len(piece.rstrip())))
        start = end
    return pieces


def _best_break(text: str, start: int, longest: int) -> int:
    window = text[start : start + longest]
    for pattern in _BREAKS:
        ends = [m.end() for m in pattern.finditer(window) if m.end() > longest // 2]
        if ends:
            return start + ends[-1]
    return start + longest


def cut_audio(duration: float, longest: float) -> list[tuple[float, float]]:
    """Even parts ``(start, end)`` in seconds, none longer than ``longest``."""
    n = max(1, math.ceil(duration / longest - 1e-9))
    edges = [round(duration * i / n, 3) for i in range(n + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))
