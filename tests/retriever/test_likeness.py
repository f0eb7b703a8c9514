"""A query's walks begin at items like it, by the blocks that tell likeness for its kind."""

from __future__ import annotations

import numpy as np

from graphretrieval.retriever.likeness import choose, compared
from graphretrieval.types import Array


def _cosines(strengths: tuple[float, ...], queries: int = 80, items: int = 200) -> Array:
    rng = np.random.default_rng(0)
    right = np.eye(queries, items)
    return np.stack([s * right + rng.normal(size=right.shape) for s in strengths]).astype(
        np.float32
    )


RIGHT = np.eye(80, 200) > 0


def test_a_block_that_only_misleads_is_left_out() -> None:
    chosen = choose(_cosines((4.0, 0.0)), RIGHT)
    assert chosen is not None
    assert chosen[0] > 0.7


def test_blocks_that_complete_each_other_stay_even() -> None:
    assert choose(_cosines((2.0, 2.0)), RIGHT) is None


def test_one_block_has_nothing_to_choose() -> None:
    assert choose(_cosines((2.0,)), RIGHT) is None


def test_weights_sum_to_one() -> None:
    chosen = choose(_cosines((4.0, 0.0, 0.0)), RIGHT)
    assert chosen is not None
    np.testing.assert_allclose(chosen.sum(), 1, rtol=1e-6)


def test_probabilities_are_likened_only_where_there_is_nothing_else() -> None:
    x = np.zeros((1, 2), np.float32)
    assert compared({"posteriors": x, "pivot": x}) == ["pivot"]
    assert compared({"posteriors": x}) == ["posteriors"]
