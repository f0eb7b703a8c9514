from __future__ import annotations

import numpy as np
import pytest

from graphretrieval.errors import NotRegistered
from graphretrieval.gnn.auto import AutoRefiner, ranked, without
from graphretrieval.gnn.none import NoRefiner
from graphretrieval.gnn.trial import trials
from tests.gnn.planted import graph_of, planted
from tests.gnn.test_propagate import precision, some_edges

#: One round is enough to tell a graph that helps.
ONE = {"propagate": {"max_depth": 1}, "sign": {"steps": 60}}


def test_a_true_graph_is_made_use_of():
    graph, h, topic = planted(0)
    auto = AutoRefiner(candidates=("none", "propagate", "sign"), options=ONE)
    auto.fit(graph, h, some_edges(graph, 0.2))
    assert auto.chosen_ in ("propagate", "sign")
    assert auto.report_[f"mrr:{auto.chosen_}"] > auto.report_["mrr:none"]
    z = auto.refine(graph, h)
    assert precision(graph, h, z, topic) > precision(graph, h, h, topic) + 0.1


def test_a_rewired_graph_is_answered_with_none():
    graph, h, _ = planted(0, rewired=True)
    auto = AutoRefiner(candidates=("none", "propagate", "sign"), options=ONE).fit(
        graph, h, some_edges(graph)
    )
    assert auto.chosen_ == "none"


def test_the_simplest_of_equals_is_chosen():
    graph, h, _ = planted(0)
    twice = AutoRefiner(candidates=("none", "propagate", "propagate", "none"), options=ONE)
    assert twice.fit(graph, h, some_edges(graph, 0.2)).chosen_ == "propagate"
    first = AutoRefiner(candidates=("propagate", "none"), options=ONE).fit(
        graph, h, some_edges(graph, 0.2)
    )
    assert first.chosen_ == "propagate"


def test_candidates_never_see_the_links_they_are_judged_by():
    graph = graph_of([0, 1, 1], [(1, 0, 0), (2, 0, 0), (0, 1, 1)], ("DESCRIBES", "SHOWN_BY"))
    rest, kept = without(graph, np.array([0]), np.array([1]))
    # SHOWN_BY joins the same two nodes the other way round
    assert list(zip(rest.src, rest.dst, strict=True)) == [(2, 0)]
    assert kept.tolist() == [0]


def test_all_judged_links_are_ranked():
    graph, h, _ = planted(0)
    asked = trials(graph, h, some_edges(graph), 1000, 1000, 0)
    ranks = ranked(NoRefiner(), asked, h)
    halves = [t.reciprocal_ranks(h, h, held_out=half) for t in asked for half in (True, False)]
    assert sorted(ranks) == sorted(np.concatenate(halves))


def test_options_reach_the_candidates_and_come_back_with_the_state():
    graph, h, _ = planted(0)
    options = {"propagate": {"max_depth": 1}}
    auto = AutoRefiner(candidates=("none", "propagate"), options=options)
    again = AutoRefiner.from_state(auto.fit(graph, h, some_edges(graph, 0.2)).state())
    assert again.refiner_.max_depth == 1
    assert again.options == options
    assert again.report_ == auto.report_


def test_a_winner_that_propagates_can_be_followed_edge_by_edge():
    graph, h, _ = planted(0)
    auto = AutoRefiner(candidates=("none", "propagate"), options=ONE)
    auto.fit(graph, h, some_edges(graph, 0.2))
    assert auto.depth_ == auto.refiner_.depth_ > 0
    assert auto.strength_ == auto.refiner_.strength_
    network = AutoRefiner(candidates=("sign",), options={"sign": {"steps": 20}})
    assert not hasattr(network.fit(graph, h, some_edges(graph, 0.2)), "depth_")


def test_an_unknown_candidate_is_answered_with_the_choices():
    graph, h, _ = planted(0)
    with pytest.raises(NotRegistered, match="no refiner is called 'sag'"):
        AutoRefiner(candidates=("none", "sag")).fit(graph, h, some_edges(graph))
