"""Content → features for whole collections: codebooks from a sample, rows through the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
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
    made: AnyEncoder = cls(model=config["text_model"]) if modality == Modality.TEXT else cls()
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
    batch = BATCH[Modality(encoder.modality)]
    cache = _cache(config) if encoder.modality != Modality.TEXT else None
    for start in range(0, len(nodes), batch):
        part = nodes[start : start + batch]
        keys = [content_key(node) for node in part]
        rows = cache.lookup(encoder.version, keys) if cache else [None] * len(part)
        missing = [i for i, row in enumerate(rows) if row is None]
        contents = load([part[i] for i in missing], reader)
        fresh = [i for i, c in zip(missing, contents, strict=True) if c is not None]
        if fresh:
            made = encoder.encode([c for c in contents if c is not None])
            out[[start + i for i in fresh]] = made
            if cache:
                cache.store(encoder.version, [keys[i] for i in fresh], made)
        for i, row in enumerate(rows):
            if row is not None:
                out[start + i] = row
        progress(min(start + batch, len(nodes)), len(nodes), f"encoding {encoder.modality}")
    return out


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
    """Features that a collection brought itself, for the modalities where every item has one."""
    brought = {
        modality: items
        for modality, items in nodes.items()
        if items and all("vector" in node.properties for node in items)
    }
    if not brought:
        return {}
    from graphretrieval.sources.arrays import load_vectors

    return {modality: load_vectors(items) for modality, items in brought.items()}


def _cache(config: Config) -> Any:
    from graphretrieval.encoders.cache import FeatureCache

    return FeatureCache(Path(config["cache_dir"]).expanduser() / "features")
