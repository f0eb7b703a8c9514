from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from graphretrieval.gnn.checkpoint import Checkpoint, fingerprint
from graphretrieval.gnn.gat import GatRefiner
from graphretrieval.gnn.network import absorb
from graphretrieval.gnn.sage import SageRefiner
from graphretrieval.gnn.training import Schedule, contrast
from graphretrieval.gnn.trial import trials
from graphretrieval.types import Graph, State
from tests.gnn.planted import planted
from tests.gnn.test_propagate import some_edges


class Killed(Exception):
    pass


def test_a_shut_gate_changes_nothing_and_an_open_one_mixes():
    x, g = torch.tensor([[1.0, 0], [1, 0], [0, 0], [1, 0]]), torch.tensor([[0.0, 3]]).expand(4, 2)
    own, heard = torch.tensor([1, 1, 0, 1]).bool(), torch.tensor([1, 1, 1, 0]).bool()
    z = absorb(x, g, torch.tensor([0.0, 0.5, 0.5, 0.5]), own, heard)
    np.testing.assert_allclose(z, [[1, 0], [2 / 3, 1], [0, 3], [1, 0]], rtol=1e-6)


@pytest.mark.parametrize("open", [0.0, 0.5, -0.5])
def test_who_has_no_vector_takes_what_it_hears_whatever_the_gate(open):
    x, g = torch.zeros(2, 2), torch.tensor([[0.0, 3], [0, 3]], requires_grad=True)
    own, heard = torch.tensor([False, False]), torch.tensor([True, False])
    z = absorb(x, g, torch.full((2,), open), own, heard)
    np.testing.assert_allclose(z.detach(), [[0, 3], [0, 0]])
    z.sum().backward()
    np.testing.assert_allclose(g.grad, [[1, 1], [0, 0]])  # what is said can be learned


@pytest.mark.parametrize("refiner", [SageRefiner, GatRefiner])
def test_what_lies_behind_nodes_without_a_vector_is_heard(refiner):
    graph, h, links = through_bare_nodes()
    made = refiner(steps=60, schedule={"every": 10, "rate": 5e-3}).fit(graph, h, links)
    assert made.active_
    assert made.report_["mrr"] > 2 * made.report_["mrr@0"]


def through_bare_nodes(n=120, d=16):
    """Pictures of noise, each behind a node without a vector and a text that tells what is on it.

    Other texts, which know it as well, ask for the pictures: those links are returned.
    """
    rng = np.random.default_rng(0)
    at = np.arange(n)
    parts = ("image", "source", "text", "text")
    graph = Graph(
        [f"{part}{i}{k:03d}" for i, part in enumerate(parts) for k in range(n)],
        ("image", "source", "text"),
        np.repeat([0, 1, 2, 2], n).astype(np.int16),
        ("DESCRIBES", "PART_OF", "RELATED_TO"),
        np.concatenate([2 * n + at, n + at, 3 * n + at]).astype(np.int32),
        np.concatenate([n + at, at, at]).astype(np.int32),
        np.repeat([1, 2, 0], n).astype(np.int16),
        np.ones(3 * n, np.float32),
    )
    truth = rng.standard_normal((n, d))
    noise = [rng.standard_normal((n, d)) for _ in range(3)]
    bare = np.zeros((n, d))
    h = np.concatenate([noise[0], bare, truth + 0.3 * noise[1], truth + 0.3 * noise[2]])
    return graph, h.astype(np.float32), np.arange(2 * n, 3 * n)


def test_the_loss_is_the_cross_entropy_of_the_right_answer():
    graph, h, _ = planted(0, n=300)
    found = trials(graph, h, np.arange(0, len(graph.src), 8), 600, 80, 0)
    network = torch.nn.Module()
    network.log_sharpness = torch.nn.Parameter(torch.tensor(np.log(7.0), dtype=torch.float32))

    def embed(trial, nodes, rng):
        return torch.from_numpy(h[nodes])

    group = found[0].groups[0]
    rows = np.flatnonzero(~group.held_out)[:5]
    rng = np.random.default_rng(0)
    loss = contrast(network, embed, found, h, 0, [(0, rows)], None, rng)
    want = []
    for row in rows:
        score = {
            j: np.exp(7 * float(h[group.asks[row]] @ h[node]))  # planted rows have unit length
            for j, node in enumerate(group.gallery)
            if not group.also[row, j]
        }
        want.append(-np.log(score[group.answer[row]] / sum(score.values())))
    assert float(loss.detach()) == pytest.approx(np.mean(want), rel=1e-4)


def test_a_full_batch_learns_from_all_questions():
    graph, h, _ = planted(0)
    steps = {"schedule": {"every": 10, "rate": 5e-3}, "steps": 40}
    refiner = SageRefiner(fanout=0, **steps).fit(graph, h, some_edges(graph))
    assert refiner.active_
    assert refiner.report_["mrr"] > refiner.report_["mrr@0"] * 1.2


def test_training_stops_when_it_gets_no_better():
    graph, h, _ = planted(0, rewired=True)
    quick = {"every": 5, "patience": 2}
    refiner = SageRefiner(schedule=quick).fit(graph, h, some_edges(graph))
    assert refiner.report_["steps"] < refiner.steps


def test_a_schedule_is_given_by_name():
    with pytest.raises(TypeError, match="patienc"):
        Schedule(patienc=3)


def fit(checkpoint, progress=lambda *_: None, seed=0, **options):
    graph, h, _ = planted(0, n=600)
    quick = {"every": 5}
    refiner = SageRefiner(steps=30, schedule=quick, checkpoint=checkpoint, **options)
    return refiner.fit(graph, h, some_edges(graph, 0.2), seed=seed, progress=progress)


def weights(refiner):
    return {k: v.tolist() for k, v in refiner.network_.state_dict().items()}


def until(step):
    def progress(done, total, what):
        if done == step:
            raise Killed

    return progress


@pytest.mark.parametrize("step", [5, 15, 25])
def test_training_goes_on_after_a_kill_as_if_it_had_not_been_stopped(tmp_path, step):
    file = tmp_path / "kept" / "sage.refiner"
    with pytest.raises(Killed):
        fit(file, until(step))
    told = []
    again = fit(file, lambda done, *_: told.append(done))
    assert min(told) == min(step + 5, 30)
    whole = fit(None)
    assert weights(again) == weights(whole)
    assert again.report_ == whole.report_


def test_a_checkpoint_is_gone_once_training_is_done(tmp_path):
    file = tmp_path / "sage.refiner"
    fit(file)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"seed": 1}, {"layers": 1}])
def test_another_tasks_checkpoint_is_not_gone_on_with(tmp_path, change):
    file = tmp_path / "sage.refiner"
    with pytest.raises(Killed):
        fit(file, until(15))
    told = []
    fit(file, lambda done, *_: told.append(done), **change)
    assert min(told) == 5


@pytest.mark.parametrize("size", [0, 7, 300])
def test_a_damaged_checkpoint_costs_time_and_nothing_else(tmp_path, size):
    file = tmp_path / "sage.refiner"
    with pytest.raises(Killed):
        fit(file, until(15))
    file.write_bytes(file.read_bytes()[:size])
    assert weights(fit(file)) == weights(fit(None))


def test_a_checkpoint_is_replaced_whole(tmp_path):
    kept = Checkpoint(tmp_path / "a", "task")
    assert kept.load() is None
    for value in (1.0, 2.0):
        kept.save(State({"x": np.full(3, value)}, {"step": int(value)}))
        assert [p.name for p in tmp_path.iterdir()] == ["a"]
    state = kept.load()
    assert state.arrays["x"].tolist() == [2, 2, 2]
    assert state.settings == {"step": 2}
    assert Checkpoint(tmp_path / "a", "another").load() is None


def test_any_change_of_the_task_changes_its_fingerprint():
    graph, h, _ = planted(0, n=300)
    edges = np.arange(5)
    marks = {
        fingerprint({"seed": 0}, graph, h, edges),
        fingerprint({"seed": 1}, graph, h, edges),
        fingerprint({"seed": 0}, graph, h + 1, edges),
        fingerprint({"seed": 0}, graph, h, edges + 1),
        fingerprint({"seed": 0}, graph.with_edges(np.arange(9)), h, edges),
    }
    assert len(marks) == 5
    assert fingerprint({"seed": 0}, graph, h, edges) in marks


CHILD = """
import sys
from tests.gnn.test_training import fit
def progress(done, total, what):
    print(done, flush=True)
fit(sys.argv[1], progress)
"""


@pytest.mark.slow
def test_training_goes_on_after_a_kill_by_the_system(tmp_path):
    file = tmp_path / "sage.refiner"
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CHILD, str(file)], stdout=subprocess.PIPE, text=True
    )
    lines = iter(child.stdout)
    while int(next(lines)) < 10:
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert weights(fit(file)) == weights(fit(None))
