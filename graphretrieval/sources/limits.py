"""What one untrusted file may cost before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from graphretrieval.config import Config


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, pixels, seconds and memory that a file may take; beyond them it is refused.

    ``image_side`` and ``audio_rate`` are what decoded content is reduced to for encoders.
    """

    max_file_bytes: int = 2048 << 20
    max_pixels: int = 60_000_000
    max_audio_seconds: float = 36_000
    max_text_bytes: int = 64 << 20
    seconds: float = 60
    memory_mb: int = 1024
    image_side: int = 256
    audio_rate: int = 16_000

    @classmethod
    def of(cls, config: Config) -> Limits:
        """The limits that the settings say."""
        return cls(
            max_file_bytes=config["max_file_mb"] << 20,
            max_pixels=config["max_pixels"],
            max_audio_seconds=config["max_audio_seconds"],
            max_text_bytes=config["max_text_mb"] << 20,
            seconds=config["decode_seconds"],
            memory_mb=config["decode_memory_mb"],
            image_side=config["image_side"],
            audio_rate=config["audio_rate"],
        )
