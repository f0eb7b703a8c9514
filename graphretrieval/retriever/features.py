"""Content → features for whole collections: codebooks from a sample, rows through the cache."""

from __future__ import annotations

import hashlib
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from graphretrieval import registry
from graphretrieval.config import Config
from graphretrieval.errors import InputRefused
from graphretrieval.protocols import Encoder, Progress, silent
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import Array, Content, Ints, Modality, Node, TextContent

# codebooks settle with a few hundred media files; texts are cheap, so many of them are taken
SAMPLE = {Modality.IMAGE: 500, Modality.AUDIO: 1500, Modality.TEXT: 60_000}
BATCH = {Modality.IMAGE: 64, Modality.AUDIO: 64, Modality.TEXT: 2048}

AnyEncoder = Encoder[Any]


def make_encoder(modality: str, config: Config) -> AnyEncoder:
    """An encoder of this modality with the settings in force, not yet fitted."""
    cls = registry.resolve("encoder", modality)
    texts = {"model": config["text_model"], "dictionary": config["text_dictionary"]}
    made: AnyEncoder = cls(**(texts if modality == Modality.TEXT else {}))
    return made


def fit_encoder(
    modality: str,
    nodes: Sequence[Node],
    reader: MediaReader,
    config: Config,
    *,
    groups: Ints | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> AnyEncoder:
    """Learn one modality's encoder from a sample of these nodes."""
    rng = np.random.default_rng(seed)
    size = min(len(nodes), SAMPLE[Modality(modality)])
    chosen = np.sort(rng.permutation(len(nodes))[:size])
    contents: list[Content] = []
    kept: list[int] = []
    batch = BATCH[Modality(modality)]
    for start in range(0, size, batch):
        part = chosen[start : start + batch]
        loaded = load([nodes[i] for i in part], reader)
        kept += [int(i) for i, c in zip(part, loaded, strict=True) if c is not None]
        contents += [c for c in loaded if c is not None]
        progress(min(start + batch, size), size, f"sampling {modality}")
    encoder = make_encoder(modality, config)
    return encoder.fit(
        contents, groups=None if groups is None else groups[kept], seed=seed, progress=progress
    )


def encode(
    encoder: AnyEncoder,
    nodes: Sequence[Node],
    reader: MediaReader,
    config: Config,
    *,
    progress: Progress = silent,
) -> Array:
    """Features ``(n, dim)`` of nodes, from the cache where it has them.

    Content that can no longer be read (a file was moved away) has a row of zeros.
    """
    out = np.zeros((len(nodes), encoder.dim), np.float32)
    cache = cache_of(config) if encoder.modality != Modality.TEXT else None
    keys = [content_key(node) for node in nodes]
    first: dict[str, int] = {}
    alike = [first.setdefault(key, i) for i, key in enumerate(keys)]  # copies are encoded once
    missing = list(first.values())
    if cache:
        rows = cache.lookup(encoder.version, list(first))
        for i, row in zip(missing, rows, strict=True):
            if row is not None:
                out[i] = row
        missing = [i for i, row in zip(missing, rows, strict=True) if row is None]
    known = len(nodes) - len(missing)
    batch = BATCH[Modality(encoder.modality)]
    parts = [missing[start : start + batch] for start in range(0, len(missing), batch)]
    for part, contents in zip(parts, _loaded_ahead(nodes, parts, reader), strict=True):
        fresh = [i for i, c in zip(part, contents, strict=True) if c is not None]
        if fresh:
            out[fresh] = made = encoder.encode([c for c in contents if c is not None])
            if cache:
                cache.store(encoder.version, [keys[i] for i in fresh], made)
        known += len(part)
        progress(known, len(nodes), f"encoding {encoder.modality}")
    progress(len(nodes), len(nodes), f"encoding {encoder.modality}")
    return out if len(first) == len(nodes) else out[alike]


def _loaded_ahead(
    nodes: Sequence[Node], parts: Sequence[Sequence[int]], reader: MediaReader
) -> Iterator[list[Content | None]]:
    """The parts' contents in order; the next part is decoded while this one is being encoded."""
    with ThreadPoolExecutor(1) as ahead:
        coming: deque[Future[list[Content | None]]] = deque()
        for part in parts:
            coming.append(ahead.submit(load, [nodes[i] for i in part], reader))
            if len(coming) > 1:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def load(nodes: Sequence[Node], reader: MediaReader) -> list[Content | None]:
    """Decoded contents, ``None`` where a file cannot be read any more."""
    if nodes and nodes[0].modality in (Modality.TEXT, Modality.CATEGORY):
        return [TextContent(node.text or node.title or "", node.lang) for node in nodes]
    return [None if isinstance(c, InputRefused) else c for c in reader.load(nodes)]


def content_key(node: Node) -> str:
    """The same for the same content: file hash and place, or the text and its language."""
    place = f"{node.sha256 or node.uri}|{node.start}|{node.end}"
    own = f"{node.lang}|{node.text or node.title}" if node.modality == Modality.TEXT else place
    return hashlib.sha256(own.encode("utf-8", "surrogatepass")).hexdigest()


def own_vectors(nodes: Mapping[str, Sequence[Node]]) -> dict[str, Array]:
    """Features that a collection brought itself, for the modalities where every item has one.

    Where only some items have one, those are not used, and a ``UserWarning`` says so.
    """
    brought = {}
    for modality, items in nodes.items():
        without = [n.id for n in items if not isinstance(n.properties.get("vector"), Mapping)]
        if items and not without:
            brought[modality] = items
        elif len(without) < len(items):
            warnings.warn(
                f"{len(without)} of {len(items)} {modality} items brought no vector "
                f"({', '.join(without[:3])}{', …' * (len(without) > 3)}), so that those of the "
                "others are not used: give each one, or keep the two kinds in stores of their own",
                stacklevel=2,
            )
    if not brought:
        return {}
    from graphretrieval.sources.arrays import load_vectors

    return {modality: load_vectors(items) for modality, items in brought.items()}


def cache_of(config: Config) -> Any:
    """Where features are kept between runs."""
    from graphretrieval.encoders.cache import FeatureCache

    return FeatureCache(Path(config["cache_dir"]).expanduser() / "features")


def of_names(encoder: AnyEncoder, nodes: Sequence[Node]) -> Array:
    """Features of the names of nodes that are not searched ``(n, d)``; zeros for nameless ones."""
    names = [_name_of(node) for node in nodes]
    x = np.zeros((len(names), encoder.dim), np.float32)
    has = [i for i, name in enumerate(names) if name]
    if has:
        x[has] = encoder.encode([TextContent(names[i]) for i in has])
    return x


def _name_of(node: Node) -> str:
    bare = node.id if node.modality == Modality.CATEGORY else ""
    return node.title or node.text or bare
