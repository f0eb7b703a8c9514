"""One hit of one query, explained: asked once more, taken apart, and tried without its edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphretrieval.errors import QueryError, UnknownNode
from graphretrieval.explain import deletion
from graphretrieval.explain.deletion import EdgeKey
from graphretrieval.explain.explanation import Column, Deletion, Explanation, Part
from graphretrieval.explain.saliency import saliency
from graphretrieval.rankers.ways import ways
from graphretrieval.retriever import Retriever
from graphretrieval.retriever.query import PARTS, Found, Posed, content_of
from graphretrieval.retriever.question import Question
from graphretrieval.types import PART_OF, Answer, Array, Hit, Path

PATHS = 5
# so far down ranks are told apart: further, nobody looks
DEPTH = 250


def explain(
    kb: Retriever,
    query: Answer | Mapping[str, Any] | str,
    hit: Hit | str | None = None,
    *,
    edges: Sequence[EdgeKey] = (),
    paths: int = PATHS,
    content: bool = True,
) -> Explanation:
    """Explain one hit of a query.

    Args:
        kb: that answered, or would answer.
        query: its answer, the arguments of :meth:`Retriever.search` by name, or words.
        hit: the hit or its id, any item of a modality asked for; the best hit by default.
        edges: further edges ``(src, type, dst)`` to leave out, beside those of the best path.
        paths: most paths.
        content: also find what of the content counts, which encodes it some dozens of times.

    Raises:
        QueryError: the query found nothing, or the item is not among what could be found.
        UnknownNode: no item has that id.
    """
    asked = _arguments(query)
    with kb.asking(**asked) as question:
        found, posed, vectors = _explained(kb, question, hit, edges, paths)
        model = question.searcher.model
    if not content:
        return found
    # encoding takes seconds: nobody who writes should wait for it
    looked, notes = saliency(kb, model, posed, vectors, found.hit.node)
    return replace(found, saliency=tuple(looked), notes=tuple(notes))


def _arguments(query: Answer | Mapping[str, Any] | str) -> dict[str, Any]:
    if isinstance(query, str):
        return {"text": query}
    if not isinstance(query, Answer):
        return dict(query)
    out: dict[str, Any] = {"target": query.query["target"], "k": query.query["k"]}
    out["diversity"] = query.query.get("diversity", 0.0)
    for term in query.query["terms"]:
        weight = float(term["weight"])
        name = term["kind"] if weight > 0 else "exclude"
        out.setdefault(name, []).append((term["value"], abs(weight)))
    return out | dict(query.query.get("where", {}))


def _explained(
    kb: Retriever,
    question: Question,
    hit: Hit | str | None,
    edges: Sequence[EdgeKey],
    paths: int,
) -> tuple[Explanation, list[Posed], dict[str, Array]]:
    """All but the saliency, and what that needs: the terms and the hit's own vectors."""
    found, target, at = _place(kb, question, hit)
    f = found[target]
    row = int(f.rows[at])
    shown = _hit(kb, question, f, at)
    best = _ways(question, f, row, paths, shown.path)
    before = _rank(kb, question, found, target, at)
    tried = _deletions(kb, question, found, target, at, before, best, edges)
    explained = Explanation(
        query=question.to_json(),
        hit=shown,
        rank=before,
        parts=parts_of(question, f, at),
        ways=tuple(best),
        deletions=tuple(tried),
        saliency=(),
        nodes=_nodes(kb, question, best, tried, shown),
        model=question.live.version,
        revision=question.live.revision,
    )
    vectors = {b: x[row].copy() for b, x in question.searcher.vectors.raw.items()}
    return explained, f.posed, vectors


def _place(
    kb: Retriever, question: Question, hit: Hit | str | None
) -> tuple[dict[str, Found], str, int]:
    """All candidates; the hit's modality and its place among them.

    What the answer itself looked through, or more where the hit is not among these.
    """
    found = question.candidates()
    if hit is None:
        order = question.searcher.order(found, question.k, question.diversity)
        if not order:
            raise QueryError("nothing was found, so there is nothing to explain")
        return found, *order[0]
    name = hit if isinstance(hit, str) else hit.id
    row = question.graph.row.get(name)
    if row is None or kb.store.get([name])[0] is None:
        raise UnknownNode(f"no node is called {name!r}", remedy="check the id of the hit")
    for k in (question.k, DEPTH):
        if k > question.k:
            found = replace(question, k=k).candidates()
        for target, f in found.items():
            at = np.flatnonzero(f.rows == row)
            if len(at):
                return found, target, int(at[0])
    raise QueryError(
        f"{name!r} is not among the candidates of this query",
        remedy="take an id that search lists, and the same target and filters",
    )


def _hit(kb: Retriever, question: Question, f: Found, at: int) -> Hit:
    row = int(f.rows[at])
    node = kb.store.get([question.graph.ids[row]])[0]
    assert node is not None  # _place has looked
    known = [p.walks.path(0, row) for p in f.posed if p.term.weight > 0]
    path = max((w for w in known if w is not None), key=lambda w: w.strength, default=None)
    parts = {name: float(x[at]) for name, x in f.parts.items()}
    source = kb.store.neighbours([node.id], types=[PART_OF], direction="out")[0]
    score, sure = float(f.score[at]), float(f.confidence[at])
    return Hit(node, score, parts, path, sure, source[0].dst if source else None)


def parts_of(question: Question, f: Found, at: int) -> tuple[Part, ...]:
    """The score of one candidate by part, and below each by column and term."""
    columns: dict[str, list[Column]] = {name: [] for name in PARTS}
    for term in range(len(f.posed)):
        for i, name in enumerate(question.searcher.model.columns):
            value, given = float(f.columns[term, at, i]), float(f.weighed[term, at, i])
            weight = given / value if value else 0.0
            part = question.searcher.model.part_of(name)
            columns[part].append(Column(name, term, value, weight, given))
    return tuple(
        Part(name, sum(c.contribution for c in mine), tuple(mine)) for name, mine in columns.items()
    )


def _ways(question: Question, f: Found, row: int, count: int, best: Path | None) -> list[Path]:
    """The best path first, then other strong ones from any of the query's terms."""
    found: list[Path] = []
    for p in f.posed:
        if p.term.weight > 0:
            a = p.anchors
            walker = question.searcher.scorer.walker
            found += ways(walker, a.rows, a.weights, a.kinds, row, count=count)
    found.sort(key=lambda w: -w.strength)
    if best is not None:
        same = [w for w in found if (w.nodes, w.steps) == (best.nodes, best.steps)]
        found = [best, *(w for w in found if w not in same)]
    return found[:count]


def _rank(
    kb: Retriever, question: Question, found: Mapping[str, Found], target: str, at: int
) -> int:
    """The place in the answer, where the same content is shown only once."""
    searcher = question.searcher
    order = searcher.order(found, question.k, question.diversity)
    if (target, at) not in order:
        first = set(order)
        order += [x for x in searcher.order(found, DEPTH) if x not in first]
    if (target, at) not in order:
        return len(order) + 1
    above = order[: order.index((target, at))]
    ids = [question.graph.ids[int(found[t].rows[i])] for t, i in [*above, (target, at)]]
    contents = [content_of(n) if n is not None else (i, None) for i, n in _known(kb, ids)]
    return 1 + len(set(contents[:-1]) - {contents[-1]})


def _known(kb: Retriever, ids: Sequence[str]) -> list[tuple[str, Any]]:
    return list(zip(ids, kb.store.get(ids), strict=True))


def _deletions(
    kb: Retriever,
    question: Question,
    found: Mapping[str, Found],
    target: str,
    at: int,
    before: int,
    best: Sequence[Path],
    edges: Sequence[EdgeKey],
) -> list[Deletion]:
    walked = next((w for w in best if w.steps), None)
    way = deletion.edges_of_path(walked) if walked is not None else []
    roles = {key: "key" if key == way[-1] else "path" for key in reversed(way)}
    roles |= {key: "asked" for key in edges if key not in roles}
    out = []
    for key, role in roles.items():
        after = deletion.found_without(question, found, key)
        rank = _rank(kb, question, after, target, at)
        score = float(found[target].score[at]), float(after[target].score[at])
        out.append(Deletion(key, role, before, rank, *score))
    return out


def _nodes(
    kb: Retriever,
    question: Question,
    best: Sequence[Path],
    tried: Sequence[Deletion],
    hit: Hit,
) -> dict[str, Any]:
    ids = [hit.id, *(n for w in best for n in w.nodes)]
    ids += [end for d in tried for end in (d.edge[0], d.edge[2])]
    ids += [t.value for t in question.terms if t.kind == "node"]
    return {i: n for i, n in _known(kb, list(dict.fromkeys(ids))) if n is not None}
