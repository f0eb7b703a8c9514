"""A small archive that brings its own vectors, so that no picture need be decoded to measure on it.

Pictures and sounds of six subjects; each picture has English and Chinese descriptions, and the
first ones a sound. All descriptions of a picture hold its name, and no others do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from graphretrieval.evaluation.protocols import Plan, Trial, prepare
from graphretrieval.retriever import Retriever
from graphretrieval.types import Graph

PICTURES, SOUNDS, SUBJECTS = 60, 24, 6
NAMES = ("lion", "house", "violin", "ship", "apple", "owl")
CHINESE = ("狮子", "房子", "小提琴", "轮船", "苹果", "猫头鹰")


def name(i: int) -> str:
    """What picture i is called: three letters of its own, so that no n-gram is shared."""
    return "".join(map(chr, range(0xAC00 + 3 * i, 0xAC03 + 3 * i)))


def write_world(folder: Path, *, split: bool = True, seed: int = 0) -> Path:
    """Write the manifest with its vectors."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    topic = rng.normal(size=(SUBJECTS, 12))
    rows, edges = [], []

    def row(id: str, modality: str, subject: int, part: str, **more: object) -> None:
        given = {"split": part} if split else {}
        category = f"subject{subject}"
        rows.append({"id": id, "modality": modality, "category": category, **given, **more})

    for i in range(PICTURES):
        s, part = i % SUBJECTS, "test" if i % 5 == 0 else "train"
        row(f"i{i:02d}", "image", s, part)
        for lang, words in (
            ("en", f"One {NAMES[s]} called {name(i)}."),
            ("en", f"The {NAMES[s]} {name(i)} again."),
            ("zh_CN", f"一个{CHINESE[s]}叫 {name(i)}。"),
        ):
            id = f"t{i:02d}{len(rows)}"
            row(id, "text", s, part, text=words, lang=lang)
            edges.append((id, f"i{i:02d}", "describes"))
    for i in range(SOUNDS):
        s, part = i % SUBJECTS, "test" if i % 5 == 0 else "train"
        row(f"a{i:02d}", "audio", s, part)
        edges.append((f"a{i:02d}", f"i{i:02d}", "related_to"))

    def vectors(n: int, width: int) -> np.ndarray:
        hidden = topic[np.arange(n) % SUBJECTS] + 0.8 * rng.normal(size=(n, 12))
        return (hidden @ rng.normal(size=(12, width))).astype(np.float32)

    np.savez(folder / "vectors.npz", image=vectors(PICTURES, 16), audio=vectors(SOUNDS, 14))
    (folder / "nodes.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")
    lines = [",".join(e) for e in (("src", "dst", "type"), *edges)]
    (folder / "edges.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def trial_of(kb: Retriever, **plan: Any) -> tuple[Trial, dict[str, Any], Graph]:
    """What a plan makes of a collection: the trial, its encoders, and the whole graph."""
    graph = kb.store.export()
    nodes = {graph.row[n.id]: n for n in kb.store.nodes()}
    trial, encoders = prepare(kb, graph, nodes, Plan(**plan), 0)
    return trial, encoders, graph
