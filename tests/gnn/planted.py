"""A small graph whose links mostly join what belongs together, and its rewired twin."""

from __future__ import annotations

import numpy as np

from graphretrieval.types import Graph


def graph_of(modality, edges, relations=("DESCRIBES",), weight=None):
    """A graph of images (0) and texts (1) from (src, dst) or (src, dst, relation) rows."""
    edges = np.array(edges, np.int64)
    relation = edges[:, 2] if edges.shape[1] == 3 else np.zeros(len(edges))
    return Graph(
        [f"{i:06d}" for i in range(len(modality))],
        ("image", "text"),
        np.array(modality, np.int16),
        relations,
        edges[:, 0].astype(np.int32),
        edges[:, 1].astype(np.int32),
        relation.astype(np.int16),
        np.ones(len(edges), np.float32) if weight is None else np.array(weight, np.float32),
    )


def planted(seed=0, rewired=False, n=1200, topics=30, dim=24):
    """Images and texts of noisy topic vectors; each text describes three images of its topic."""
    rng = np.random.default_rng(seed)
    modality = np.repeat([0, 1], n // 2)
    topic = rng.integers(0, topics, n)
    h = rng.standard_normal((topics, dim))[topic] + 1.5 * rng.standard_normal((n, dim))
    h = (h / np.linalg.norm(h, axis=1, keepdims=True)).astype(np.float32)
    images = np.flatnonzero(modality == 0)
    src = np.repeat(np.flatnonzero(modality == 1), 3)
    dst = np.empty_like(src)
    for t in range(topics):
        mine = topic[src] == t
        dst[mine] = rng.choice(images[topic[images] == t], mine.sum())
    if rewired:
        dst = rng.permutation(dst)
    key = np.unique(src * n + dst)
    return graph_of(modality, np.stack([key // n, key % n], 1)), h, topic
