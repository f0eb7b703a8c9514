"""Recordings to features: wild lengths and levels, saved and loaded, tones against hand values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.encoders.audio import AudioEncoder
from graphretrieval.encoders.spectra import FLOOR, MODULATION, frames, modulation, slope
from graphretrieval.errors import NotFitted, NothingToLearn
from graphretrieval.types import AudioContent


def sound(kind: int, seed: int, seconds: float = 0.6, rate: int = 16_000) -> AudioContent:
    """A tone, a hiss, or a tone that pulses; pitch and noise by the seed."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (400 + 40 * seed) * t)
    hiss = rng.normal(0, 0.3, len(t))
    wave = (tone, hiss, tone * (np.sin(2 * np.pi * 8 * t) > 0))[kind] * 0.4
    return AudioContent((wave + rng.normal(0, 0.003, len(t))).astype(np.float32), rate)


SOUNDS = [sound(kind, seed) for kind in range(3) for seed in range(4)]


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    return AudioEncoder(parts=8).fit(SOUNDS, seed=0)


def test_sounds_of_one_kind_are_nearest_to_each_other(encoder: AudioEncoder) -> None:
    x = encoder.encode(SOUNDS)
    fresh = encoder.encode([sound(kind, 5, seconds=0.8) for kind in range(3)])
    nearest = ((fresh[:, None] - x[None]) ** 2).sum(2).argmin(1) // 4
    assert nearest.tolist() == [0, 1, 2]


def test_loudness_does_not_matter(encoder: AudioEncoder) -> None:
    quiet = AudioContent(SOUNDS[1].samples * np.float32(0.25))
    np.testing.assert_allclose(encoder.encode([quiet]), encoder.encode([SOUNDS[1]]), atol=0.02)


def test_the_rate_hardly_matters(encoder: AudioEncoder) -> None:
    x = encoder.encode(SOUNDS)
    for kind in (0, 2):
        other = encoder.encode([sound(kind, 1, rate=44_100)])
        assert ((other - x) ** 2).sum(1).argmin() // 4 == kind


def test_comes_back_exactly_from_its_state(encoder: AudioEncoder) -> None:
    back = AudioEncoder.from_state(encoder.state())
    np.testing.assert_array_equal(back.encode(SOUNDS), encoder.encode(SOUNDS))
    assert (back.version, back.dim, back.parts) == (encoder.version, encoder.dim, 8)


def test_the_version_follows_what_was_learned(encoder: AudioEncoder) -> None:
    assert AudioEncoder(parts=8).fit(SOUNDS, seed=0).version == encoder.version
    assert AudioEncoder(parts=8).fit(SOUNDS[1:], seed=0).version != encoder.version


def test_rows_do_not_depend_on_their_neighbours(encoder: AudioEncoder) -> None:
    together = encoder.encode(SOUNDS[:3])
    assert together.shape == (3, encoder.dim)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together[1:2], encoder.encode(SOUNDS[1:2]), atol=1e-6)
    assert encoder.encode([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("n", [0, 1, 2, 399, 400, 401, 560])
@pytest.mark.parametrize("value", [0.0, 1.0, float("nan"), float("inf")])
def test_silence_and_broken_samples_of_any_length_are_finite(
    encoder: AudioEncoder, n: int, value: float
) -> None:
    x = encoder.encode([AudioContent(np.full(n, value, np.float32))])
    assert np.isfinite(x).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5000), st.floats(0, 2), st.sampled_from([4000, 8000, 16000, 22050, 48000]))
def test_noise_of_any_length_level_and_rate_is_finite(
    encoder: AudioEncoder, n: int, level: float, rate: int
) -> None:
    samples = np.random.default_rng(n).normal(0, 1, n).astype(np.float32) * np.float32(level)
    assert np.isfinite(encoder.encode([AudioContent(samples, rate)])).all()


def test_learns_from_silence_alone() -> None:
    silent = [AudioContent(np.zeros(16_000, np.float32))] * 2
    assert np.isfinite(AudioEncoder(parts=4).fit(silent).encode(SOUNDS[:2])).all()


def test_a_frame_every_ten_milliseconds() -> None:
    assert len(frames(AudioContent(np.zeros(16_000, np.float32))).bands) == 98
    assert len(frames(AudioContent(np.zeros(10, np.float32))).bands) == 1


def test_a_tone_is_loudest_in_its_band_and_centred_on_its_pitch() -> None:
    t = np.arange(8000) / 16_000
    heard = frames(AudioContent((0.5 * np.sin(2 * np.pi * 2000 * t)).astype(np.float32)))
    assert heard.bands.max() == pytest.approx(0, abs=1e-3)
    assert heard.bands.min() >= FLOOR
    np.testing.assert_allclose(heard.shape[:, 0], 2000 / 8000, atol=0.01)
    np.testing.assert_allclose(heard.shape[:, 7], 2 * 2000 / 16_000, atol=0.01)


def test_a_slope_is_the_regression_of_its_neighbourhood() -> None:
    x = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    fitted = np.polyfit(np.arange(-2, 3), x[2:7], 1)[0]
    np.testing.assert_allclose(slope(x)[4], fitted, rtol=1e-4)


def test_a_pulse_of_eight_a_second_shows_at_eight_a_second() -> None:
    bands = np.repeat(np.sin(2 * np.pi * 8 * np.arange(200) / 100)[:, None], 40, 1)
    speeds = modulation(bands.astype(np.float32)).reshape(len(MODULATION) - 1, 20)
    assert (speeds.argmax(0) == np.searchsorted(MODULATION, 8) - 1).all()


def test_refuses_to_learn_from_nothing() -> None:
    with pytest.raises(NothingToLearn, match="no recording was given"):
        AudioEncoder().fit([])


@pytest.mark.parametrize("ask", ["encode", "state", "dim"])
def test_says_that_it_was_not_fitted(ask: str) -> None:
    encoder = AudioEncoder()
    assert encoder.version.endswith("unfitted")
    with pytest.raises(NotFitted, match="before it learned any"):
        {
            "encode": lambda: encoder.encode(SOUNDS[:1]),
            "state": encoder.state,
            "dim": lambda: encoder.dim,
        }[ask]()
