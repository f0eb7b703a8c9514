"""The benchmark with a known truth: links add what it says, and its figures are written down."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphretrieval.evaluation import benchmarks, planted


def assert_planted(found: dict[str, Any], nodes: int) -> None:
    p = found["p@10"]
    assert p["raw"] > 2 * p["chance"]
    assert p["propagated"] > p["raw"] + 0.1
    assert p["unseen"] > p["raw"] + 0.1
    assert found["sizes"]["nodes"] == nodes
    assert [row["width"] for row in found["kernel"]] == [64, 128, 256]
    assert all(row["difference"] < 1e-4 for row in found["kernel"])


def test_links_add_what_was_planted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(planted, "REPEATS", 1)
    monkeypatch.setattr(planted, "threads", lambda: 1)
    assert_planted(planted.planted(1200, 0), 1200)
    assert "P@10 of held-out items" in capsys.readouterr().out


@pytest.mark.slow
def test_the_quick_benchmark_writes_its_figures_down(tmp_path: Path) -> None:
    out = tmp_path / "new" / "bench"
    command = [
        sys.executable,
        "-m",
        "graphretrieval.evaluation.benchmarks",
        "--quick",
        "--no-neo4j",
    ]
    subprocess.run([*command, "--out", str(out)], check=True, timeout=600)
    found = json.loads((out / "benchmarks.json").read_text("utf-8"))
    assert_planted(found["planted"], benchmarks.QUICK)


def test_links_join_mostly_what_shares_a_topic() -> None:
    world = planted.make(3000, 0)
    same = world.topic[world.graph.src] == world.topic[world.graph.dst]
    assert same.mean() == pytest.approx(planted.WITHIN, abs=0.02)
    assert not (world.graph.src == world.graph.dst).any()
    names = np.array(world.graph.relations)[world.graph.relation]
    text = world.graph.modality[world.graph.src] == planted.MODALITIES.index("text")
    assert text[names == "DESCRIBES"].all()


def test_the_same_seed_plants_the_same() -> None:
    a, b, c = planted.make(500, 1), planted.make(500, 1), planted.make(500, 2)
    np.testing.assert_array_equal(a.features["image"], b.features["image"])
    np.testing.assert_array_equal(a.graph.dst, b.graph.dst)
    assert not np.array_equal(a.topic, c.topic)
