"""A model in service: its vectors, edges and indexes at one revision, changed in place by deltas.

A write to the store moves a few rows: the edges of its ends, the vectors that hear of it (by
residual push), their entries in the indexes. The result is that of building everything anew from
the store, within 1e-4 of every vector's coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphretrieval import registry
from graphretrieval.arrays import Grown
from graphretrieval.config import Config
from graphretrieval.gnn.push import Push
from graphretrieval.gnn.similar import Similar
from graphretrieval.protocols import GraphStore
from graphretrieval.rankers.adjacency import Key
from graphretrieval.rankers.walks import Walker
from graphretrieval.retriever.attributes import Attributes
from graphretrieval.retriever.bundle import Embedded
from graphretrieval.retriever.corpus import Places
from graphretrieval.retriever.fresh import catch_up, raw_of, still_similar
from graphretrieval.retriever.model import Model, Vectors, refine_nodes, scaled
from graphretrieval.retriever.query import Filter, Searcher
from graphretrieval.retriever.score import Scorer
from graphretrieval.retriever.similar import Beside, carries
from graphretrieval.types import SEARCHED, Array, Bools, Changes, Graph, Ints, Node

# with more changed nodes and edges than this share of the collection, or this many, all is built
# anew: a delta touches a few rows at a time
LARGE_SHARE, LARGE = 0.05, 20_000
# a tombstone's name: no node can be called so
GONE = ""


class TooMuchChanged(Exception):
    """These changes are better taken in by building everything anew; never leaves this room."""


class Live:
    """What answers queries, at ``revision`` of the store and with one ``version`` of the model.

    Args:
        version: the model's name.
        model: with which all vectors are made.
        graph: at the revision served.
        raw: unscaled block vectors of its nodes.
        refined: the same refined, where they are known; then deltas need :meth:`prime` first.
        store: asked for words and nodes.
        config: settings.
        similar: derived edges between rows of ``graph``, which messages and paths go over too.
    """

    def __init__(
        self,
        version: str,
        model: Model,
        graph: Graph,
        raw: Mapping[str, Array],
        refined: Mapping[str, Array] | None,
        store: GraphStore,
        config: Config,
        similar: Similar | None = None,
    ) -> None:
        self.version, self.model, self.store, self.config = version, model, store, config
        self.ids = list(graph.ids)
        self.row = {name: i for i, name in enumerate(self.ids)}
        self.modalities = list(graph.modalities)
        self.modality = Grown(graph.modality)
        self.revision = graph.revision
        similar = Similar.joined() if similar is None else similar
        self._similar = Beside(similar, graph)
        graph = similar.added_to(graph)
        self._edges = len(graph.src)
        walker = Walker(graph)
        self.ties = walker.adjacency
        self._raw = {b: Grown(np.asarray(x, np.float32)) for b, x in raw.items()}
        self.pushes: dict[str, Push] | None = None
        if refined is None:
            self.pushes = self._pushes()
            refined = {b: self.refined(b) for b in raw}
        self._raw_scaled = {b: Grown(scaled(b, x)) for b, x in raw.items()}
        self._refined_scaled = {b: Grown(scaled(b, x)) for b, x in refined.items()}
        self.attributes = Attributes(store)
        self.places = Places.of(graph)
        self.vectors = self._vectors()
        self.scorer = Scorer(model, self.vectors, store, walker)
        index, space = _index(model, config)
        self.searcher = Searcher(model, self.vectors, store, self.scorer, index, space)

    @classmethod
    def load(
        cls,
        version: str,
        model: Model,
        embedded: Embedded,
        since: int,
        store: GraphStore,
        config: Config,
        *,
        primed: bool = False,
    ) -> Live:
        """From vectors as they were at revision ``since``, brought to the newest.

        Args:
            version: the model's name.
            model: with which they were made.
            embedded: the vectors.
            since: the revision they were made at.
            store: may be newer.
            config: settings.
            primed: be ready for deltas, which takes one refinement of everything.
        """
        graph = store.export()
        same = tuple(graph.ids) == embedded.ids and graph.revision == since
        if same and embedded.refined and not primed:
            similar = embedded.similar if carries(model) else Similar.joined()
            raw, refined = embedded.raw, embedded.refined
            return cls(version, model, graph, raw, refined, store, config, similar)
        similar = Similar.joined()
        if carries(model):
            similar = still_similar(store, graph, embedded, since)
        raw = catch_up(model, store, graph, embedded, since, config)
        if all(hasattr(r, "depth_") for r in model.refiners.values()):
            return cls(version, model, graph, raw, None, store, config, similar)
        refined = refine_nodes(model, similar.added_to(graph), raw)
        return cls(version, model, graph, raw, refined, store, config, similar)

    def embedded(self) -> Embedded:
        """Vectors, and edges derived from them, as they are now; of the nodes that are there."""
        rows = [i for i, name in enumerate(self.ids) if name != GONE]
        raw = {b: x.x[rows] for b, x in self._raw.items()}
        at = np.full(len(self.ids), -1, np.int64)
        at[rows] = np.arange(len(rows))
        similar = self._similar.edges().moved(at)
        return Embedded(tuple(self.ids[i] for i in rows), raw, raw, similar)

    def graph(self) -> Graph:
        """The graph with its edges, row-aligned with the vectors."""
        src, relation, dst, weight = self.ties.edges()
        graph = Graph(
            self.ids,
            tuple(self.modalities),
            self.modality.x,
            tuple(self.ties.relations),
            src.astype(np.int32),
            dst.astype(np.int32),
            relation.astype(np.int16),
            weight,
            self.revision,
        )
        graph.__dict__["row"] = self.row
        return graph

    def raw(self) -> dict[str, Array]:
        """Unscaled raw vectors of each block, what its refiner starts from."""
        return {b: x.x for b, x in self._raw.items()}

    def allowed(self, where: Filter) -> Bools | None:
        """Nodes that pass the filters on their own attributes; ``None`` if there are none."""
        if not (where.lang or where.collection or where.license):
            return None
        return self.attributes.passing(where, self.row, len(self.ids))

    # --- changing -----------------------------------------------------------------------

    def follow(self, changes: Changes) -> None:
        """Take in what happened in the store since ``revision``.

        Raises:
            TooMuchChanged: build anew instead; nothing was touched.
        """
        size = len(changes.nodes) + len(changes.edges)
        size += len(changes.deleted_nodes) + len(changes.deleted_edges)
        whole = len(self.ids) + self._edges
        if self.pushes is None or size > max(20, min(LARGE, LARGE_SHARE * whole)):
            raise TooMuchChanged
        for node in changes.nodes:
            row = self.row.get(node.id)
            if row is not None and self.modalities[self.modality.x[row]] != node.modality:
                raise TooMuchChanged
        made = raw_of(self.model, changes.nodes, self.config)
        dead = self._bury(changes.deleted_nodes)
        gone = {key for row in dead for key in self.ties.edges_at(row)}
        fresh = self._welcome(changes.nodes)
        written = [self.row[n.id] for n in changes.nodes]
        gone |= self._similar.leave([*dead, *written], self.ties)
        gone, come = self._edge_changes(changes, gone)
        self._similar.settle(gone, come, self.ties)
        touched = self.ties.change(gone, come)
        self._edges += len(come) - len(gone)
        rows = np.array([*dead, *written], np.int64)
        moved = self._move(touched, rows, len(dead), made)
        self._reindex(fresh, written, dead, moved)
        self.attributes.update(changes)
        self.revision = changes.revision

    def _bury(self, names: tuple[str, ...]) -> list[int]:
        dead = [self.row.pop(name) for name in names if name in self.row]
        for row in dead:
            self.ids[row] = GONE
        return dead

    def _welcome(self, nodes: tuple[Node, ...]) -> list[int]:
        """Rows for nodes that have none yet, at the end."""
        new = [node for node in nodes if node.id not in self.row]
        first = len(self.ids)
        codes = []
        for node in new:
            if node.modality not in self.modalities:
                self.modalities.append(node.modality)
            codes.append(self.modalities.index(node.modality))
            self.row[node.id] = len(self.ids)
            self.ids.append(node.id)
        self.modality.append(np.array(codes, np.int16))
        self.ties.grow(len(self.ids))
        for b in self._raw:
            nothing = np.zeros((len(new), self.model.aligners[b].dim), np.float32)
            self._raw_scaled[b].append(nothing)
            self._refined_scaled[b].append(nothing)
            if self.pushes is not None and b in self.pushes:
                self.pushes[b].grow(len(new))  # and with it self._raw[b]
            else:
                self._raw[b].append(nothing)
        return list(range(first, len(self.ids)))

    def _edge_changes(self, changes: Changes, gone: set[Key]) -> tuple[set[Key], dict[Key, float]]:
        come: dict[Key, float] = {}
        for edge in changes.edges:
            if edge.src in self.row and edge.dst in self.row:
                key = (self.row[edge.src], self.ties.relation(edge.type), self.row[edge.dst])
                if edge.status == "asserted":
                    come[key] = edge.weight
                else:
                    gone.add(key)
        for src, relation, dst in changes.deleted_edges:
            if src in self.row and dst in self.row:
                gone.add((self.row[src], self.ties.relation(relation), self.row[dst]))
        return gone - come.keys(), come

    def _move(self, touched: Ints, rows: Ints, dead: int, made: Mapping[str, Array]) -> Ints:
        """New raw vectors, and all that is refined from them and from changed edges.

        Returns:
            The rows of which vectors or edges are others.
        """
        assert self.pushes is not None
        everything = [touched]
        for b in self._raw:
            h = np.concatenate([np.zeros((dead, made[b].shape[1]), np.float32), made[b]])
            self._raw_scaled[b].x[rows] = scaled(b, h)
            if b in self.pushes:
                moved = self.pushes[b].update(touched, rows, h, self.modalities, self.modality.x)
                refined = self.pushes[b].refined[moved]
            else:
                self._raw[b].x[rows] = h
                moved, refined = rows, h
            self._refined_scaled[b].x[moved] = scaled(b, refined)
            everything.append(moved)
        return np.unique(np.concatenate(everything))

    def _reindex(self, fresh: list[int], changed: list[int], dead: list[int], moved: Ints) -> None:
        at = np.concatenate([self.places.at, np.full(len(fresh), -1, np.int64)])
        rows = dict(self.places.rows)
        for row in fresh:
            name = self.modalities[self.modality.x[row]]
            if name in SEARCHED:
                mine = rows.get(name, np.empty(0, np.int64))
                at[row] = len(mine)
                rows[name] = np.append(mine, row)
        self.places = Places(rows, at)
        self.vectors = self._vectors()
        self.scorer.follow(self.vectors, [*changed, *dead], moved)
        self.searcher.follow(self.vectors, moved, dead)

    # --- how it is kept -----------------------------------------------------------------

    def _pushes(self) -> dict[str, Push]:
        """Layers of every block that is refined; one that is not stays as its raw vectors are."""
        out = {}
        for b, x in self._raw.items():
            refiner: Any = self.model.refiners.get(b)
            if refiner is not None and refiner.depth_:
                out[b] = Push(
                    x.x,
                    refiner.strength_,
                    refiner.depth_,
                    self.ties,
                    self.modalities,
                    self.modality.x,
                )
                self._raw[b] = out[b].layers[0]  # z⁰ is the raw vectors
        return out

    def refined(self, block: str) -> Array:
        """Refined vectors of a block ``(n, d)``, unscaled."""
        if self.pushes is not None and block in self.pushes:
            return self.pushes[block].refined
        return self._raw[block].x

    def _vectors(self) -> Vectors:
        nothing = np.empty(0, np.int32)
        graph = Graph(  # the nodes; the edges are in self.ties
            self.ids,
            tuple(self.modalities),
            self.modality.x,
            (),
            nothing,
            nothing,
            nothing.astype(np.int16),
            nothing.astype(np.float32),
            self.revision,
        )
        graph.__dict__["row"] = self.row
        return Vectors(
            graph,
            self.places,
            {b: x.x for b, x in self._raw_scaled.items()},
            {b: x.x for b, x in self._refined_scaled.items()},
        )


def _index(model: Model, config: Config) -> tuple[type[Any], str | None]:
    """The kind of index, and the store's space where the store itself is searched."""
    if config["index"] != "store":
        return registry.resolve("index", config["index"]), None
    from graphretrieval.retriever.publish import space_of

    return registry.resolve("index", "exact"), space_of(model)
