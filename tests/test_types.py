"""Nodes and edges refuse what no store could hold."""

from __future__ import annotations

import pytest

from graphretrieval.errors import InvalidNode
from graphretrieval.types import Edge, Node


@pytest.mark.parametrize("name", ["", "lower", "A B", "A`]->()", "1A", "A" * 65, "Ä"])
def test_a_relation_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidNode, match="relation name"):
        Edge("a", name, "b")


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_is_no_amount_is_refused(weight: float) -> None:
    with pytest.raises(InvalidNode, match="weight"):
        Edge("a", "R", "b", weight)


@pytest.mark.parametrize("modality", ["", "Image", "a b", "1"])
def test_a_modality_that_is_no_word_is_refused(modality: str) -> None:
    with pytest.raises(InvalidNode):
        Node("a", modality)


def test_an_empty_id_is_refused() -> None:
    with pytest.raises(InvalidNode):
        Node("", "image")
