"""A file that moved keeps its node: the same content at a new path, while the old path is gone.

Curators' links hang on ids, and ids are made of paths; so a moved file's nodes take the ids that
they had, with the new place, and go on to when the file changes there. What only the old folder
said of it goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from graphretrieval.protocols import GraphStore
from graphretrieval.sources.files import is_gone
from graphretrieval.types import IN_CATEGORY, Batch, FileStamp, Node

#: Stamps that begin so say which node a new id belongs to: in ``sha256`` stands the old one.
MOVED = "moved:"


class Moves:
    """Recognises, batch by batch, nodes that were somewhere else before.

    Args:
        store: holds what was there.
        known: stamps of the files read so far.
    """

    def __init__(self, store: GraphStore, known: Mapping[str, FileStamp]) -> None:
        self.store = store
        self.moved: list[str] = []  # old uris, whose stamps are to be dropped
        former = {s.uri.removeprefix(MOVED): s.sha256 for s in store.files(MOVED).values()}
        there = store.get(list(former.values()))
        # new id → old id, of this and of earlier runs
        self._ids = {n: o for (n, o), x in zip(former.items(), there, strict=True) if x is not None}
        gone = {
            uri: stamp.sha256
            for uri, stamp in known.items()
            if uri.startswith("/") and stamp.sha256 and is_gone(uri)
        }
        self._gone = {sha: uri for uri, sha in gone.items()}
        self._before: dict[str, list[Node]] | None = None

    def followed(self, batch: Batch) -> Batch:
        """The batch with moved nodes under the ids they had."""
        fresh = [n for n in batch.nodes if n.sha256 in self._gone and n.id not in self._ids]
        now: set[str] = set()
        stamps = list(batch.files)
        there = self.store.get([n.id for n in fresh])
        for node, stored in zip(fresh, there, strict=True):
            old = None if stored is not None else self._counterpart(node)
            if old is not None:
                self._ids[node.id] = old.id
                self.moved.append(str(old.uri))
                stamps.append(FileStamp(MOVED + node.id, 0, 0, old.id))
                now.add(old.id)
        if not self._ids:
            return batch
        name = self._ids
        nodes = [replace(n, id=name[n.id]) if n.id in name else n for n in batch.nodes]
        edges = [
            replace(e, src=name.get(e.src, e.src), dst=name.get(e.dst, e.dst)) for e in batch.edges
        ]
        self._leave_folders(sorted(now), {(e.src, e.type, e.dst) for e in edges})
        return replace(batch, nodes=nodes, edges=edges, files=stamps)

    def _counterpart(self, node: Node) -> Node | None:
        """The stored node that is the same part of the same content in a file that is gone."""
        if self._before is None:
            lost = set(self._gone.values())
            self._before = {}
            for stored in self.store.nodes():
                if stored.uri in lost and stored.sha256:
                    self._before.setdefault(stored.sha256, []).append(stored)
        part = (node.modality, node.start, node.end, node.lang)
        same = self._before.get(str(node.sha256), [])
        found = [o for o in same if (o.modality, o.start, o.end, o.lang) == part]
        for old in found[:1]:
            same.remove(old)
            return old
        return None

    def _leave_folders(self, moved: list[str], said: set[tuple[str, str, str]]) -> None:
        """Drop the categories that only the old folder put moved nodes into."""
        edges = self.store.neighbours(moved, types=[IN_CATEGORY], direction="out")
        out = [
            (e.src, e.type, e.dst)
            for mine in edges
            for e in mine
            if e.origin == "file" and (e.src, e.type, e.dst) not in said
        ]
        if out:
            self.store.delete(edges=out)
