"""Named ways of asking how good retrieval is, each saying which question the graph answers.

inductive   test items arrive without any edge; the gallery is the other test items
few-labels  some training items per category and modality keep their category; the others are only
            linked; test items have no edges
connected   the gallery is the whole database with its edges; the query is a description taken out
links       a fold of the edges of every relation is hidden; rank the missing ends
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval import splits
from graphretrieval.config import Config
from graphretrieval.errors import NotFitted, NothingToLearn, QueryError
from graphretrieval.evaluation import missing
from graphretrieval.evaluation.calibration import Told, calibration
from graphretrieval.evaluation.connected import Asked, connected
from graphretrieval.evaluation.controls import (
    CONTROLS,
    NO_COOCCURRENCE,
    NOISE,
    controlled,
    learned_from,
)
from graphretrieval.evaluation.links import link_runs
from graphretrieval.evaluation.results import (
    FUSED,
    Answered,
    Direction,
    Result,
    Row,
    comparisons,
    measured,
    summary,
)
from graphretrieval.evaluation.slices import check, slices
from graphretrieval.protocols import Progress, silent
from graphretrieval.retriever import Retriever, corpus, open
from graphretrieval.retriever.asking import node_queries, scorer_of
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.learn import align, weigh
from graphretrieval.retriever.material import Material, embed
from graphretrieval.retriever.model import Model
from graphretrieval.retriever.similar import as_learned
from graphretrieval.retriever.weighing import gate
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import IN_CATEGORY, JSON, Array, Graph, Ints, Node

PROTOCOLS = ("inductive", "few-labels", "connected", "links")
TEST_SHARE = 0.2
# asked at once: bounds what their columns hold in memory
QUERIES = 64
#: What only some protocols take.
_TAKEN_BY: Mapping[str, tuple[str, ...]] = {
    "relevance": ("inductive", "few-labels"),
    "labels": ("few-labels",),
    "hide_lang": ("connected",),
    "undescribed": ("connected",),
    "missing": PROTOCOLS[:-1],
    "calibration": PROTOCOLS[:-1],
    "slices": PROTOCOLS[:-1],
    "parts": PROTOCOLS[:-1],
}


@dataclass(frozen=True)
class Plan:
    """What to measure; see the command line's help for each."""

    protocol: str = "inductive"
    relevance: str | None = None
    labels: int = 10
    complete_categories: bool = False
    lang: str | None = None
    hide_lang: tuple[str, ...] = ()
    undescribed: float = 0.0
    missing: float = 0.0
    controls: bool = False
    noise: bool = False
    slices: tuple[str, ...] = ()
    parts: bool = False
    calibration: bool = False
    seeds: int = 1

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise QueryError(
                f"there is no protocol {self.protocol!r}",
                remedy=f"choose from {', '.join(PROTOCOLS)}",
            )
        if self.relevance not in (None, "category", "instance"):
            raise QueryError(
                f"relevance {self.relevance!r} is unknown", remedy="choose category or instance"
            )
        if not 0 <= self.missing < 1:
            raise QueryError(
                f"{self.missing} is no share of content that could be missing",
                remedy="give a number from 0 to below 1",
            )
        if not 0 <= self.undescribed <= 1:
            raise QueryError(
                f"{self.undescribed} is no share of a gallery that could be undescribed",
                remedy="give a number from 0 to 1",
            )
        for name in ("seeds", "labels"):
            if getattr(self, name) < 1:
                raise QueryError(f"{name} is {getattr(self, name)}", remedy="give at least 1")
        for row in fields(self):
            given, takers = getattr(self, row.name), _TAKEN_BY.get(row.name, PROTOCOLS)
            if given != row.default and self.protocol not in takers:
                shown = ",".join(given) if isinstance(given, tuple) else given
                raise QueryError(
                    f"the protocol {self.protocol} does not take {row.name} (given: {shown})",
                    remedy=f"leave it out, or choose from {', '.join(takers)}",
                )


@dataclass(frozen=True)
class Trial:
    """One split, ready to be learned on and scored.

    ``material`` is what learning may see, ``hidden`` the graph rows that it may not, ``lost`` those
    whose content is missing.
    """

    material: Material
    hidden: Ints
    directions: list[Direction]
    relevance: str
    lost: Ints


@dataclass(frozen=True)
class Scored:
    """A direction's score matrix ``(q, g)`` by one method, and how sure it is said to be of each.

    Columns alone say nothing of that.
    """

    direction: Direction
    method: str
    scores: Array = field(repr=False)
    sure: Array | None = field(default=None, repr=False)


def evaluate_folder(
    folder: Path, plan: Plan, config: Config, *, progress: Progress = silent
) -> Result:
    """Ingest a manifest folder into a store of its own and measure on it."""
    with (
        tempfile.TemporaryDirectory(prefix="graphretrieval-") as scratch,
        open(Path(scratch) / "evaluate.db", config=config) as kb,
    ):
        kb.add(folder, progress=progress)
        return evaluate(kb, plan, data=folder.name, progress=progress)


def evaluate(
    kb: Retriever, plan: Plan, *, data: str | None = None, progress: Progress = silent
) -> Result:
    """Measure by a plan on what a store holds; nothing in the store is changed.

    Raises:
        NothingToLearn: the plan leaves no queries, or nothing to learn from.
        QueryError: slices are asked for by what no item has.
    """
    started = time.perf_counter()
    graph, nodes = restricted(kb, plan)
    check(plan.slices, nodes.values())
    rows: list[dict[str, JSON]] = []
    sure: list[dict[str, JSON]] = []
    answered: dict[str, list[list[Answered]]] = {}
    for seed in range(plan.seeds):
        runs: Iterator[_Run] = (
            ((*run, []) for run in link_runs(kb, graph, _controls(plan), seed, progress))
            if plan.protocol == "links"
            else _runs(kb, graph, nodes, plan, seed, progress)
        )
        for control, found, told in runs:
            rows += [{**row, "control": control, "seed": seed} for row, _ in found]
            sure += [{**row, "control": control, "seed": seed} for row in told]
            answered.setdefault(control, []).append([d for _, d in found if d is not None])
    if not rows:
        raise NothingToLearn("no direction has queries with right answers in this collection")
    protocol = {name: value for name, value in vars(plan).items() if value is not None}
    return Result(
        data or str(kb.path),
        {"name": plan.protocol, **protocol},
        rows,
        {control: summary(each) for control, each in answered.items()},
        comparisons(answered),
        sure,
        time.perf_counter() - started,
        _peak_mb(),
    )


# a control, its rows, and those of its calibration
_Run = tuple[str, list[Row], list[dict[str, JSON]]]


def _runs(
    kb: Retriever,
    graph: Graph,
    nodes: Mapping[int, Node],
    plan: Plan,
    seed: int,
    progress: Progress,
) -> Iterator[_Run]:
    trial, encoders = prepare(kb, graph, nodes, plan, seed, progress)
    truth = align(trial.material, encoders, kb.config, seed=seed, progress=progress)
    for control in _controls(plan):
        material, config = controlled(trial.material, kb.config, control, seed)
        aligned = truth
        if plan.protocol == "few-labels":  # labels travel along edges before messages do
            learned = learned_from(material, trial.material)
            if learned is not material:
                material = learned
                aligned = align(material, encoders, kb.config, seed=seed, progress=progress)
        model = weigh(
            aligned,
            material,
            encoders,
            kb.store,
            config,
            relevance=trial.relevance,
            seed=seed,
            progress=progress,
        )
        rows: list[Row] = []
        told: list[Told] = []
        for found in scored(kb, model, material, trial, parts=plan.parts):
            rows += _rows(plan, found, trial, graph, nodes)
            if plan.calibration and found.sure is not None:
                told.append(Told.of(found.direction, found.scores, found.sure))
        yield control, rows, list(calibration(told))


def _controls(plan: Plan) -> tuple[str, ...]:
    controls = CONTROLS if plan.controls else CONTROLS[:1]
    if plan.controls and plan.protocol == "links":
        controls = (*controls, NO_COOCCURRENCE)
    return (*controls, *(NOISE if plan.noise else ()))


def _relevance(plan: Plan) -> str:
    given = "category" if plan.protocol in ("inductive", "few-labels") else "instance"
    return plan.relevance or given


def prepare(
    kb: Retriever,
    graph: Graph,
    nodes: Mapping[int, Node],
    plan: Plan,
    seed: int,
    progress: Progress = silent,
) -> tuple[Trial, dict[str, Any]]:
    """Split by the plan and encode: encoders are fitted on what stays visible."""
    places = Places.of(graph)
    make = {
        "inductive": _inductive,
        "few-labels": _few_labels,
        "connected": _connected,
    }[plan.protocol]
    seen, hidden, directions, relevance = make(graph, places, nodes, plan, seed)
    visible = np.ones(len(graph.ids), np.bool_)
    visible[hidden] = False
    with MediaReader(Limits.of(kb.config)) as reader:
        material, encoders = kb.material(seen, visible, reader, seed, progress)
    lost = missing.lost(directions, plan.missing, seed)
    if len(lost):
        material = missing.without_content(material, lost)
        directions = missing.asked_with(directions, lost)
    return Trial(material, hidden, directions, relevance, lost), encoders


def scored(
    kb: Retriever, model: Model, material: Material, trial: Trial, *, parts: bool = False
) -> Iterator[Scored]:
    """Each direction's scores; with ``parts``, each column's own too."""
    raw = embed(model, material)
    material = as_learned(model, material, raw)
    scorer = scorer_of(model, material, kb.store, material.messages, raw, trial.hidden)
    for d in trial.directions:
        asks_as = kinds_of(material, d)
        kinds = [str(kind) for kind in np.unique(asks_as)]
        try:
            weighers = {k: gate(model, k, d.target, trial.relevance) for k in kinds}
        except NotFitted:
            continue
        names = [FUSED, *model.columns] if parts else [FUSED]
        scores = np.empty((len(names), len(d.queries), len(d.gallery)), np.float32)
        sure = np.empty(scores.shape[1:], np.float32)
        for kind, at in _blocks(asks_as):
            queries = node_queries(scorer.vectors, d.queries[at], kind, material.texts)
            anchors = scorer.anchors(queries)
            columns = scorer.parts(queries, d.gallery, anchors)  # (q, g, p)
            for i, known in enumerate(scorer.known(anchors)):
                weighed, sure[at[i]] = weighers[kind].weigh(columns[i], float(known))
                scores[0, at[i]] = weighed.sum(axis=1)
            if parts:
                scores[1:, at] = np.moveaxis(columns, 2, 0)
        for name, matrix in zip(names, scores, strict=True):
            yield Scored(d, name, matrix, sure if name == FUSED else None)


def kinds_of(material: Material, d: Direction) -> npt.NDArray[np.str_]:
    """What each query asks as ``(q,)``: its modality, or its kind of text, as in a search."""
    if d.source != "text":
        return np.full(len(d.queries), d.source)
    return material.kinds[d.queries]


def _blocks(kinds: npt.NDArray[np.str_]) -> Iterator[tuple[str, Ints]]:
    """Positions of queries of one kind, some at a time."""
    for kind in np.unique(kinds):
        mine = np.flatnonzero(kinds == kind)
        for start in range(0, len(mine), QUERIES):
            yield str(kind), mine[start : start + QUERIES]


def restricted(kb: Retriever, plan: Plan) -> tuple[Graph, dict[int, Node]]:
    """The graph with only the items the plan speaks of, and its nodes by row."""
    graph = kb.store.export()
    nodes = list(kb.store.nodes())
    keep = np.ones(len(graph.ids), np.bool_)
    for node in nodes:
        if plan.lang and node.modality == "text":
            keep[graph.row[node.id]] = (node.lang or "").split("_")[0] == plan.lang
    if plan.complete_categories:
        whole = [
            graph.row[n.id]
            for n in nodes
            if n.modality == "category" and str(n.properties.get("complete", "0")) in ("1", "true")
        ]
        edges = graph.edges_of(IN_CATEGORY)
        inside = np.zeros(len(graph.ids), np.bool_)
        inside[graph.src[edges[np.isin(graph.dst[edges], whole)]]] = True
        inside[whole] = True
        keep &= inside
    small = corpus.induced(graph, keep)
    return small, {small.row[n.id]: n for n in nodes if n.id in small.row}


def _test_items(graph: Graph, nodes: Mapping[int, Node], seed: int) -> Ints:
    """Items of the given test split, else of val, else a fifth of the families."""
    split = {row: n.properties.get("split") for row, n in nodes.items()}
    for name in ("test", "val"):
        rows = [row for row, s in split.items() if s == name]
        if rows:
            return np.array(sorted(rows), np.int64)
    side = splits.grouped(corpus.families(graph), (1 - TEST_SHARE, TEST_SHARE), seed)
    items = Places.of(graph).at >= 0
    return np.flatnonzero((side == 1) & items)


Split = tuple[Graph, Ints, list[Direction], str]


def _inductive(
    graph: Graph, places: Places, nodes: Mapping[int, Node], plan: Plan, seed: int
) -> Split:
    test = _test_items(graph, nodes, seed)
    relevance = plan.relevance or "category"
    directions = []
    for source, target, queries, gallery in _crossed(places, test):
        right = corpus.relevance(graph, queries, gallery, relevance)
        if right.any():
            directions.append(Direction(source, target, queries, gallery, right))
    return corpus.without_nodes(graph, test), test, directions, relevance


def _crossed(places: Places, items: Ints) -> Iterator[tuple[str, str, Ints, Ints]]:
    chosen = {m: rows[np.isin(rows, items)] for m, rows in places.rows.items()}
    for source, queries in chosen.items():
        for target, gallery in chosen.items():
            if source != target and len(queries) and len(gallery):
                yield source, target, queries, gallery


def _few_labels(
    graph: Graph, places: Places, nodes: Mapping[int, Node], plan: Plan, seed: int
) -> Split:
    seen, test, directions, relevance = _inductive(graph, places, nodes, plan, seed)
    edges = seen.edges_of(IN_CATEGORY)
    shuffled = np.random.default_rng(seed).permutation(edges)
    # the first N of each (category, modality) keep their label
    key = seen.dst[shuffled].astype(np.int64) * 64 + seen.modality[seen.src[shuffled]]
    order = np.argsort(key, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(key[order])) + 1])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    keep = np.ones(len(seen.src), np.bool_)
    keep[shuffled[order[rank >= plan.labels]]] = False
    return seen.with_edges(keep), test, directions, relevance


def _connected(
    graph: Graph, places: Places, nodes: Mapping[int, Node], plan: Plan, seed: int
) -> Split:
    wanted = plan.hide_lang or ((plan.lang,) if plan.lang else ())
    asked = Asked(wanted, bool(plan.hide_lang), plan.undescribed)
    return (*connected(graph, places, nodes, asked, seed), "instance")


def _rows(
    plan: Plan, found: Scored, trial: Trial, graph: Graph, nodes: Mapping[int, Node]
) -> Iterator[Row]:
    """A direction's row with what its queries scored where it counts, then those of its slices."""
    d, scores, relevance = found.direction, found.scores, _relevance(plan)
    row, answered = measured(relevance, d, found.method, scores)
    yield row, answered if found.method == FUSED else None
    if found.method != FUSED:
        return
    parts = [*missing.by_content(d, scores, trial.lost)]
    if plan.slices:
        content = trial.material.features[d.target][trial.material.places.at[d.gallery]]
        for name, mine in slices(plan.slices, d, graph, nodes, content):
            part = replace(d, queries=d.queries[mine], right=d.right[mine], slice=name)
            parts.append((part, scores[mine]))
    for part, own in parts:
        if part.right.any():
            name = part.slice if d.slice == "all" else f"{d.slice}, {part.slice}"
            yield measured(relevance, replace(part, slice=name), found.method, own)[0], None


def _peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
