"""Full text in any language: trigrams find candidates, whole words and rare ones rank them."""

from __future__ import annotations

import heapq
import json
import math
import re
import sqlite3
from bisect import insort
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

from graphretrieval.folding import STOP_WORDS, fold, is_han, telling, tokens

# enough candidates that the best are among them, few enough to be ranked at once
CANDIDATES = 400
# words of a batch of queries that are looked up once for all
KEPT = 64
#: The tables of words: trigrams of all texts, and what is shorter of Chinese ones.
INDEXES = ("words", "han")
# longer queries say nothing more
MAX_TOKENS = 24
# how much a word inside another is worth: "cat" in "cats", and in "scatter"
PREFIX, INSIDE = 0.6, 0.15


def put(c: sqlite3.Connection, rows: Sequence[tuple[str, str | None, str | None]]) -> None:
    """Keep (id, title, text) searchable, in the caller's transaction."""
    for name, title, text in rows:
        key = c.execute("SELECT key FROM nodes WHERE id = ?", (name,)).fetchone()[0]
        remove(c, key)
        # a line each, so that a match of one of them counts as whole
        words = "\n".join(dict.fromkeys(fold(part) for part in (title, text) if part))
        if words:
            c.execute("INSERT INTO words (rowid, folded) VALUES (?, ?)", (key, words))
        if short := han_grams(words):
            c.execute("INSERT INTO han (rowid, grams) VALUES (?, ?)", (key, short))


def remove(c: sqlite3.Connection, key: int) -> None:
    """Make a node unfindable by words."""
    for index in INDEXES:
        c.execute(f"DELETE FROM {index} WHERE rowid = ?", (key,))


def han_grams(folded: str) -> str:
    """Every character and every pair of them in a text's runs of Chinese, each once."""
    runs = [t for t in tokens(folded, folded=True) if is_han(t)]
    found = (run[i : i + n] for run in runs for n in (1, 2) for i in range(len(run) - n + 1))
    return " ".join(dict.fromkeys(found))


def find(
    c: sqlite3.Connection, queries: Sequence[str], k: int, modality: str | None, lang: str | None
) -> list[list[tuple[str, float]]]:
    """For each query the best (id, score), scores in (0, 1]; ties by id."""
    total = c.execute("SELECT count(*) FROM nodes").fetchone()[0]
    asked = [grams(query) if k > 0 else [] for query in queries]
    having = lru_cache(KEPT)(lambda gram: _having(c, gram, modality, lang))
    return [_find(c, words, [having(g) for g in words], total, k) for words in asked]


def _find(
    c: sqlite3.Connection, asked: Sequence[str], having: Sequence[Sequence[int]], total: int, k: int
) -> list[tuple[str, float]]:
    if not any(having):
        return []
    weights = weigh([len(found) for found in having], total)
    keys: dict[int, float] = {}
    for found, weight in zip(having, weights, strict=True):
        for key in found:
            keys[key] = keys.get(key, 0.0) + weight
    best = _best(c, keys, max(CANDIDATES, 4 * k))
    return ranked(_texts(c, best), dict(zip(asked, weights, strict=True)), k)


def _best(c: sqlite3.Connection, keys: dict[int, float], most: int) -> list[int]:
    """The keys of greatest weight; of equals by id, since keys are each store's own."""
    if len(keys) <= most:
        return list(keys)
    last = heapq.nlargest(most, keys.values())[-1]
    above = [key for key, weight in keys.items() if weight > last]
    level = json.dumps([key for key, weight in keys.items() if weight == last])
    rows = c.execute(
        "SELECT key FROM nodes WHERE key IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?",
        (level, most - len(above)),
    )
    return above + [row[0] for row in rows]


def weigh(counts: Sequence[int], total: int) -> list[float]:
    """How telling each gram is that ``counts`` of ``total`` texts have; one of them is not 0."""
    weights = [math.log(1 + max(1, total) / n) if n else 0.0 for n in counts]
    # a word that is nowhere says as little as the least telling one that is somewhere
    least = min(w for w in weights if w > 0)
    return [w or least for w in weights]


def ranked(
    texts: Sequence[tuple[str, str]], weights: dict[str, float], k: int
) -> list[tuple[str, float]]:
    """The best (id, score) of candidates (id, folded text), scores in (0, 1]; ties by id."""
    if k < 1:
        return []
    total = sum(weights.values())
    covered = cache(lambda token: _covered(token, weights))  # texts say the same words
    there = [(_there(folded, weights) / total, name, folded) for name, folded in texts]
    there.sort(key=lambda item: -item[0])
    scored: list[tuple[float, str]] = []
    for share, name, folded in there:
        if len(scored) == k and share < -scored[-1][0]:
            break  # a text about it alone is worth its share, and none of these has more
        alone = max(_alone(line, covered) for line in folded.split("\n"))
        insort(scored, (-share * (0.8 + 0.2 * alone), name))
        del scored[k:]
    return [(name, -score) for score, name in scored if score < 0]


def lucene(gram: str) -> str:
    """A gram as Lucene's query syntax: anywhere in a word, or a pair of characters as indexed.

    Grams consist of letters and digits alone, so that nothing in them is syntax.
    """
    return gram if is_han(gram) and len(gram) == 2 else f"*{gram}*"


def grams(query: str) -> list[str]:
    """What is looked for: words, and for Han runs their pairs of characters."""
    words = tokens(query)[:MAX_TOKENS]
    content = [w for w in words if w not in STOP_WORDS] or words
    # one or two letters say little beside a word, and have no trigram to be found by
    content = [w for w in content if len(w) > 2 or is_han(w)] or content
    out: list[str] = []
    for word in [part for w in content for part in (telling(w) if is_han(w) else [w])]:
        if is_han(word) and len(word) > 2:
            out += [word[i : i + 2] for i in range(len(word) - 1)]
        else:
            out.append(word)
    return list(dict.fromkeys(out))[: 2 * MAX_TOKENS]


def _having(c: sqlite3.Connection, gram: str, modality: str | None, lang: str | None) -> list[int]:
    where, arguments = "", []
    if modality is not None or lang is not None:
        where = " AND rowid IN (SELECT key FROM nodes WHERE 1"
        if modality is not None:
            where += " AND modality = ?"
            arguments.append(modality)
        if lang is not None:
            where += " AND (lang = ? OR substr(lang, 1, ?) = ?)"
            arguments += [lang, len(lang) + 1, f"{lang}_"]  # type: ignore[list-item]
        where += ")"
    phrase = '"' + gram.replace('"', '""') + '"'
    if len(gram) >= 3:
        sql, first = "SELECT rowid FROM words WHERE words MATCH ?", phrase
    elif is_han(gram):
        sql, first = "SELECT rowid FROM han WHERE han MATCH ?", phrase
    else:
        # no trigram finds it; the index's own copy of the texts is read three times as fast as
        # the index is asked by LIKE
        sql, first = "SELECT id AS rowid FROM words_content WHERE instr(c0, ?)", gram
    return [row[0] for row in c.execute(sql + where, (first, *arguments))]


def _texts(c: sqlite3.Connection, keys: Sequence[int]) -> list[tuple[str, str]]:
    marks = ", ".join("?" * len(keys))
    return c.execute(
        "SELECT n.id, w.folded FROM nodes n JOIN words w ON w.rowid = n.key "
        f"WHERE n.key IN ({marks})",
        list(keys),
    ).fetchall()


def _there(folded: str, weights: dict[str, float]) -> float:
    """How much of the query is in a text, rare words counting more."""
    return sum(weight * _match(gram, folded) for gram, weight in weights.items() if gram in folded)


def _alone(line: str, covered: Callable[[str], float]) -> float:
    """How much of a title or text is what was asked for: by words, and by characters of Han."""
    said = [t for t in tokens(line, folded=True) if t not in STOP_WORDS]
    return sum(map(covered, said)) / max(1, len(said))


def _covered(token: str, weights: dict[str, float]) -> float:
    if not is_han(token):
        return float(any(gram in token or token in gram for gram in weights))
    parts = "".join(telling(token))
    inside = {i for g in weights if g in parts for i in _places(g, parts)}
    return len(inside) / len(parts)


def _places(gram: str, run: str) -> set[int]:
    at = run.find(gram)
    return set(range(at, at + len(gram)))


def _match(gram: str, folded: str) -> float:
    """How well a gram is met by a text that it is in."""
    if is_han(gram):
        return 1.0
    words = re.findall(r"[^\W_]+", folded)
    if gram in words:
        return 1.0
    # an English plural is the same word
    if f"{gram}s" in words or f"{gram}es" in words or (gram.endswith("s") and gram[:-1] in words):
        return 0.9
    return PREFIX if any(w.startswith(gram) for w in words) else INSIDE
