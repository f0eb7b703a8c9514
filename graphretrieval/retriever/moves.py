"""A file that moved keeps its node: the same content at a new path, while the old path is gone.

Curators' links hang on ids, and ids are made of paths; so a moved file's nodes take the ids that
they had, with the new place, and go on to when the file changes there. What only the old folder
said of it goes. Another file that comes to the old path finds its id in use and gets a free one,
``p/scan.png~2``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from itertools import count
from pathlib import Path

from graphretrieval.protocols import GraphStore
from graphretrieval.sources.files import is_gone
from graphretrieval.types import DESCRIBES, IN_CATEGORY, RELATED_TO, Batch, Edge, FileStamp, Node

#: Stamps that begin so name an id that is made of a path; in ``sha256`` stands the id that its
#: node is kept under.
MOVED = "moved:"


class Moves:
    """Knows, batch by batch, which ids the nodes of files are kept under.

    Args:
        store: holds what was there.
        known: stamps of the files read so far.
        place: the folder that is read, or that the file lies in.
    """

    def __init__(self, store: GraphStore, known: Mapping[str, FileStamp], place: Path) -> None:
        self.store = store
        self.place = place
        #: stamps to be dropped when all is read: of places left behind, and of moves undone
        self.over: set[str] = set()
        # id made of a path → id in the store, of this and of earlier runs; and the way back
        self._kept = {s.uri.removeprefix(MOVED): s.sha256 for s in store.files(MOVED).values()}
        self._made = {kept: made for made, kept in self._kept.items()}
        lost = {uri: stamp.sha256 for uri, stamp in known.items() if stamp.sha256 and is_gone(uri)}
        self._lost, self._gone = set(lost), set(lost.values())
        self._before: dict[str, list[Node]] | None = None
        self._taken: set[str] = set()

    def followed(self, batch: Batch) -> Batch:
        """The batch with all nodes under the ids that they are kept under."""
        files = [n for n in batch.nodes if n.uri and n.sha256]
        asked = list(dict.fromkeys(i for n in files for i in (n.id, self._kept.get(n.id, n.id))))
        there = dict(zip(asked, self.store.get(asked), strict=True))
        stamps = list(batch.files)
        arrived, new = set[str](), set[str]()
        for node in files:
            if self._is_settled(node, there):
                continue
            old = self._counterpart(node, there[node.id])
            if old is not None:
                self.over.add(str(old.uri))
                self._taken.add(old.id)
                arrived.add(old.id)
                stamps += self._keep(node.id, old.id)
            elif there[node.id] is not None or node.id in self._made:
                new.add(node.id)
                stamps += self._keep(node.id, self._free(node.id))
        if not self._kept and not arrived:
            return batch
        nodes = [replace(n, id=self._kept[n.id]) if n.id in self._kept else n for n in batch.nodes]
        edges = [replace(e, src=self._name(e.src), dst=self._name(e.dst)) for e in batch.edges]
        self._leave_folders(sorted(arrived), {(e.src, e.type, e.dst) for e in edges})
        self._leave_names(new, batch.edges)
        return replace(batch, nodes=nodes, edges=edges, files=stamps)

    def _name(self, made: str) -> str:
        return self._kept.get(made, made)

    def _is_settled(self, node: Node, there: Mapping[str, Node | None]) -> bool:
        """Whether a node's id is its own, or was found in an earlier run."""
        if node.id in self._kept:
            if not self._lives(there[self._kept[node.id]], node, inside=True):
                return True
            self._end(node.id)  # that one has gone on or home: the path means another file now
        stored = there[node.id]
        if stored is None:
            return False
        if stored.uri == node.uri:
            self._keep(node.id, node.id)
            return True
        if node.id in self._made:
            return self._lives(stored, node, inside=False)
        return not self._lives(stored, node, inside=True)

    def _lives(self, stored: Node | None, node: Node, *, inside: bool) -> bool:
        """Whether what is stored lies in another file, which is there, inside the place or out."""
        uri = str(stored.uri) if stored is not None and stored.uri else ""
        if not uri.startswith("/") or uri == node.uri or is_gone(uri):
            return False
        return Path(uri).is_relative_to(self.place) == inside

    def _counterpart(self, node: Node, home: Node | None) -> Node | None:
        """The stored node that is the same part of the same content in a file that is gone.

        ``home`` has the id that is made of this path, and comes first.
        """
        if home is not None and home.uri and is_gone(home.uri) and self._is_same(home, node):
            return home
        if node.sha256 not in self._gone:
            return None
        if self._before is None:
            self._before = {}
            for stored in self.store.nodes():
                if stored.uri in self._lost and stored.sha256:
                    self._before.setdefault(stored.sha256, []).append(stored)
        same = self._before.get(str(node.sha256), [])
        return next((old for old in same if self._is_same(old, node)), None)

    def _is_same(self, old: Node, node: Node) -> bool:
        return old.id not in self._taken and _part(old) == _part(node)

    def _keep(self, made: str, kept: str) -> list[FileStamp]:
        """Let one id, and no other, mean a stored one; the stamp of that, if they differ."""
        if kept in self._made:
            self._end(self._made[kept])
        if made == kept:
            return []
        self._kept[made], self._made[kept] = kept, made
        self.over.discard(MOVED + made)
        return [FileStamp(MOVED + made, 0, 0, kept)]

    def _end(self, made: str) -> None:
        kept = self._kept.pop(made)
        if self._made.get(kept) == made:
            del self._made[kept]
        self.over.add(MOVED + made)

    def _free(self, id: str) -> str:
        """The id with the first number that no other has."""
        names = (f"{id}~{n}" for n in count(2))
        return next(n for n in names if n not in self._made and self.store.get([n])[0] is None)

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

    def _leave_names(self, new: Set[str], edges: Sequence[Edge]) -> None:
        """Drop what files beside the old path said of who was there, and now say of who came."""
        ends = {i: i if i in new else self._name(i) for e in edges for i in (e.src, e.dst)}
        one = (e for e in edges if (e.src in new) != (e.dst in new))
        said = {(ends[e.src], e.type, ends[e.dst]) for e in one}
        stored = self.store.neighbours(sorted(new), types=[DESCRIBES, RELATED_TO]) if said else []
        keys = {(e.src, e.type, e.dst) for mine in stored for e in mine if e.origin == "rule"}
        if out := sorted(keys & said):
            self.store.delete(edges=out)


def _part(node: Node) -> tuple[object, ...]:
    """What a node holds of which content."""
    return node.sha256, node.modality, node.start, node.end, node.lang
