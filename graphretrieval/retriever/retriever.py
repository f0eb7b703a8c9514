"""The knowledge base in front of everything: open, add, fit, search, link, save."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from graphretrieval import config as settings
from graphretrieval import cpus, registry
from graphretrieval.config import Config
from graphretrieval.errors import (
    BundleError,
    ConfigError,
    NotFitted,
    NothingToLearn,
    QueryError,
    UnknownNode,
)
from graphretrieval.protocols import GraphStore, Progress, silent
from graphretrieval.retriever import exchange, features, fields
from graphretrieval.retriever.bundle import Bundles, Embedded
from graphretrieval.retriever.corpus import Places, parallel
from graphretrieval.retriever.fresh import catch_up
from graphretrieval.retriever.ingest import CERTIFICATES, Report, forgotten_in, ingest
from graphretrieval.retriever.learn import learn
from graphretrieval.retriever.live import Live
from graphretrieval.retriever.material import Material, embed, held_texts, validation_of, variants
from graphretrieval.retriever.model import Model, kinds_of_text, refine_nodes, scaled
from graphretrieval.retriever.query import Filter, Term, modalities
from graphretrieval.retriever.question import Question
from graphretrieval.retriever.score import Queries
from graphretrieval.retriever.serving import Serving
from graphretrieval.retriever.similar import carries, similar
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import (
    JSON,
    Answer,
    Array,
    Bools,
    Content,
    Edge,
    Graph,
    Modality,
    Node,
    TextContent,
)

if TYPE_CHECKING:
    import networkx
    import torch_geometric.data

#: A query term: a value, or a value and its weight.
Weighted: TypeAlias = "str | Path | tuple[str | Path, float]"
Terms: TypeAlias = "Weighted | Sequence[Weighted] | None"


def open(url: str | Path | None = None, *, config: Config | None = None) -> Retriever:
    """Open (or begin) a knowledge base.

    Args:
        url: a file path, ``sqlite:///path`` or ``neo4j://user@host:7687`` (its password comes from
            the environment or a prompt); the setting ``store`` by default.
        config: settings; read from the environment by default.

    Raises:
        ConfigError: the URL's scheme is not one of a store.
    """
    config = settings.load() if config is None else config
    where = str(config["store"] if url is None else url)
    scheme, found, rest = where.partition("://")
    if not found:
        scheme, rest = "sqlite", where
    elif scheme == "sqlite":
        rest = rest.removeprefix("/")
    elif scheme.partition("+")[0] in ("neo4j", "bolt"):
        from graphretrieval.stores import remote

        store, folder = remote.connect(where, config)
        return Retriever(store, folder / "store", config, name=where)
    else:
        raise ConfigError(
            f"no store is reached by {scheme}://",
            remedy="give a file path, sqlite:///path or neo4j://user@host:7687",
        )
    return Retriever(registry.resolve("store", scheme)(Path(rest)), Path(rest), config)


class Retriever:
    """Images, texts and sounds in one graph, searched from any to any.

    Made by :func:`open`; ``with`` closes it.
    """

    def __init__(
        self, store: GraphStore, path: Path, config: Config, *, name: str | None = None
    ) -> None:
        self.store, self.path, self.config = store, path, config
        self.name = name or str(path)
        self.bundles = Bundles(path.with_name(path.name + ".models"))
        self.serving = Serving(store, self.bundles, config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the store."""
        self.serving.close()
        self.store.close()

    # --- what is in it ------------------------------------------------------------------

    def add(
        self,
        path: Path | str,
        *,
        format: str | None = None,
        collection: str | None = None,
        lang: str | None = None,
        category: str | None = None,
        mapping: Mapping[str, str] | None = None,
        prune: bool = False,
        progress: Progress = silent,
    ) -> Report:
        """Bring in a folder, manifest, table, PDF or IIIF manifest; say what was refused."""
        return ingest(
            self.store,
            Path(path),
            self.config,
            format=format,
            collection=collection,
            lang=lang,
            category=category,
            mapping=mapping,
            prune=prune,
            forgotten=forgotten_in(self.bundles.folder / CERTIFICATES),
            progress=progress,
        )

    def update(self, id: str, **changes: JSON) -> int:
        """Change a node's own fields, such as its title or text; the next search uses them.

        Returns:
            The new revision.

        Raises:
            UnknownNode: there is no such node.
            QueryError: a field is none that can be changed, or cannot hold that.
        """
        node = self.store.get([id])[0]
        if node is None:
            raise UnknownNode(f"no node is called {id!r}", remedy="check the id")
        fields.check(changes)
        return self.store.upsert([replace(node, **changes)])

    def link(self, src: str, type: str, dst: str, *, weight: float = 1.0) -> int:
        """Assert an edge; the next search uses it. Returns the new revision.

        Raises:
            UnknownNode: one of the ends is not in the store.
        """
        return self.store.upsert([], [Edge(src, type.upper(), dst, weight, "user")])

    def unlink(self, src: str, type: str, dst: str) -> int:
        """Remove an edge; the next search does without it. Returns the new revision.

        Raises:
            QueryError: there is no such edge.
        """
        before = self.store.revision
        revision = self.store.delete(edges=[(src, type.upper(), dst)])
        if revision <= before:
            raise QueryError(
                f"there is no link {src} {type.upper()} {dst}",
                remedy="check both ids, the type and which way it leads",
            )
        return revision

    def info(self) -> dict[str, JSON]:
        """What is in the store, and which model serves it."""
        version = self.bundles.current()
        return {
            "store": self.name,
            "revision": self.store.revision,
            **self.store.counts(),
            "model": version,
            "models": self.bundles.versions(),
            "learned": self.bundles.meta(version) if version else None,
        }

    def backup(self, path: Path | str) -> None:
        """Copy the store and its models into one new folder, consistent while in use."""
        folder = Path(path)
        if folder.exists():
            raise QueryError(f"{folder} exists already", remedy="name a new folder")
        draft = Path(tempfile.mkdtemp(prefix=".backup-", dir=folder.absolute().parent))
        try:
            if self.bundles.folder.exists():
                # before the store: a model that has seen more than the store holds would be
                # believed about what comes there next
                self.bundles.copy(draft / "models")
            self.store.backup(draft / "store.db")
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def export(self, folder: Path | str) -> None:
        """Write all nodes and edges as a manifest folder (JSONL and CSV), with provenance."""
        from graphretrieval.sources.manifest import write_manifest

        write_manifest(Path(folder), self.store.nodes(), self.store.edges(status=None))

    def to_networkx(self) -> networkx.MultiDiGraph:
        """The graph with node attributes, for networkx."""
        return exchange.to_networkx(self.store.export(), self.store.nodes())

    def to_pyg(self) -> torch_geometric.data.HeteroData:
        """The graph with vectors (where a model is there) for torch-geometric."""
        graph = self.store.export()
        x = None if self.bundles.current() is None else {"x": self.vectors(graph.ids)}
        by_modality = None if x is None else {m: x["x"][graph.rows_of(m)] for m in graph.modalities}
        return exchange.to_pyg(graph, by_modality)

    # --- learning -----------------------------------------------------------------------

    def fit(self, *, seed: int = 0, progress: Progress = silent) -> str:
        """Learn encoders, aligners, refiner and rankers; put the new model in service.

        Returns:
            The version's name.

        Raises:
            NothingToLearn: there is nothing in the store, or no item is linked or in a category.
        """
        graph = self.store.export()
        if not graph.ids:
            raise NothingToLearn(
                "the store is empty", remedy="add a folder first: `graphretrieval add FOLDER`"
            )
        cpus.settle(self.config["threads"])
        visible = np.ones(len(graph.ids), np.bool_)
        with MediaReader(Limits.of(self.config)) as reader:
            material, encoders = self.material(graph, visible, reader, seed, progress)
        model = learn(material, encoders, self.store, self.config, seed=seed, progress=progress)
        raw = embed(model, material)
        alike = similar(material.places.rows, raw, progress)
        model.meta["similar"] = alike.to_json()
        model.meta["items_sha256"] = {
            m: _contents(self._nodes(graph, material.places.rows[m])) for m in _reused(encoders)
        }
        progress(0, 1, "saving the model")
        messages = alike.edges.added_to(graph) if carries(model) else graph
        refined = refine_nodes(model, messages, raw)
        version = self.bundles.save(model, Embedded(tuple(graph.ids), raw, refined, alike.edges))
        progress(1, 1, "saving the model")
        self.serving.renew()
        if "remote" in self.store.capabilities:
            from graphretrieval.retriever.publish import publish

            publish(self, progress=progress)
        return version

    def material(
        self,
        graph: Graph,
        visible: Bools,
        reader: MediaReader,
        seed: int,
        progress: Progress,
    ) -> tuple[Material, dict[str, Any]]:
        """Encoders fitted on what is visible, and the features of every item."""
        places = Places.of(graph)
        nodes = {m: self._nodes(graph, rows) for m, rows in places.rows.items()}
        text_rows = places.rows.get("text", np.empty(0, np.int64))
        said = [TextContent(n.text or n.title or "", n.lang) for n in nodes.get("text", ())]
        kinds = np.full(len(graph.ids), "", dtype="U8")
        kinds[text_rows] = kinds_of_text(features.make_encoder("text", self.config), said)
        langs = np.full(len(graph.ids), "", dtype="U16")
        langs[text_rows] = [c.lang or "" for c in said]
        validation = validation_of(graph, places, visible, seed)
        held = held_texts(graph, validation, kinds, seed)
        apart = held.copy()
        apart[variants(graph, text_rows, langs, np.flatnonzero(held))] = True
        x: dict[str, Array] = dict(features.own_vectors(nodes))
        encoders: dict[str, Any] = {}
        ready = self._encoders_in_service(graph, nodes, seed)
        for modality, items in nodes.items():
            if modality in x:
                continue
            rows = places.rows[modality]
            seen = np.flatnonzero(visible[rows] & ~apart[rows])
            if modality in ready and len(seen) == len(rows):
                encoders[modality] = ready[modality]
            else:
                groups = parallel(graph, rows[seen]) if modality == "text" else None
                encoders[modality] = features.fit_encoder(
                    modality,
                    [items[i] for i in seen],
                    reader,
                    self.config,
                    groups=groups,
                    seed=seed,
                    progress=progress,
                )
            x[modality] = features.encode(
                encoders[modality], items, reader, self.config, progress=progress
            )
        return (
            Material(
                graph=graph,
                messages=graph,
                places=places,
                features=x,
                name_features=self._name_features(graph, places, encoders),
                texts={int(r): c.text for r, c in zip(text_rows, said, strict=True)},
                kinds=kinds,
                langs=langs,
                visible=visible,
                validation=validation,
                held=held,
            ),
            encoders,
        )

    def _encoders_in_service(
        self, graph: Graph, nodes: Mapping[str, Sequence[Node]], seed: int
    ) -> dict[str, Any]:
        """Encoders that would come out the same if they were fitted on all of this graph's items.

        A refit goes on with those of its champion, which may have been learned from other items.
        """
        version = self.bundles.current()
        if version is None:
            return {}
        try:
            meta = self.bundles.meta(version)
            made_of = (meta.get("revision"), meta.get("seed"), meta.get("settings"))
            if made_of != (graph.revision, seed, self.config.learned_with()) or "refit" in meta:
                return {}
            live = self.serving.newest()
        except BundleError:  # to fit again is what it asks for
            return {}
        if live.version != version:
            return {}
        learned_from = meta.get("items_sha256", {})
        encoders = _reused(live.model.encoders).items()
        return {m: e for m, e in encoders if learned_from.get(m) == _contents(nodes.get(m, ()))}

    def _nodes(self, graph: Graph, rows: Sequence[int] | Any) -> list[Node]:
        found = self.store.get([graph.ids[i] for i in rows])
        return [node for node in found if node is not None]

    def _name_features(
        self, graph: Graph, places: Places, encoders: Mapping[str, Any]
    ) -> Array | None:
        rows = np.flatnonzero(places.at < 0)
        if not len(rows) or Modality.TEXT not in encoders:
            return None
        return features.of_names(encoders[Modality.TEXT], self._nodes(graph, rows))

    def save(self, folder: Path | str) -> None:
        """Copy the model in service into a new folder of its own.

        Raises:
            NotFitted: nothing has been learned yet.
            QueryError: the folder exists.
        """
        version = self.bundles.current()
        if version is None:
            raise NotFitted("nothing has been learned yet", remedy="run `graphretrieval fit`")
        if Path(folder).exists():
            raise QueryError(f"{folder} exists already", remedy="name a new folder")
        Bundles(Path(folder)).take(self.bundles.folder, version)

    def load(self, folder: Path | str) -> str:
        """Put a saved model in service, as a new version; all there is here is encoded by it.

        It may be of another collection: a refit learns from all links here.

        Raises:
            BundleError: the folder holds no model, or a damaged one.
        """
        saved = Bundles(Path(folder))
        found = saved.load()
        if found is None:
            raise BundleError(f"{folder} holds no model", remedy="give a folder that save wrote")
        cpus.settle(self.config["threads"])
        model, graph = found[0], self.store.export()
        none = {name: np.zeros((0, a.dim), np.float32) for name, a in model.aligners.items()}
        raw = catch_up(model, self.store, graph, Embedded((), none, none), 0, self.config)
        model.meta.pop("parent", None)  # it is not here
        model.meta.update(revision=graph.revision, links_revision=0)
        embedded = Embedded(tuple(graph.ids), raw, refine_nodes(model, graph, raw))
        version = self.bundles.save(model, embedded)
        self.serving.renew()
        return version

    # --- answering ----------------------------------------------------------------------

    def search(
        self,
        text: Terms = None,
        *,
        image: Terms = None,
        audio: Terms = None,
        node: Terms = None,
        exclude: Terms = None,
        target: str | Sequence[str] = "any",
        k: int = 10,
        category: str | None = None,
        lang: str | None = None,
        collection: str | None = None,
        license: str | None = None,
        diversity: float = 0.0,
    ) -> Answer:
        """Rank the collection's items for a query of words, files and nodes together.

        Args:
            text: words in any language of the collection.
            image: picture files. Like every term: one, several, or ``(value, weight)`` pairs.
            audio: sound files.
            node: ids of stored items.
            exclude: words or node ids to stay away from.
            target: ``image``, ``text``, ``audio``, several of them, or ``any``.
            k: how many hits.
            category: only items in this category or below it.
            lang: only items in this language (``zh`` also finds ``zh_CN``).
            collection: only items of this collection.
            license: only items under this licence.
            diversity: how much being unlike the hits before counts beside rank, from 0 to 1.

        Raises:
            QueryError: nothing was asked, or a term cannot be understood.
            NotFitted: no model has been learned yet.
        """
        query = self.asking(
            text,
            image=image,
            audio=audio,
            node=node,
            exclude=exclude,
            target=target,
            k=k,
            category=category,
            lang=lang,
            collection=collection,
            license=license,
            diversity=diversity,
        )
        with query as question:
            return question.answer()

    @contextmanager
    def asking(
        self,
        text: Terms = None,
        *,
        image: Terms = None,
        audio: Terms = None,
        node: Terms = None,
        exclude: Terms = None,
        target: str | Sequence[str] = "any",
        k: int = 10,
        category: str | None = None,
        lang: str | None = None,
        collection: str | None = None,
        license: str | None = None,
        diversity: float = 0.0,
    ) -> Iterator[Question]:
        """A query understood but not yet answered, for those who ask how its answer comes about.

        Arguments and errors are those of :meth:`search`; what is served stays as it is meanwhile.
        """
        asked = self._terms(text=text, image=image, audio=audio, node=node, exclude=exclude)
        targets = modalities(target)
        if not 1 <= k <= 10_000:
            raise QueryError(f"k is {k}", remedy="ask for 1 to 10000 hits")
        if not 0 <= diversity <= 1:
            raise QueryError(f"diversity is {diversity}", remedy="give a number from 0 to 1")
        where = Filter(category, lang, collection, license)
        files = [self._content(kind, value) for kind, value, _ in asked]
        with self.serving.reading() as live:
            terms = [
                Term(kind, value, weight, self._queries(kind, value, content, live))
                for (kind, value, weight), content in zip(asked, files, strict=True)
            ]
            yield Question(terms, targets, k, where, live, self.serving.degraded, diversity)

    @property
    def model(self) -> Model:
        """The model in service.

        Raises:
            NotFitted: nothing has been learned yet.
        """
        return self.serving.newest().model

    def query_vector(self, text: str, *, target: str = "image") -> Array:
        """The vector ``(D,)`` that :meth:`vectors` of a target are multiplied with for a text.

        Raises:
            NotFitted: nothing has been learned yet.
        """
        content = self._content("text", text)
        with self.serving.reading() as live:
            term = Term("text", text, 1.0, self._queries("text", text, content, live))
            return live.searcher.vector(term, modalities(target)[0])

    def vectors(self, ids: Sequence[str]) -> Array:
        """Learned vectors ``(n, D)``: every block raw, then every block refined.

        Raises:
            UnknownNode: an id is not in the store.
        """
        with self.serving.reading() as live:
            missing = [i for i in ids if i not in live.row]
            if missing:
                raise UnknownNode(f"no node is called {missing[0]!r}", remedy="check the id")
            rows = np.array([live.row[i] for i in ids], np.int64)
            blocks = [*live.vectors.raw.values(), *live.vectors.refined.values()]
            return np.concatenate([x[rows] for x in blocks], axis=1)

    def _terms(self, *, exclude: Terms, **given: Terms) -> list[tuple[str, str, float]]:
        terms = [(kind, *_weighted(t)) for kind, ts in given.items() for t in _several(ts)]
        for value, weight in (_weighted(t) for t in _several(exclude)):
            kind = "node" if self.store.get([value])[0] is not None else "text"
            terms.append((kind, value, -weight))
        if not any(weight > 0 for *_, weight in terms):
            raise QueryError(
                "the query is empty", remedy="give words, an image, an audio file or a node id"
            )
        return terms

    def _content(self, kind: str, value: str) -> Content | None:
        """What a term brings itself; ``None`` for a node."""
        if kind == "node":
            return None
        if kind == "text" and not value.strip():
            raise QueryError("the text of the query is empty", remedy="give some words")
        return TextContent(value) if kind == "text" else self._file(kind, Path(value))

    def _queries(self, kind: str, value: str, content: Content | None, live: Live) -> Queries:
        if content is None:
            return self._node_query(value, live)
        if kind not in live.model.encoders:
            raise QueryError(
                f"this collection has no {kind} encoder, so it cannot be asked by {kind}",
                remedy="ask by node, or add files of that kind and fit again",
            )
        row = live.model.encoders[kind].encode([content])
        raw = {b: scaled(b, x) for b, x in live.model.align(kind, row).items()}
        if not isinstance(content, TextContent):
            return Queries(kind, raw, kind=kind)
        own = kinds_of_text(live.model.encoders[kind], [content])[0]
        return Queries(kind, raw, [value], kind=own)

    def _node_query(self, value: str, live: Live) -> Queries:
        row = live.row.get(value)
        node = self.store.get([value])[0]
        if row is None or node is None:
            raise UnknownNode(f"no node is called {value!r}", remedy="check the id")
        if live.vectors.places.at[row] < 0:
            raise QueryError(
                f"{value!r} is a {node.modality}, which has no content to search by",
                remedy="ask by one of its items, or filter with --category",
            )
        rows = np.array([row])
        words = [node.text or node.title or ""] if node.modality == Modality.TEXT else None
        raw = {b: x[rows] for b, x in live.vectors.raw.items()}
        if words is None:
            return Queries(node.modality, raw, None, rows, node.modality)
        content = TextContent(words[0], node.lang)
        own = kinds_of_text(live.model.encoders.get("text"), [content])[0]
        return Queries(node.modality, raw, words, rows, own)

    def _file(self, kind: str, path: Path) -> Content:
        if not path.is_file():
            raise QueryError(
                f"{path} is a folder, no file" if path.is_dir() else f"there is no file {path}",
                remedy=f"give the path of a file to ask by {kind}",
            )
        with MediaReader(Limits.of(self.config)) as reader:
            inspection = reader.inspect([path])[0]
            if isinstance(inspection, Exception):
                raise inspection
            if inspection.modality != kind:
                raise QueryError(f"{path} is {inspection.modality}, not {kind}")
            node = Node(str(path)[-1000:], kind, str(path.resolve()), inspection.sha256)
            content = next(iter(reader.load([node])))
        if isinstance(content, Exception):
            raise content
        return content


def _reused(encoders: Mapping[str, Any]) -> dict[str, Any]:
    """Those that learn from items alone: texts' also learn from links, which may be hidden."""
    return {m: e for m, e in encoders.items() if m != Modality.TEXT}


def _contents(nodes: Sequence[Node]) -> str:
    """The same for the same contents in the same order."""
    keys = "".join(map(features.content_key, nodes))
    return hashlib.sha256(keys.encode()).hexdigest()


def _several(terms: Terms) -> list[Weighted]:
    if terms is None:
        return []
    if isinstance(terms, str | Path):
        return [terms]
    if isinstance(terms, tuple) and len(terms) == 2 and isinstance(terms[1], int | float):
        return [terms]
    return list(terms)


def _weighted(term: Weighted) -> tuple[str, float]:
    value, weight = term if isinstance(term, tuple) else (term, 1.0)
    if not 0 < weight < float("inf"):
        raise QueryError(f"the weight of {str(value)!r} is {weight}", remedy="give one above 0")
    return str(value), float(weight)


def restore(folder: Path | str, url: Path | str) -> None:
    """Bring a backup back as a new store.

    Raises:
        QueryError: there is a store already, or the folder is no backup.
    """
    source, target = Path(folder), Path(url)
    if target.exists():
        raise QueryError(f"{target} exists already", remedy="name a new file")
    if not (source / "store.db").exists():
        raise QueryError(f"{source} is no backup: it holds no store.db", remedy="check the path")
    if (source / "models").exists():
        shutil.copytree(source / "models", target.with_name(target.name + ".models"))
    shutil.copy2(source / "store.db", target)
    with open(target) as kb:
        json.dumps(kb.info())
