"""Recordings of any rate and width come out mono at one rate, and never whole into memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from graphretrieval.config import Config
from graphretrieval.errors import TooLarge, Undecodable
from graphretrieval.sources.decode import inspect, load_audio
from graphretrieval.sources.files import file_nodes
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.media import MediaReader
from graphretrieval.types import AudioContent

LIMITS = Limits()
FORMATS = {
    "wav": ("audio/wav", "PCM_16"),
    "flac": ("audio/flac", "PCM_16"),
    "ogg": ("audio/ogg", "VORBIS"),
    "mp3": ("audio/mpeg", "MPEG_LAYER_III"),
    "opus": ("audio/ogg", "OPUS"),
}


def tone(hertz: float, seconds: float, rate: int) -> np.ndarray:
    return np.asarray(0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate))


def pitch(samples: np.ndarray, rate: int = 16_000) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    media_type, subtype = FORMATS[suffix]
    path = tmp_path / f"a.{suffix}"
    soundfile.write(
        path,
        tone(440, 1.5, 48_000),
        48_000,
        format="OGG" if suffix == "opus" else None,
        subtype=subtype,
    )
    found = inspect(path, LIMITS)
    assert (found.modality, found.media_type) == ("audio", media_type)
    assert found.duration == pytest.approx(1.5, abs=0.06)
    samples = load_audio(path, 0, None, LIMITS)
    assert samples.dtype == np.float32
    assert pitch(samples) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("rate", [5_000, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_tone_keeps_its_pitch_length_and_loudness_at_any_rate(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1_000, 1, rate), rate, subtype="FLOAT")
    samples = load_audio(tmp_path / "a.wav", 0, None, LIMITS)
    assert len(samples) == pytest.approx(16_000, abs=2)
    assert pitch(samples) == pytest.approx(1_000, abs=2)
    assert np.sqrt(np.mean(samples[800:-800] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


def test_resampling_agrees_with_scipy(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000)
    smooth = resample_poly(resample_poly(noise, 1, 8), 8, 1)[:48_000]  # nothing above 3 kHz
    soundfile.write(tmp_path / "a.wav", smooth, 48_000, subtype="FLOAT")
    ours = load_audio(tmp_path / "a.wav", 0, None, LIMITS)
    theirs = resample_poly(smooth, 1, 3)
    middle = slice(500, -500)
    assert np.corrcoef(ours[middle], theirs[middle])[0, 1] > 0.999


def test_what_is_too_high_for_the_rate_is_not_folded_down(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(11_000, 1, 48_000), 48_000, subtype="FLOAT")
    assert np.abs(load_audio(tmp_path / "a.wav", 0, None, LIMITS)[800:-800]).max() < 0.01


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = tone(300, 1, 16_000), tone(700, 1, 16_000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 16_000, subtype="FLOAT")
    samples = load_audio(tmp_path / "a.wav", 0, None, LIMITS)
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-6)


def test_a_place_is_exactly_that_part(tmp_path: Path) -> None:
    ramp = np.linspace(-1, 1, 64_000, dtype=np.float32)
    soundfile.write(tmp_path / "a.wav", ramp, 16_000, subtype="FLOAT")
    part = load_audio(tmp_path / "a.wav", 1.5, 2.25, LIMITS)
    np.testing.assert_array_equal(part, ramp[24_000:36_000])


def test_values_that_are_no_numbers_become_silence_and_too_loud_ones_are_held(
    tmp_path: Path,
) -> None:
    wild = np.array([np.nan, np.inf, -np.inf, 7.0, -7.0, 0.5] * 100, np.float32)
    soundfile.write(tmp_path / "a.wav", wild, 16_000, subtype="FLOAT")
    samples = load_audio(tmp_path / "a.wav", 0, None, LIMITS)
    assert samples[:6].tolist() == [0, 0, 0, 1, -1, 0.5]


@pytest.mark.parametrize("start", [-1.0, 1.0, 99.0])
def test_a_place_outside_the_recording_is_refused(tmp_path: Path, start: float) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, 1, 8_000), 8_000)
    with pytest.raises(Undecodable, match="nothing at"):
        load_audio(tmp_path / "a.wav", start, None, LIMITS)


def test_a_longer_recording_than_allowed_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 8_000)
    with pytest.raises(TooLarge, match="lasts 2 s, the limit is 1"):
        inspect(tmp_path / "a.wav", Limits(max_audio_seconds=1))


@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_a_recording_that_is_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.2, 48_000), 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(Undecodable):
        inspect(path, LIMITS)


def test_a_recording_without_sound_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.empty(0), 16_000)
    with pytest.raises(Undecodable, match="holds no sound"):
        inspect(tmp_path / "a.wav", LIMITS)


# --- long recordings ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes in stereo at 48 kHz, 230 MB as floating point: a tone that changes each 30 s."""
    path = tmp_path_factory.mktemp("long") / "long.flac"
    with soundfile.SoundFile(path, "w", 48_000, 2, "PCM_16", compression_level=0) as f:
        for minute in range(20):
            second = tone(400 + 50 * minute, 1, 48_000)
            for _ in range(30):
                f.write(np.stack([second, second], 1))
    return path


@pytest.fixture
def tight() -> Iterator[MediaReader]:
    """Children that may use much less memory than the recording would need."""
    with MediaReader(Limits(memory_mb=128), workers=1) as reader:
        yield reader


def test_a_long_recording_is_heard_in_fragments_in_little_memory(
    long: Path, tight: MediaReader
) -> None:
    found = tight.inspect([long])[0]
    nodes, edges = file_nodes(found, id="long.flac", collection="c", config=Config())
    source, *parts = nodes
    assert (source.modality, source.duration) == ("source", 600)
    assert len(parts) == 20
    assert {(e.src, e.dst) for e in edges if e.type == "PART_OF"} == {
        (p.id, "long.flac") for p in parts
    }
    assert [(e.src, e.dst) for e in edges if e.type == "NEXT"] == list(
        pairwise(p.id for p in parts)
    )
    assert parts[3].id == "long.flac#90-120"
    heard = list(tight.load(parts))
    for number, content in enumerate(heard):
        assert isinstance(content, AudioContent)
        assert len(content.samples) == pytest.approx(30 * 16_000, abs=2)
        assert pitch(content.samples) == pytest.approx(400 + 50 * number, abs=2)


def test_an_encoder_never_gets_more_than_thirty_seconds(long: Path) -> None:
    assert len(load_audio(long, 10, None, LIMITS)) == pytest.approx(30 * 16_000, abs=2)
