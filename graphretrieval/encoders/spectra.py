"""Sound, frame by frame: mel-frequency cepstra and the shape of each spectrum.

Frames of 25 ms every 10 ms at 16 kHz. Levels are decibels / 10 below the recording's loudest band,
cut at −80 dB, so that gain does not matter and silence is a flat floor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import gcd

import numpy as np
from scipy.fft import dct, rfft
from scipy.signal import resample_poly

from graphretrieval.types import Array, AudioContent

RATE = 16_000
WINDOW, HOP, FFT = 400, 160, 512
FRAMES_PER_SECOND = RATE / HOP
BANDS = 40
CEPSTRA = 20
FLOOR = -8.0  # log10 of power against the loudest band
MODULATION = (0.5, 1.5, 3, 6, 10, 16, 25, 40)  # Hz: edges between slow swells and roughness
QUIET = 1e-10  # power of a frame at the noise of 16-bit silence


@dataclass(frozen=True)
class Frames:
    """One recording as frames."""

    bands: Array = field(repr=False)  # (t, 40) log10 mel power
    cepstra: Array = field(repr=False)  # (t, 20)
    shape: Array = field(repr=False)  # (t, 8)

    def local(self) -> Array:
        """Cepstra and their slopes, ``(t, 40)``: the descriptors of a Fisher vector."""
        return np.hstack([self.cepstra, slope(self.cepstra)])


def frames(content: AudioContent) -> Frames:
    """Frames of a recording of any length ≥ 0 samples and any rate; at least one frame."""
    samples = _at_rate(content)
    t = 1 + max(0, len(samples) - WINDOW) // HOP
    samples = np.pad(samples, (0, max(0, WINDOW - len(samples))))
    cut = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP][:t]  # (t, 400)
    spectrum = rfft(cut * _hann(), FFT, axis=1)  # (t, 257)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    bands = _log_bands(power)
    cepstra = np.asarray(dct(bands, axis=1, norm="ortho")[:, :CEPSTRA], np.float32)
    return Frames(bands, cepstra, np.hstack([_shape(power), _crossings(cut)]))


def slope(x: Array, reach: int = 2) -> Array:
    """Regression slope over ± ``reach`` frames, ``(t, d)`` → ``(t, d)``; the ends are held."""
    t = len(x)
    held = np.pad(x, ((reach, reach), (0, 0)), mode="edge")
    total = np.zeros_like(x)
    for i in range(1, reach + 1):
        total += i * (held[reach + i : reach + i + t] - held[reach - i : reach - i + t])
    return total / np.float32(2 * sum(i * i for i in range(1, reach + 1)))


def modulation(bands: Array) -> Array:
    """How strongly each pair of bands pulses at each speed, ``(20 · 7,)``.

    The spectrum of each band's log level over time (Hann window, at least 2.56 s so that the
    slowest speeds exist), its energy gathered between the edges of ``MODULATION``, as a logarithm.
    """
    paired = bands.reshape(len(bands), BANDS // 2, 2).mean(2)  # (t, 20)
    swing = (paired - paired.mean(0)) * np.hanning(len(bands) + 2)[1:-1, None].astype(np.float32)
    size = max(256, 1 << (len(bands) - 1).bit_length())
    spectrum = rfft(swing, size, axis=0)
    energy = (np.square(spectrum.real) + np.square(spectrum.imag)) / len(bands)
    edges = np.searchsorted(np.fft.rfftfreq(size, 1 / FRAMES_PER_SECOND), MODULATION)
    gathered = np.add.reduceat(energy, edges, axis=0)[:-1] / np.diff(edges)[:, None]  # (7, 20)
    return np.asarray(np.log10(gathered + 1e-4).ravel(), np.float32)


def _at_rate(content: AudioContent) -> Array:
    samples = np.nan_to_num(np.asarray(content.samples, np.float32), posinf=0, neginf=0)
    samples = np.clip(samples, -1, 1)
    if content.rate == RATE or len(samples) == 0:
        return samples
    shared = gcd(RATE, content.rate)
    return np.asarray(resample_poly(samples, RATE // shared, content.rate // shared), np.float32)


def _log_bands(power: Array) -> Array:
    mel = power @ _mel()  # (t, 40)
    loudest = max(float(mel.max()), QUIET)
    return np.asarray(np.maximum(np.log10(mel / loudest + 1e-12), FLOOR), np.float32)


def _shape(power: Array) -> Array:
    """Centroid, bandwidth, 85 % roll-off, flatness, level, flux, crest of each frame, (t, 7)."""
    hz = np.linspace(0, 1, power.shape[1], dtype=np.float32)
    total = power.sum(1) + QUIET
    share = power / total[:, None]
    centroid = share @ hz
    bandwidth = np.sqrt(np.maximum(share @ hz**2 - centroid**2, 0))
    rolloff = (np.cumsum(share, axis=1) < 0.85).mean(1)
    flatness = np.log10(power + QUIET).mean(1) - np.log10(power.mean(1) + QUIET)
    level = np.maximum(np.log10(total / total.max()), FLOOR)
    flux = np.sqrt(np.square(np.diff(share, axis=0, prepend=share[:1])).sum(1))
    crest = np.log10(power.max(1) + QUIET) - np.log10(power.mean(1) + QUIET)
    columns = [centroid, bandwidth, rolloff, flatness, level, flux, crest]
    return np.stack(columns, axis=1).astype(np.float32)


def _crossings(cut: Array) -> Array:
    changes = np.diff(np.signbit(cut), axis=1)
    return np.asarray(changes.mean(axis=1, keepdims=True), np.float32)


@lru_cache(maxsize=1)
def _hann() -> Array:
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


@lru_cache(maxsize=1)
def _mel() -> Array:
    """Triangles of equal width in mel = 2595 log₁₀(1 + f/700) from 40 Hz to 8 kHz, (257, 40)."""
    low, high = 2595 * np.log10(1 + np.array([40, RATE / 2]) / 700)
    corners = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    hz = np.fft.rfftfreq(FFT, 1 / RATE)[:, None]
    rise = (hz - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - hz) / (corners[2:] - corners[1:-1])
    return np.maximum(np.minimum(rise, fall), 0).astype(np.float32)
