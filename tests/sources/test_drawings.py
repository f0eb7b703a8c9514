"""SVG drawings are rendered in proportion, on white, and reach nothing outside themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graphretrieval.errors import TooLarge, Undecodable
from graphretrieval.sources.decode import inspect, load_image
from graphretrieval.sources.limits import Limits

LIMITS = Limits(image_side=64)
HEAD = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def drawing(path: Path, body: str, root: str = 'viewBox="0 0 20 10"', before: str = "") -> Path:
    path.write_text(f"{before}<svg {HEAD} {root}>{body}</svg>", "utf-8")
    return path


def test_a_shape_is_drawn_where_it_is_on_white(tmp_path: Path) -> None:
    path = drawing(tmp_path / "a.svg", '<rect width="10" height="10" fill="#c00"/>')
    pixels = load_image(path, LIMITS)
    assert pixels.shape == (32, 64, 3)
    assert pixels[16, 8].tolist() == [204, 0, 0]
    assert pixels[16, 56].tolist() == [255, 255, 255]
    found = inspect(path, LIMITS)
    assert (found.modality, found.media_type) == ("image", "image/svg+xml")


@pytest.mark.parametrize(
    ("root", "shape"),
    [
        ('width="10" height="40"', (64, 16)),
        ('width="1in" height="1in" viewBox="0 0 7 7"', (64, 64)),
        ('viewBox="-5,-5,30,60"', (64, 32)),
        ('width="100%" height="100%" viewBox="0 0 4 2"', (32, 64)),
    ],
)
def test_proportions_are_those_of_the_root(tmp_path: Path, root: str, shape: tuple) -> None:
    path = drawing(tmp_path / "a.svg", '<rect width="2" height="2"/>', root)
    assert load_image(path, LIMITS).shape[:2] == shape


def test_plain_text_entities_are_written_out(tmp_path: Path) -> None:
    before = '<!DOCTYPE svg [<!ENTITY red "#f00">]>'
    path = drawing(tmp_path / "a.svg", '<rect width="20" height="10" fill="&red;"/>', before=before)
    assert load_image(path, LIMITS)[5, 5].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    "entity",
    [
        '<!ENTITY x SYSTEM "file:///etc/passwd">',
        '<!ENTITY x PUBLIC "a" "http://nowhere.invalid/">',
        '<!ENTITY % x "y">',
        '<!ENTITY a "b"><!ENTITY x "&a;&a;">',
        '<!ENTITY x "<rect/>">',
        "<!ENTITY>",
    ],
)
def test_any_other_entity_is_refused(tmp_path: Path, entity: str) -> None:
    path = drawing(tmp_path / "a.svg", "<rect/>", before=f"<!DOCTYPE svg [{entity}]>")
    with pytest.raises(Undecodable, match="entities"):
        inspect(path, LIMITS)


def test_entities_that_grow_are_refused(tmp_path: Path) -> None:
    before = f'<!DOCTYPE svg [<!ENTITY x "{"y" * 1000}">]>'
    path = drawing(tmp_path / "a.svg", f"<text>{'&x;' * 2000}</text>", before=before)
    with pytest.raises(Undecodable, match="expand to 2,000,000 bytes"):
        inspect(path, LIMITS)


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("address", ["{file}", "file://{file}", "  {file}"])
def test_a_picture_outside_is_not_drawn(tmp_path: Path, address: str, quote: str) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "secret.png")
    name = quote + address.format(file=tmp_path / "secret.png") + quote
    path = drawing(tmp_path / "a.svg", f'<image xlink:href={name} width="20" height="10"/>')
    assert (load_image(path, LIMITS) == 255).all()


def test_a_part_of_the_drawing_itself_may_be_used(tmp_path: Path) -> None:
    body = '<defs><rect id="r" width="20" height="10"/></defs><use xlink:href="#r"/>'
    assert (load_image(drawing(tmp_path / "a.svg", body), LIMITS) == 0).all()


def test_a_drawing_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = drawing(tmp_path / "a.svg", " " * 500)
    with pytest.raises(TooLarge, match="the limit is 100"):
        load_image(path, Limits(max_text_bytes=100))


def test_a_damaged_drawing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text(f"<svg {HEAD}><rect")
    with pytest.raises(Undecodable, match="cannot be rendered"):
        inspect(tmp_path / "a.svg", LIMITS)


@pytest.mark.parametrize("root", ['width="1e9" height="1"', 'viewBox="0 0 1 1e9"'])
def test_a_drawing_of_extreme_proportions_is_drawn_small(tmp_path: Path, root: str) -> None:
    path = drawing(tmp_path / "a.svg", "<rect/>", root)
    assert max(load_image(path, LIMITS).shape[:2]) <= 64


def test_a_drawing_without_height_is_refused(tmp_path: Path) -> None:
    path = drawing(tmp_path / "a.svg", "<rect/>", 'width="5" height="0"')
    with pytest.raises(Undecodable, match="cannot be rendered"):
        load_image(path, LIMITS)


def test_nothing_but_white_is_white(tmp_path: Path) -> None:
    assert np.all(load_image(drawing(tmp_path / "a.svg", ""), LIMITS) == 255)
