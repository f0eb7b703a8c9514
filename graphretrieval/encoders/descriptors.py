"""Local descriptors of a picture on a dense grid at several scales: edges and colours.

Each descriptor looks at a square of 4 × 4 cells of 4 pixels and carries the place of its centre,
so that a Fisher vector over it knows roughly where things are (Sánchez, Perronnin & de Campos
2012). Smaller copies of the picture stand for larger squares.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from graphretrieval.types import Array, Bools, ImageContent, Ints

CELL = 4
SQUARE = 4 * CELL
STEP = 6  # pixels between neighbouring squares
SCALES = (1.0, 0.707, 0.5, 0.354, 0.25)
COLOUR_SCALES = SCALES[1:]  # photographs are stored with half the resolution in colour
LEAST, MOST = 32, 256  # pixels on the shorter, longer side
ORIENTATIONS = 8
FLAT = 1.0  # gradient energy of a square below which its edges are noise
CLIP = 0.2  # Lowe 2004: no single gradient may rule a descriptor
PLACE = 2  # columns: x, y in [-½, ½]
CENTRE = 0.3  # |x|, |y| below this: about a third of the picture


def prepare(content: ImageContent) -> Array:
    """The picture as float32 RGB in 0 … 255, at 32 to 256 pixels a side."""
    pixels = np.asarray(content.pixels, np.float32)
    h, w = pixels.shape[:2]
    scale = min(1.0, MOST / max(h, w))
    size = (max(LEAST, round(w * scale)), max(LEAST, round(h * scale)))
    if size != (w, h):
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32)
    return np.ascontiguousarray(pixels)


def edges(picture: Array) -> Array:
    """Dense SIFT (Lowe 2004; Hellinger-normalised: Arandjelović & Zisserman 2012), (n, 128 + 2)."""
    gray = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)
    return np.vstack([_sift(level, CELL) for level in _pyramid(gray)])


def colour_edges(picture: Array) -> Array:
    """Dense SIFT of the opponent colours (van de Sande et al. 2010), ``(n, 2 · 128 + 2)``.

    Red against green, and both against blue: edges that a grey picture does not show.
    """
    r, g, b = picture[..., 0], picture[..., 1], picture[..., 2]
    out = []
    opponent = np.stack([(r - g) / 2, (r + g - 2 * b) / 4], axis=2).astype(np.float32)
    for level in _pyramid(opponent, COLOUR_SCALES):
        first, second = (_sift(np.ascontiguousarray(level[..., i]), CELL) for i in (0, 1))
        out.append(np.hstack([first[:, :-PLACE], second]))
    return np.vstack(out)


def colours(picture: Array) -> Array:
    """Mean and deviation of R, G, B in each cell (Clinchant et al. 2007), ``(n, 96 + 2)``."""
    out = []
    for level in _pyramid(picture / np.float32(255)):
        mean = cv2.blur(level, (CELL, CELL))
        deviation = np.sqrt(np.maximum(cv2.blur(level * level, (CELL, CELL)) - mean * mean, 0))
        out.append(_squares(np.concatenate([mean, deviation], axis=2), CELL, STEP))
    return np.vstack(out)


def with_mirrored(descriptors: Array, order: Ints) -> Array:
    """Descriptors and those of the picture in a mirror, ``(2 n, d)``, by swapping cells."""
    other = descriptors[:, order]
    other[:, -PLACE] *= -1
    return np.vstack([descriptors, other])


def mirror_order(channels: int, *, turned: bool, kinds: int = 1) -> Ints:
    """Where each column of a mirrored descriptor comes from.

    Args:
        channels: values in a cell.
        turned: they are directions, of which the mirror makes π minus the direction.
        kinds: descriptors side by side.
    """
    cells = np.arange(kinds * 16 * channels).reshape(kinds, 4, 4, channels)[:, :, ::-1]
    if turned:
        cells = cells[..., (channels // 2 - np.arange(channels)) % channels]
    body = cells.ravel()
    return np.concatenate([body, len(body) + np.arange(PLACE)])


def centre(descriptors: Array) -> Bools:
    """Which squares lie in the middle of the picture, where the subject mostly is."""
    return np.asarray((np.abs(descriptors[:, -PLACE:]) < CENTRE).all(1))


def outline(picture: Array, side: int = 64, cell: int = 8) -> Array:
    """The whole picture's histograms of oriented gradients (Dalal & Triggs 2005), ``(3200,)``.

    Overlapping squares of 4 × 4 cells of 8 pixels on a 64 × 64 copy, added to those of its mirror.
    """
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    gray = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)
    both = [gray, np.ascontiguousarray(gray[:, ::-1])]
    return np.asarray(sum(_sift(g, cell, step=cell)[:, :-PLACE].ravel() for g in both), np.float32)


def _pyramid(picture: Array, scales: tuple[float, ...] = SCALES) -> Iterator[Array]:
    h, w = picture.shape[:2]
    for scale in scales:
        size = (max(LEAST, round(w * scale)), max(LEAST, round(h * scale)))
        if scale == 1.0:
            yield picture
        else:
            yield np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _sift(gray: Array, cell: int, step: int | None = None) -> Array:
    maps = _orientations(gray)
    # a triangle of ± one cell: each pixel is shared between the cells it lies between
    triangle = 1 - np.abs(np.arange(1 - cell, cell, dtype=np.float32)) / cell
    soft = np.asarray(cv2.sepFilter2D(maps, -1, triangle, triangle), np.float32)
    descriptors = _squares(soft, cell, step or STEP)
    x = descriptors[:, :-PLACE]
    energy = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.minimum(x / np.maximum(energy, 1e-6), CLIP)
    x = np.sqrt(x / np.maximum(x.sum(1, keepdims=True), 1e-6))
    descriptors[:, :-PLACE] = np.where(energy < FLAT, 0, x)
    return descriptors


def _orientations(gray: Array) -> Array:
    """Gradient strength by direction, each shared between the two nearest of 8, ``(h, w, 8)``."""
    gx = cv2.Sobel(gray, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
    gy = cv2.Sobel(gray, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
    strength, angle = cv2.cartToPolar(gx, gy)
    turn = angle * np.float32(ORIENTATIONS / (2 * np.pi))
    low = np.floor(turn)
    high_share = turn - low
    first = low.astype(np.int64).ravel() % ORIENTATIONS
    maps = np.zeros((gray.size, ORIENTATIONS), np.float32)
    pixel = np.arange(gray.size)
    maps[pixel, first] = (strength * (1 - high_share)).ravel()
    maps[pixel, (first + 1) % ORIENTATIONS] = (strength * high_share).ravel()
    return maps.reshape(*gray.shape, ORIENTATIONS)


def _squares(maps: Array, cell: int, step: int) -> Array:
    """Values at the centres of the 4 × 4 cells of every square, and the square's place.

    ``(h, w, c)`` → ``(ny · nx, 16 · c + 2)``.
    """
    h, w, c = maps.shape
    first = cell * 3 // 2  # from a square's first cell centre to its own centre
    ny, nx = ((side - 2 * first - 1) // step + 1 for side in (h, w))
    out = np.empty((ny, nx, 16 * c + PLACE), np.float32)
    for i in range(4):
        for j in range(4):
            rows = slice(i * cell, i * cell + (ny - 1) * step + 1, step)
            columns = slice(j * cell, j * cell + (nx - 1) * step + 1, step)
            at = (4 * i + j) * c
            out[:, :, at : at + c] = maps[rows, columns]
    out[:, :, -2] = (np.arange(nx) * step + first) / w - 0.5
    out[:, :, -1] = ((np.arange(ny) * step + first) / h - 0.5)[:, None]
    return out.reshape(ny * nx, -1)
