"""Are the named paths the reason? Hits fall further without their path's edge than without another.

For hits of held-out queries the last edge of the named path is left out, and in turn one drawn from
the hit's other edges; both times everything is ranked anew. Where one split has too few queries,
more splits are drawn, each with a model of its own. Run it by

    python -m graphretrieval.explain.study FOLDER --protocol connected --lang en --hits 500
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from graphretrieval import config as settings
from graphretrieval import metrics, registry, render
from graphretrieval.arrays import csr
from graphretrieval.config import Config
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.evaluation import protocols
from graphretrieval.evaluation.protocols import Plan, Trial, kinds_of
from graphretrieval.evaluation.results import Direction
from graphretrieval.explain import deletion
from graphretrieval.protocols import Progress, silent
from graphretrieval.rankers.ways import ways
from graphretrieval.retriever import Retriever, open
from graphretrieval.retriever.asking import node_queries, scorer_of
from graphretrieval.retriever.learn import align, weigh
from graphretrieval.retriever.material import embed
from graphretrieval.retriever.model import Model
from graphretrieval.retriever.query import Found, Posed, Searcher, Term
from graphretrieval.retriever.similar import as_learned
from graphretrieval.retriever.weighing import Gate, gate
from graphretrieval.types import JSON, Array, Graph, Ints
from graphretrieval.types import Path as Way

# hits of one query that are looked at, or more where there are too few queries
PER_QUERY = 5
# splits drawn at most
SPLITS = 10


@dataclass(frozen=True)
class Case:
    """One hit, with its rank as it is, without its path's last edge, and without another edge."""

    query: str
    hit: str
    target: str
    steps: int
    edges: int
    rank: int
    rank_key: int
    rank_other: int
    score: float
    score_key: float
    score_other: float
    gap: float  # between the score and the sum of its parts


@dataclass(frozen=True)
class Study:
    """All cases, and the hits that could not be compared: without a walk, or with one edge only."""

    cases: tuple[Case, ...]
    no_walk: int
    only_edge: int
    seconds: float
    splits: int = 1

    def to_json(self) -> dict[str, JSON]:
        """Shares, the paired tests, and the largest gap between a score and its parts."""
        spent = {"splits": self.splits, "seconds": round(self.seconds, 1)}
        return {**summary(self.cases), **self.left_out(), **spent}

    def __add__(self, other: Study) -> Study:
        return Study(
            self.cases + other.cases,
            self.no_walk + other.no_walk,
            self.only_edge + other.only_edge,
            self.seconds + other.seconds,
            self.splits + other.splits,
        )

    def left_out(self) -> dict[str, int]:
        """Hits that were not compared."""
        return {"no walk": self.no_walk, "only edge": self.only_edge}


def summary(cases: Sequence[Case], *, seed: int = 0) -> dict[str, JSON]:
    """How often a deletion lowers the rank and the score, and the paired tests of it.

    Intervals resample queries, since hits of one query are not independent.
    """
    key = np.array([c.rank_key - c.rank for c in cases])
    other = np.array([c.rank_other - c.rank for c in cases])
    more, less = int((key > other).sum()), int((key < other).sum())
    queries = np.unique([c.query for c in cases], return_inverse=True)[1]
    lowered = _by_query((key > 0).astype(float) - (other > 0), queries)
    falls = _by_query(np.log([c.rank_key / c.rank_other for c in cases]), queries)
    drop = [c.score_key < c.score_other for c in cases]
    means = metrics.resampled_means(lowered, seed=seed, draws=10_000)
    logs = metrics.resampled_means(falls, seed=seed, draws=10_000)
    return {
        "hits": len(cases),
        "queries": len(lowered),
        "lowered by the key edge": float((key > 0).mean()),
        "lowered by another edge": float((other > 0).mean()),
        "difference by query": float(lowered.mean()),
        "ci95": list(metrics.interval(means)),
        "p (bootstrap over queries)": metrics.two_sided(means),
        "falls further by the key edge": more,
        "falls further by another edge": less,
        "p (sign test)": float(binomtest(more, more + less).pvalue) if more + less else 1.0,
        "mean rank lost to the key edge": float(key.mean()),
        "mean rank lost to another edge": float(other.mean()),
        "rank ratio key / other, by query": float(np.exp(falls.mean())),
        "rank ratio ci95": np.exp(metrics.interval(logs)).tolist(),
        "score lower by the key edge than by the other": float(np.mean(drop)),
        "largest gap of parts and score": max(c.gap for c in cases),
    }


def _by_query(values: Sequence[float] | Array, queries: Ints) -> Array:
    """Means of each query's hits."""
    return np.asarray(np.bincount(queries, values) / np.bincount(queries), np.float64)


def study(
    kb: Retriever,
    plan: Plan,
    *,
    hits: int = 500,
    limit_s: float = float("inf"),
    same_relation: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> Study:
    """Compare deletions on hits of a protocol's queries; nothing in the store is changed.

    Args:
        kb: holds the collection; no model is needed.
        plan: protocol and language of the queries.
        hits: how many hits to compare; at most :data:`SPLITS` splits are drawn for them.
        limit_s: stop comparing after so many seconds, with what there is.
        same_relation: draw the other edge among those of the key edge's relation.
        seed: of the first split, the order of queries and the other edges drawn; others follow it.
        progress: called as it goes on.

    Raises:
        NothingToLearn: no hit has a path with an edge, and another edge beside it.
    """
    found: Study | None = None
    for split in range(seed, seed + SPLITS):
        wanted = hits - (len(found.cases) if found else 0)
        left_s = limit_s - (found.seconds if found else 0)
        if found and (wanted <= 0 or left_s <= 0):
            break
        more = compare(
            kb,
            *_learned(kb, plan, split, progress),
            hits=wanted,
            limit_s=left_s,
            same_relation=same_relation,
            seed=split,
            progress=progress,
        )
        found = found + more if found else more
    assert found is not None
    return found


def _learned(kb: Retriever, plan: Plan, seed: int, progress: Progress) -> tuple[Model, Trial]:
    """A split, and what is learned of its training items."""
    graph, nodes = protocols.restricted(kb, plan)
    trial, encoders = protocols.prepare(kb, graph, nodes, plan, seed, progress)
    material = trial.material
    aligned = align(material, encoders, kb.config, seed=seed, progress=progress)
    model = weigh(
        aligned,
        material,
        encoders,
        kb.store,
        kb.config,
        relevance=trial.relevance,
        seed=seed,
        progress=progress,
    )
    return model, trial


def compare(
    kb: Retriever,
    model: Model,
    trial: Trial,
    *,
    hits: int = 500,
    limit_s: float = float("inf"),
    same_relation: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> Study:
    """The comparison on a trial that a model has learned from; arguments as for :func:`study`."""
    material = trial.material
    raw = embed(model, material)
    material = as_learned(model, material, raw)
    scorer = scorer_of(model, material, kb.store, material.messages, raw, trial.hidden)
    index = registry.resolve("index", "exact")
    searcher = Searcher(model, scorer.vectors, kb.store, scorer, index)
    asked = sum(len(d.queries) for d in trial.directions)
    work = _Work(
        searcher,
        trial,
        material.messages,
        raw,
        np.random.default_rng(seed),
        max(PER_QUERY, -(-hits // max(asked, 1))),
        same_relation,
    )
    started = time.perf_counter()
    cases: list[Case] = []
    for case in work.cases():
        cases.append(case)
        progress(len(cases), hits, "deleting edges")
        if len(cases) == hits or time.perf_counter() - started > limit_s:
            break
    if not cases:
        raise NothingToLearn("no hit has a path with an edge and another edge to compare it with")
    seconds = time.perf_counter() - started
    return Study(tuple(cases), work.no_walk, work.only_edge, seconds)


@dataclass
class _Work:
    """Goes through the hits of a trial's queries; counts those that cannot be compared."""

    searcher: Searcher
    trial: Trial
    graph: Graph
    raw: Mapping[str, Array]
    rng: np.random.Generator
    per_query: int
    same_relation: bool
    no_walk: int = 0
    only_edge: int = 0

    def __post_init__(self) -> None:
        self.kept: dict[int, deletion.Without] = {}
        m = len(self.graph.src)
        ends = np.concatenate([self.graph.src, self.graph.dst]).astype(np.int64)
        self.around = csr(len(self.graph.ids), ends, ends, np.ones(2 * m), np.tile(np.arange(m), 2))

    def cases(self) -> Iterator[Case]:
        """Queries of all directions in random order, the best hits of each."""
        asked = [(d, i) for d in self.trial.directions for i in range(len(d.queries))]
        for at in self.rng.permutation(len(asked)):
            d, i = asked[int(at)]
            kind = str(kinds_of(self.trial.material, d)[i])
            try:
                weigher = gate(self.searcher.model, kind, d.target, "instance")
            except NotFitted:
                continue
            yield from self._of_query(d, i, kind, weigher)

    def _of_query(self, d: Direction, i: int, kind: str, weigher: Gate) -> Iterator[Case]:
        scorer, row = self.searcher.scorer, int(d.queries[i])
        rows = np.array([row])
        queries = node_queries(scorer.vectors, rows, kind, self.trial.material.texts)
        anchors = scorer.anchors(queries)
        mask = np.zeros(len(self.graph.ids), np.bool_)
        mask[d.gallery] = True
        walks = scorer.walk(anchors, mask)
        term = Term("node", self.graph.ids[row], 1.0, queries)
        posed = [Posed(term, weigher, anchors, walks, float(scorer.known(anchors)[0]))]
        found = self.searcher.weigh(d.gallery, posed, scorer.parts(queries, d.gallery, anchors))
        for at in np.argsort(-found.score, kind="stable")[: self.per_query]:
            case = self._of_hit(d, found, int(at))
            if case is not None:
                yield case

    def _of_hit(self, d: Direction, found: Found, at: int) -> Case | None:
        posed, row = found.posed[0], int(found.rows[at])
        path = self._named(posed, row)
        key = None if path is None else deletion.key_edge(path)
        if path is None or key is None:
            self.no_walk += 1
            return None
        first = deletion.edge_at(self.graph, key)
        around = self.around.edge[self.around.indptr[row] : self.around.indptr[row + 1]]
        others = np.setdiff1d(around, [first])
        if self.same_relation:
            others = others[self.graph.relation[others] == self.graph.relation[first]]
        if not len(others):
            self.only_edge += 1
            return None
        second = int(self.rng.choice(others))
        parts = sum(float(v[at]) for v in found.parts.values())
        columns = float(found.weighed[:, at].astype(np.float64).sum())
        one, two = (self._after(found, edge) for edge in (first, second))
        score = float(found.score[at])
        return Case(
            query=posed.term.value,
            hit=self.graph.ids[row],
            target=d.target,
            steps=len(path.steps),
            edges=len(around),
            rank=_rank(found.score, at),
            rank_key=_rank(one, at),
            rank_other=_rank(two, at),
            score=score,
            score_key=float(one[at]),
            score_other=float(two[at]),
            gap=max(abs(parts - score), abs(columns - score)),
        )

    def _named(self, posed: Posed, row: int) -> Way | None:
        """The path that an explanation names first among those that have an edge."""
        best = posed.walks.path(0, row)
        if best is None or best.steps:
            return best
        a = posed.anchors
        more = ways(self.searcher.scorer.walker, a.rows, a.weights, a.kinds, row)
        return next((w for w in more if w.steps), None)

    def _after(self, found: Found, edge: int) -> npt.NDArray[np.float64]:
        """Scores of all candidates without an edge."""
        if edge not in self.kept:
            self.kept = dict(list(self.kept.items())[-20:])
            what = deletion.without(self.searcher.model, self.graph, self.raw, edge)
            self.kept[edge] = what
        posed = found.posed[0]
        columns = deletion.columns_without(
            self.searcher.scorer,
            posed.term.queries,
            found.rows,
            posed.anchors,
            found.columns,
            self.kept[edge],
        )
        return self.searcher.weigh(found.rows, found.posed, columns).score


def _rank(scores: npt.NDArray[np.float64], at: int) -> int:
    return 1 + int((scores > scores[at]).sum())


def study_folder(
    folder: Path,
    plan: Plan,
    config: Config,
    *,
    hits: int = 500,
    limit_s: float = float("inf"),
    same_relation: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> Study:
    """Ingest a manifest folder into a store of its own and study it."""
    with (
        tempfile.TemporaryDirectory(prefix="graphretrieval-") as scratch,
        open(Path(scratch) / "study.db", config=config) as kb,
    ):
        kb.add(folder, progress=progress)
        return study(
            kb,
            plan,
            hits=hits,
            limit_s=limit_s,
            same_relation=same_relation,
            seed=seed,
            progress=progress,
        )


def main() -> None:
    """Run the study from the command line; the summary goes to stdout as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="manifest folder")
    parser.add_argument("--protocol", default="connected")
    parser.add_argument("--lang", default="en")
    parser.add_argument("--hits", type=int, default=500)
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds of comparing")
    parser.add_argument("--same-relation", action="store_true", help="of the other edge")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the cases as JSON")
    given = parser.parse_args()
    plan = Plan(given.protocol, lang=given.lang)
    with render.bars() as progress:
        found = study_folder(
            given.folder,
            plan,
            settings.load(None),
            hits=given.hits,
            limit_s=given.limit,
            same_relation=given.same_relation,
            seed=given.seed,
            progress=progress,
        )
    if given.out is not None:
        rows = {**found.to_json(), "cases": [asdict(c) for c in found.cases]}
        given.out.write_text(json.dumps(rows, ensure_ascii=False, indent=1), "utf-8")
    print(json.dumps(found.to_json(), ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
