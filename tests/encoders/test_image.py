"""Pictures to features: wild sizes, saved and loaded, and what must come out alike."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.encoders.descriptors import colours, edges, prepare
from graphretrieval.encoders.image import ImageEncoder
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.types import ImageContent


def picture(kind: int, seed: int, h: int = 70, w: int = 90) -> ImageContent:
    """Stripes of one direction and colour, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w]
    wave = np.sin((x, y, x + y)[kind % 3] / (2.0 + seed % 2)) * 60 + 120
    rgb = np.stack([wave * (0.4 + 0.6 * (kind == c)) for c in range(3)], axis=2)
    return ImageContent(np.clip(rgb + rng.normal(0, 8, rgb.shape), 0, 255).astype(np.uint8))


PICTURES = [picture(kind, seed) for kind in range(3) for seed in range(4)]


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    return ImageEncoder(parts=8, axes=16).fit(PICTURES, seed=0)


def test_pictures_of_one_kind_are_nearest_to_each_other(encoder: ImageEncoder) -> None:
    x = encoder.encode(PICTURES)
    fresh = encoder.encode([picture(kind, 9) for kind in range(3)])
    nearest = ((fresh[:, None] - x[None]) ** 2).sum(2).argmin(1) // 4
    assert nearest.tolist() == [0, 1, 2]


def test_rows_do_not_depend_on_their_neighbours(encoder: ImageEncoder) -> None:
    together = encoder.encode(PICTURES[:3])
    assert together.shape == (3, encoder.dim)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together[1:2], encoder.encode(PICTURES[1:2]), atol=1e-6)


def test_comes_back_exactly_from_its_state(encoder: ImageEncoder) -> None:
    back = ImageEncoder.from_state(encoder.state())
    np.testing.assert_array_equal(back.encode(PICTURES), encoder.encode(PICTURES))
    assert (back.version, back.dim, back.parts) == (encoder.version, encoder.dim, 8)


def test_the_version_follows_what_was_learned(encoder: ImageEncoder) -> None:
    assert ImageEncoder(parts=8, axes=16).fit(PICTURES, seed=0).version == encoder.version
    assert ImageEncoder(parts=8, axes=16).fit(PICTURES[1:], seed=0).version != encoder.version


def test_nothing_in_nothing_out(encoder: ImageEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (700, 2), (3000, 20), (31, 33)])
@pytest.mark.parametrize("value", [0, 255])
def test_blank_pictures_of_any_size_are_finite(
    encoder: ImageEncoder, shape: tuple[int, int], value: int
) -> None:
    x = encoder.encode([ImageContent(np.full((*shape, 3), value, np.uint8))])
    assert np.isfinite(x).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 9))
def test_noise_of_any_size_is_finite(encoder: ImageEncoder, h: int, w: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (h, w, 3)).astype(np.uint8)
    assert np.isfinite(encoder.encode([ImageContent(pixels)])).all()


def test_learns_from_one_blank_pixel() -> None:
    one = [ImageContent(np.full((1, 1, 3), 255, np.uint8))]
    assert np.isfinite(ImageEncoder(parts=4).fit(one).encode(PICTURES[:2])).all()


def test_edges_lie_in_the_bin_of_their_direction() -> None:
    ramp = np.repeat(np.arange(64, dtype=np.float32)[None] * 4, 64, 0)  # brighter to the right
    for turns in range(4):
        x = edges(prepare(ImageContent(np.stack([np.rot90(ramp, turns)] * 3, 2).astype(np.uint8))))
        strength = x[:, :-2].reshape(-1, 16, 8).sum((0, 1))
        # image rows run downwards: a quarter turn against the clock points upwards, bin 6 of 8
        assert strength.argmax() == (0, 6, 4, 2)[turns]


def test_colours_of_an_even_picture_are_its_colour_without_deviation() -> None:
    even = np.full((40, 40, 3), (255, 51, 0), np.uint8)
    x = colours(prepare(ImageContent(even)))[:, :-2].reshape(-1, 16, 6)
    np.testing.assert_allclose(x, np.broadcast_to([1, 0.2, 0, 0, 0, 0], x.shape), atol=1e-3)


def test_refuses_to_learn_from_nothing() -> None:
    with pytest.raises(NothingToLearn, match="no picture was given"):
        ImageEncoder().fit([])


@pytest.mark.parametrize("ask", ["encode", "state", "dim"])
def test_says_that_it_was_not_fitted(ask: str) -> None:
    encoder = ImageEncoder()
    assert encoder.version.endswith("unfitted")
    with pytest.raises(NotFitted, match="before it learned any"):
        {
            "encode": lambda: encoder.encode(PICTURES[:1]),
            "state": encoder.state,
            "dim": lambda: encoder.dim,
        }[ask]()


def test_real_photographs_of_a_kind_are_told_apart(data: Path) -> None:
    """Six helicopters among six seas, each found by its nearest other photograph."""
    folder = data / "everyday_tri" / "images"
    files = [
        p for kind in ("helicopter", "sea_waves") for p in sorted((folder / kind).iterdir())[:6]
    ]
    photos = [ImageContent(cv2.imread(str(p))[:, :, ::-1]) for p in files]
    x = ImageEncoder(parts=16).fit(photos).encode(photos)
    likeness = x @ x.T - 9 * np.eye(12)
    assert (likeness.argmax(1) // 6 == np.arange(12) // 6).sum() >= 10
