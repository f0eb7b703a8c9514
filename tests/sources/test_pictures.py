"""Pictures of every format and mode come out upright, in RGB, on white, and small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graphretrieval.errors import TooLarge, Undecodable
from graphretrieval.sources.decode import inspect, load_image
from graphretrieval.sources.limits import Limits

LIMITS = Limits(image_side=64)
TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "tif": "image/tiff",
    "ppm": "image/x-portable-anymap",
    "jp2": "image/jp2",
}


def halves(mode: str = "RGB", left: object = (200, 30, 30), right: object = (30, 30, 200)):
    """24 × 12 pixels, the left half of one colour, the right half of another."""
    picture = Image.new(mode, (24, 12), right)
    picture.paste(left, (0, 0, 12, 12))
    return picture


def seen(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pixels, and the mean colours of the left and of the right."""
    pixels = load_image(path, LIMITS)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    w = pixels.shape[1]
    return (
        pixels,
        pixels[:, : w // 2 - 1].mean(axis=(0, 1)),
        pixels[:, w // 2 + 1 :].mean(axis=(0, 1)),
    )


@pytest.mark.parametrize("suffix", TYPES)
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    halves().save(path)
    found = inspect(path, LIMITS)
    assert (found.media_type, found.width, found.height) == (TYPES[suffix], 24, 12)
    pixels, left, right = seen(path)
    assert pixels.shape == (12, 24, 3)
    np.testing.assert_allclose(left, (200, 30, 30), atol=25)
    np.testing.assert_allclose(right, (30, 30, 200), atol=25)


@pytest.mark.parametrize(
    ("picture", "left", "right"),
    [
        (halves("L", 10, 240), 10, 240),
        (halves("1", 0, 1), 0, 255),
        (halves("LA", (10, 255), (10, 0)), 10, 255),
        (halves("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)), 0, 255),
        (halves("RGBA", (0, 0, 0, 128), (0, 0, 0, 255)), 127, 0),
        (halves("RGBA", (255, 0, 0, 255), (0, 0, 0, 0)).quantize(4), (255, 0, 0), 255),
        (halves().quantize(4), (200, 30, 30), (30, 30, 200)),
    ],
    ids=[
        "grey",
        "black and white",
        "grey alpha",
        "alpha",
        "half seen through",
        "palette alpha",
        "palette",
    ],
)
def test_every_mode_is_laid_on_white(
    tmp_path: Path, picture: Image.Image, left: object, right: object
) -> None:
    picture.save(tmp_path / "a.png")
    _, a, b = seen(tmp_path / "a.png")
    np.testing.assert_allclose(a, np.broadcast_to(left, 3), atol=3)
    np.testing.assert_allclose(b, np.broadcast_to(right, 3), atol=3)


def test_a_gif_with_one_transparent_colour_is_laid_on_white(tmp_path: Path) -> None:
    picture = halves("P", 0, 1)
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "a.gif", transparency=1)
    _, a, b = seen(tmp_path / "a.gif")
    assert a.tolist() == [255, 0, 0]
    assert b.tolist() == [255, 255, 255]


def test_printers_colours_become_screen_colours(tmp_path: Path) -> None:
    halves().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    _, a, b = seen(tmp_path / "a.jpg")
    assert a[0] > 150 > a[2]
    assert b[2] > 150 > b[0]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_read_by_their_high_byte(tmp_path: Path, suffix: str) -> None:
    values = np.full((12, 24), 40_000, np.uint16)
    values[:, :12] = 1_000
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    _, a, b = seen(tmp_path / f"a.{suffix}")
    assert a.tolist() == [1_000 >> 8] * 3
    assert b.tolist() == [40_000 >> 8] * 3


def test_measured_values_are_spread_from_least_to_greatest(tmp_path: Path) -> None:
    values = np.full((12, 24), 7.5, np.float32)
    values[:, :12] = -2.5
    Image.fromarray(values).save(tmp_path / "a.tif")
    _, a, b = seen(tmp_path / "a.tif")
    assert a.tolist() == [0] * 3
    assert b.tolist() == [255] * 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_camera_on_its_side_gives_an_upright_picture(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    upright = Image.fromarray(
        np.repeat(np.repeat(np.array([[0, 90], [160, 250], [60, 200]], np.uint8), 8, 0), 8, 1)
    )
    t = Image.Transpose
    # what the camera stored, so that the orientation turns it upright again
    turned = {
        1: None,
        2: t.FLIP_LEFT_RIGHT,
        3: t.ROTATE_180,
        4: t.FLIP_TOP_BOTTOM,
        5: t.TRANSPOSE,
        6: t.ROTATE_90,
        7: t.TRANSVERSE,
        8: t.ROTATE_270,
    }[orientation]
    stored = upright if turned is None else upright.transpose(turned)
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a.{suffix}"
    stored.save(path, exif=exif, quality=95)
    found = inspect(path, LIMITS)
    assert (found.width, found.height) == upright.size == (16, 24)
    pixels = load_image(path, LIMITS)
    assert pixels.shape[:2] == (24, 16)
    np.testing.assert_allclose(
        pixels.reshape(3, 8, 2, 8, 3).mean(axis=(1, 3, 4)), [[0, 90], [160, 250], [60, 200]], atol=4
    )


def test_what_exif_says_of_the_picture_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[270], exif[315], exif[33432] = "A lion asleep", " \n", "CC0"
    halves().save(tmp_path / "a.jpg", exif=exif)
    assert inspect(tmp_path / "a.jpg", LIMITS).exif == {
        "description": "A lion asleep",
        "copyright": "CC0",
    }


@pytest.mark.parametrize(("size", "small"), [((640, 320), (32, 64)), ((3, 4000), (64, 1))])
def test_a_large_picture_is_made_small_in_proportion(
    tmp_path: Path, size: tuple[int, int], small: tuple[int, int]
) -> None:
    Image.new("RGB", size, "green").save(tmp_path / "a.jpg")
    assert load_image(tmp_path / "a.jpg", LIMITS).shape == (*small, 3)
    found = inspect(tmp_path / "a.jpg", LIMITS)
    assert (found.width, found.height) == size


def test_a_small_picture_is_not_blown_up(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), "green").save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png", LIMITS).tolist() == [[[0, 128, 0]]]


def test_of_a_moving_picture_the_first_frame_is_seen(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_image(tmp_path / "a.gif", LIMITS)[4, 4].tolist() == [255, 0, 0]


def test_a_picture_of_more_pixels_than_allowed_is_refused(tmp_path: Path) -> None:
    Image.new("L", (101, 100)).save(tmp_path / "a.png")
    with pytest.raises(TooLarge, match="101 × 100 pixels, the limit is 10,000"):
        load_image(tmp_path / "a.png", Limits(max_pixels=10_000))


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp", "tif"])
def test_a_picture_cut_in_the_middle_is_refused(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rng.integers(0, 255, (60, 60, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(Undecodable):
        inspect(path, LIMITS)
