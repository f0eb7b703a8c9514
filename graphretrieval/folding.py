"""Text as it is compared: case, width and traditional characters folded, words and Han runs."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files

# with the signs for repetition and zero, and the rare characters beyond the first plane
_HAN = r"\u3005\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_IS_HAN = re.compile(rf"[{_HAN}]")
# "one", "this" or "that" with the measure word of what is counted, which says little about it
_MEASURED = re.compile("[一这那][只个条张头匹辆把朵件架艘座本棵片群些种位]")
#: Words that would match nearly every English sentence.
STOP_WORDS = frozenset(
    (
        *("a", "an", "the", "of", "to", "in", "on", "at", "is", "are", "was", "were", "be", "and"),
        *(
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
            "some",
            "something",
        ),
    )
)


def fold(text: str) -> str:
    """NFKC, case folding, simplified characters for traditional ones, white space collapsed."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if _IS_HAN.search(folded):
        folded = folded.translate(_simplified())
    return " ".join(folded.split())


def words(text: str, *, folded: bool = False) -> list[str]:
    """Words and Han runs of a text once it is folded, in order; ``folded`` says that it is."""
    return _token().findall(text if folded else fold(text))


def tokens(text: str, *, folded: bool = False) -> list[str]:
    """Words and Han runs of a text once it is folded, each once, in order."""
    return list(dict.fromkeys(words(text, folded=folded)))


def telling(run: str) -> list[str]:
    """The parts of a Han run that say what it is about: ``一只黑色的猫`` → ``黑色``, ``猫``."""
    return [part for part in _MEASURED.sub("", run).split("的") if part] or [run]


def is_han(token: str) -> bool:
    """Whether a token is written in Chinese characters, without spaces between words."""
    return _IS_HAN.match(token) is not None


@cache
def _token() -> re.Pattern[str]:
    """Runs of Han characters, or words of any other script with the marks on their letters.

    Vowels of Hindi or Thai are marks, which ``\\w`` leaves out.
    """
    marks = "".join(c for c in map(chr, range(0x300, 0x1F000)) if unicodedata.category(c)[0] == "M")
    return re.compile(rf"[{_HAN}]+|[^\W_{_HAN}](?:[^\W_{_HAN}]|[{marks}])*")


@cache
def _simplified() -> dict[int, str]:
    """Traditional → simplified, one character each, from OpenCC's dictionary."""
    table = files("opencc").joinpath("dictionary", "TSCharacters.txt").read_text("utf-8")
    rows = (line.split("\t") for line in table.splitlines() if "\t" in line)
    first = {t: s.split(" ")[0] for t, s in rows if len(t) == 1}
    # 薴 → 苧 → 苎: all forms of a character end at the same one
    return {ord(t): first.get(s, s) for t, s in first.items()}
