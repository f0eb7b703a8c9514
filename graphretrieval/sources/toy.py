"""A small museum generated on the spot: real picture, sound and text files, in three languages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

# subject: (folder, English, Chinese, Spanish, shape, colour, pitch in Hz, pulses a second)
_SUBJECTS = (
    ("shapes/circle", "circle", "圆", "círculo", "ellipse", 220, 1.0),
    ("shapes/square", "square", "正方形", "cuadrado", "square", 277, 2.0),
    ("shapes/triangle", "triangle", "三角形", "triángulo", "triangle", 330, 3.0),
    ("shapes/cross", "cross", "十字", "cruz", "cross", 392, 4.0),
    ("nature/sun", "sun", "太阳", "sol", "sun", 494, 1.5),
    ("nature/moon", "moon", "月亮", "luna", "moon", 587, 2.5),
    ("nature/mountain", "mountain", "山", "montaña", "mountain", 698, 3.5),
    ("nature/wave", "wave", "波浪", "ola", "wave", 831, 5.0),
)
_COLOURS = (
    ("red", "红色的", "rojo", (200, 40, 40)),
    ("green", "绿色的", "verde", (40, 150, 60)),
    ("blue", "蓝色的", "azul", (40, 70, 200)),
    ("yellow", "黄色的", "amarillo", (220, 190, 30)),
    ("black", "黑色的", "negro", (20, 20, 20)),
    ("pink", "粉色的", "rosa", (230, 120, 170)),
)
RATE = 16_000
SIDE = 160


def write_toy(folder: Path, *, seed: int = 0) -> None:
    """Write 48 pictures with descriptions in English, Chinese and Spanish, and 24 sounds."""
    import soundfile
    from PIL import Image

    rng = np.random.default_rng(seed)
    for path, english, chinese, spanish, shape, pitch, pulse in _SUBJECTS:
        place = folder / path
        place.mkdir(parents=True, exist_ok=True)
        for i, (name, zh, es, colour) in enumerate(_COLOURS):
            stem = place / f"{name}_{english}"
            pixels = _draw(shape, colour, rng)
            Image.fromarray(pixels).save(stem.with_suffix(".png"))
            lines = (
                f"A {name} {english}.",
                f"zh_CN.utf8=一个{zh}{chinese}。",
                f"es.utf8=Un {spanish} {es}.",
            )
            stem.with_suffix(".txt").write_text("\n".join(lines) + "\n", "utf-8")
            if i % 2 == 0:
                suffix = ".wav" if i % 4 == 0 else ".flac"
                soundfile.write(stem.with_suffix(suffix), _sound(pitch, pulse, rng), RATE)


def _draw(
    shape: str, colour: tuple[int, int, int], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """A shape in its colour somewhere on a pale ground ``(SIDE, SIDE, 3)``."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    cx, cy = rng.uniform(0.4, 0.6, 2) * SIDE
    r = rng.uniform(0.22, 0.34) * SIDE
    dx, dy = (x - cx) / r, (y - cy) / r
    inside = {
        "ellipse": dx**2 + dy**2 < 1,
        "square": np.maximum(abs(dx), abs(dy)) < 0.9,
        "triangle": (dy < 0.8) & (dy > 2 * abs(dx) - 1),
        "cross": np.minimum(abs(dx), abs(dy)) < 0.3,
        "sun": np.hypot(dx, dy) < 0.6 + 0.4 * (np.cos(8 * np.arctan2(dy, dx)) > 0),
        "moon": (dx**2 + dy**2 < 1) & ((dx - 0.5) ** 2 + dy**2 > 0.8),
        "mountain": dy > np.minimum(abs(dx + 0.5), abs(dx - 0.6)) - 0.5,
        "wave": abs(dy - 0.4 * np.sin(5 * dx)) < 0.25,
    }[shape]
    inside &= (abs(dx) < 1.2) & (abs(dy) < 1.2)
    ground = rng.uniform(225, 250, 3) + rng.normal(0, 4, (SIDE, SIDE, 3))
    ink = np.array(colour) + rng.normal(0, 8, (SIDE, SIDE, 3))
    return np.clip(np.where(inside[..., None], ink, ground), 0, 255).astype(np.uint8)


def _sound(pitch: float, pulse: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """One second of a pulsing tone with its overtones."""
    t = np.arange(RATE) / RATE
    tuned = pitch * rng.uniform(0.97, 1.03)
    tone = sum(np.sin(2 * np.pi * tuned * k * t) / k**1.5 for k in range(1, 6))
    beat = 0.55 + 0.45 * np.sin(2 * np.pi * pulse * t + rng.uniform(0, 6))
    return np.asarray(0.3 * tone * beat + rng.normal(0, 0.005, RATE), np.float32)
