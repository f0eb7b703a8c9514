"""A real collection gives the same answers from Neo4j as embedded."""

from __future__ import annotations

from pathlib import Path

import pytest

import graphretrieval as gr
from graphretrieval.config import Config
from graphretrieval.evaluation.same_answers import compare
from graphretrieval.retriever.sync import sync
from graphretrieval.stores import remote
from tests.conftest import Server


@pytest.mark.slow
def test_everyday_tri_answers_200_queries_alike(
    data: Path, empty_neo4j: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(remote.PASSWORD, empty_neo4j.password)
    config = Config({"cache_dir": str(tmp_path / "c"), "data_dir": str(tmp_path / "d")})
    with gr.open(tmp_path / "tri.db", config=config) as embedded:
        embedded.add(data / "everyday_tri")
        embedded.fit(seed=0)
        with gr.open(empty_neo4j.bolt, config=config) as there:
            assert sync(embedded, there).equal
            exact = compare(embedded, there, 200)
        with gr.open(empty_neo4j.bolt, config=config.replace(index="store")) as there:
            by_index = compare(embedded, there, 200)
    print(exact, by_index)
    assert exact["same_top10"] == 200
    assert by_index["overlap"] >= 0.98
