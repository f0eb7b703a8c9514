"""Two folders of one name make the same ids: what a file elsewhere holds is not overwritten.

The newcomer is refused, with what belongs to it, and can be added under a collection of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from graphretrieval.errors import InputRefused
from graphretrieval.protocols import GraphStore
from graphretrieval.sources.files import is_gone
from graphretrieval.types import IN_CATEGORY, SUBCATEGORY_OF, Batch, Edge


def without_taken(
    store: GraphStore, batch: Batch, place: Path
) -> tuple[Batch, list[tuple[str, str]]]:
    """The batch less what would overwrite nodes of files outside ``place``, and the reasons.

    Files that were left out get no stamp: they are looked at again, as the other may be gone then.

    Returns:
        The batch, and (file, reason) of each that was left out.
    """
    files = {n.id: n.uri for n in batch.nodes if n.uri}
    taken = {
        node.id: str(node.uri)
        for node in store.get(list(files))
        if node is not None and _is_elsewhere(node.uri, files[node.id], place)
    }
    if not taken:
        return batch, []
    out = _with_companions(taken, batch.edges)
    reasons: dict[str, str] = {}
    for id, cause in out.items():
        if (uri := files.get(id)) is not None:
            reasons.setdefault(uri, _reason(id, cause, taken[cause]))
    return (
        replace(
            batch,
            nodes=[n for n in batch.nodes if n.id not in out],
            edges=[e for e in batch.edges if e.src not in out and e.dst not in out],
            # what lies in a file is stamped as file:17 or file:canvas-1
            files=[
                s
                for s in batch.files
                if s.uri not in reasons and s.uri.rpartition(":")[0] not in reasons
            ],
            whole=[uri for uri in batch.whole if uri not in reasons],
        ),
        list(reasons.items()),
    )


def _is_elsewhere(stored: str | None, found: str | None, place: Path) -> bool:
    """Whether a stored node lies in another file, outside the place, that is still there."""
    if stored is None or found is None or not stored.startswith("/") or stored == found:
        return False
    if Path(stored).is_relative_to(place) or is_gone(stored):
        return False
    try:
        return not os.path.samefile(stored, found)  # one disk may be seen at two paths
    except OSError:
        return True


def _with_companions(taken: Mapping[str, str], edges: Sequence[Edge]) -> dict[str, str]:
    """Ids that belong together with a taken one → that one."""
    beside: dict[str, list[str]] = {}
    for e in edges:
        if e.type not in (IN_CATEGORY, SUBCATEGORY_OF):
            beside.setdefault(e.src, []).append(e.dst)
            beside.setdefault(e.dst, []).append(e.src)
    out = {id: id for id in taken}
    front = list(out)
    while front:
        id = front.pop()
        fresh = [other for other in beside.get(id, ()) if other not in out]
        out.update(dict.fromkeys(fresh, out[id]))
        front += fresh
    return out


def _reason(id: str, cause: str, where: str) -> str:
    what = f"its id {id}" if id == cause else f"it belongs to {cause}, and that id"
    return str(InputRefused(f"{what} is taken by {where}", remedy="give --collection NAME"))
