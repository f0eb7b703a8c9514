"""The graph at a newer revision, from the one before and the rows that changed since.

Equal to what reading all rows gives, without reading them: edges are sorted by their ends, so that
binary search finds where some went and where others belong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval.types import Graph, Ints

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Rows:
    """What changed.

    ``nodes`` maps ids that are new or changed to their modality; ``edges`` ``(src, type, dst) →
    weight`` are asserted, and new or changed; ``lost`` are deleted, or not asserted any more.
    """

    nodes: Mapping[str, str]
    gone: Set[str]
    edges: Mapping[Key, float]
    lost: Set[Key]


def followed(old: Graph, rows: Rows, revision: int) -> Graph:
    """The graph at ``revision``; ``old``'s edges are in order of source, relation and target."""
    ids, at = _ids(old, rows)
    row = old.row if ids is old.ids else {name: i for i, name in enumerate(ids)}
    modalities, modality = _modalities(old, rows, row, at)
    relations = tuple(sorted({*old.relations, *(kind for _, kind, _ in rows.edges)}))
    number = {name: i for i, name in enumerate(relations)}

    def ends(keys: Sequence[Key]) -> Ints:
        there = [k for k in keys if k[0] in row and k[1] in number and k[2] in row]
        return np.array([(row[s], number[t], row[d]) for s, t, d in there], np.int64).reshape(-1, 3)

    def code(src: Ints, relation: Ints, dst: Ints) -> Ints:
        return np.asarray((src * len(relations) + relation) * len(ids) + dst, np.int64)

    renamed = np.array([number[name] for name in old.relations], np.int64)
    src, relation, dst = at[old.src], renamed[old.relation], at[old.dst]
    kept = np.flatnonzero((src >= 0) & (dst >= 0))
    before = code(src[kept], relation[kept], dst[kept])
    out = np.unique(code(*ends([*rows.lost, *rows.edges]).T))
    place = np.searchsorted(before, out)
    kept = np.delete(kept, place[np.append(before, -1)[place] == out])

    come = ends(list(rows.edges))
    order = np.argsort(code(*come.T))
    weight = np.array(list(rows.edges.values()), np.float32)[order]
    place = np.searchsorted(code(src[kept], relation[kept], dst[kept]), code(*come[order].T))
    src, relation, dst = (
        np.insert(x[kept], place, y)
        for x, y in zip((src, relation, dst), come[order].T, strict=True)
    )
    used, kind = _used(relations, relation)
    graph = Graph(
        ids,
        modalities,
        modality,
        used,
        src.astype(np.int32),
        dst.astype(np.int32),
        kind,
        np.insert(old.weight[kept], place, weight),
        revision,
    )
    graph.__dict__["row"] = row
    return graph


def _ids(old: Graph, rows: Rows) -> tuple[Sequence[str], Ints]:
    """All ids in order, and where each old row is now, −1 if it is gone."""
    new = rows.nodes.keys() - old.row.keys()
    if not new and not rows.gone:
        return old.ids, np.arange(len(old.ids))
    ids = sorted([name for name in old.ids if name not in rows.gone] + sorted(new))
    row = {name: i for i, name in enumerate(ids)}
    return ids, np.array([row.get(name, -1) for name in old.ids], np.int64)


def _modalities(
    old: Graph, rows: Rows, row: Mapping[str, int], at: Ints
) -> tuple[tuple[str, ...], npt.NDArray[np.int16]]:
    names = tuple(sorted({*old.modalities, *rows.nodes.values()}))
    number = {name: i for i, name in enumerate(names)}
    renamed = np.array([number[name] for name in old.modalities], np.int16)
    out = np.zeros(len(row), np.int16)
    out[at[at >= 0]] = renamed[old.modality[at >= 0]]
    for name, modality in rows.nodes.items():
        out[row[name]] = number[modality]
    return _used(names, out)


def _used(
    names: tuple[str, ...], codes: npt.NDArray[Any]
) -> tuple[tuple[str, ...], npt.NDArray[np.int16]]:
    """Only the names that are in use, and the codes into them."""
    found = np.bincount(codes, minlength=len(names)) > 0
    left = tuple(name for name, there in zip(names, found, strict=True) if there)
    return left, (np.cumsum(found) - 1).astype(np.int16)[codes]
