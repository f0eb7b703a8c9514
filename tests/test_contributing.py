"""The encoder that CONTRIBUTING.md shows is a real one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphretrieval.types import ImageContent

ROOT = Path(__file__).parent.parent


@pytest.fixture
def shown() -> type[Any]:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    block = re.search(r"```python\n(.*?)```", text, re.S)
    assert block is not None
    space: dict[str, Any] = {"__name__": "shown"}
    exec(block.group(1), space)
    return space["GridEncoder"]  # type: ignore[no-any-return]


def test_the_encoder_shown_has_at_most_thirty_lines_of_code(shown: type[Any]) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    block = re.search(r"```python\n(.*?)```", text, re.S)
    assert block is not None
    body = block.group(1).split("class GridEncoder", 1)[1]
    assert len([line for line in body.splitlines() if line.strip()]) <= 30


def test_the_encoder_shown_keeps_the_contract(shown: type[Any]) -> None:
    rng = np.random.default_rng(0)
    pictures = [
        ImageContent(rng.integers(0, 256, (h, w, 3), np.uint8))
        for h, w in ((9, 7), (1, 1), (64, 5))
    ]
    encoder = shown().fit(pictures)
    rows = encoder.encode(pictures)
    assert rows.shape == (3, encoder.dim)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    again = shown.from_state(encoder.state())
    np.testing.assert_array_equal(again.encode(pictures), rows)
    assert again.version == encoder.version


def test_a_grid_of_one_colour_is_that_colour(shown: type[Any]) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    row = shown(side=2).encode([ImageContent(red)])[0]
    np.testing.assert_array_equal(row.reshape(4, 3), [[200, 0, 0]] * 4)
