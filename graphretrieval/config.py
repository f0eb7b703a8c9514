"""Every setting is a row of a table; argument > environment > file > default.

The environment's name is the row's in capitals behind ``GRAPHRETRIEVAL_``; the file is TOML with
the same names at its top level.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphretrieval.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: ``type(default)`` is what a value is turned into."""

    name: str
    default: str | int | float | bool
    about: str
    least: float | None = None


#: Settings that a model depends on.
_LEARNED: tuple[Setting, ...] = (
    Setting("max_file_mb", 2048, "larger files are refused", 1),
    Setting("max_pixels", 60_000_000, "pictures of more pixels are refused", 1),
    Setting("max_audio_seconds", 36_000, "longer recordings are refused", 1),
    Setting("max_text_mb", 64, "longer text files are refused", 1),
    Setting("decode_seconds", 60, "a file that takes longer to decode is refused", 1),
    Setting("decode_memory_mb", 1024, "memory a decoding process may use", 64),
    Setting("text_fragment", 600, "longest text fragment, in characters", 50),
    Setting("audio_fragment", 30.0, "longest audio fragment, in seconds", 1),
    Setting("image_side", 256, "pictures are encoded at this many pixels on the longer side", 32),
    Setting("audio_rate", 16_000, "recordings are encoded at this many samples a second", 4000),
    Setting("text_model", "auto", "text model: auto, none, a hub name in the cache, or a path"),
    Setting("text_dictionary", "auto", "Chinese-English dictionary: auto (if installed) or none"),
    Setting("aligners", "posteriors,pivot,words", "spaces learned and joined, by name"),
    Setting(
        "refiner",
        "propagate",
        "how vectors absorb their neighbours': propagate, none, sage, gat, rgcn, hgt, sign, or "
        "auto, which chooses by hidden links",
    ),
    Setting("similar", False, "whether likeness carries messages and paths as edges do"),
    Setting(
        "redact", 1, "1 keeps of EXIF only description and copyright; 0 also who, when, where", 0
    ),
    Setting("index", "exact", "nearest-vector index; store: the one that Neo4j keeps"),
)
#: Settings that say where things lie, how fast they go and who is served.
_RUNNING: tuple[Setting, ...] = (
    Setting("store", "graphretrieval.db", "file or URL of the store"),
    Setting("cache_dir", "~/.cache/graphretrieval", "where features and demo data are kept"),
    Setting("data_dir", "~/.local/share/graphretrieval", "where models of remote stores are kept"),
    Setting("snapshot_max_bytes", 0, "larger graphs' paths are Neo4j's; 0: half of memory", 0),
    Setting("media_url", "http://127.0.0.1:8000", "where `serve` answers, for links in Browser"),
    Setting("threads", 0, "threads for learning and search; 0 takes what the CPU quota allows", 0),
    Setting("checkpoints", "", "folder that training goes on from after a kill; empty keeps none"),
    Setting("refit_tolerance", 0.01, "reciprocal rank that a refitted model may lose", 0),
    Setting("anonymous", "loopback", "who may read without a key: loopback, always or never"),
    Setting(
        "allowed_hosts", "", "host names the service answers to, beside loopback's and its own"
    ),
    Setting("cors_origins", "", "web origins that may call the service, joined by commas"),
    Setting("max_body_mb", 32, "larger requests are refused", 1),
    Setting("query_seconds", 30.0, "a query that takes longer is given up", 0.1),
    Setting("search_workers", 2, "queries worked on at once", 1),
    Setting("queue", 32, "queries that may wait; more are told to come back later", 0),
    Setting("cost_per_minute", 60_000, "cost that one client may spend a minute; 0 is no limit", 0),
    Setting("max_subscriptions", 20, "streams that one client may hold open", 1),
    Setting("trusted_only", False, "run only GraphQL documents that were registered"),
    Setting("trusted_documents", "", "folder of .graphql files to register beside the page's own"),
    Setting("jwt_issuer", "", "identity provider whose signed tokens are accepted"),
    Setting("jwt_audience", "graphretrieval", "whom such a token must be meant for"),
    Setting("jwt_keys", "", "file or https URL of the provider's public keys (JWKS)"),
    Setting("jwt_role_claim", "role", "claim of the token that holds read, write or admin"),
)
SETTINGS = (*_RUNNING, *_LEARNED)

_BY_NAME = {row.name: row for row in SETTINGS}


@dataclass(frozen=True)
class Config:
    """The settings in force; ``config["threads"]``."""

    values: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name, _row(name).default)

    def learned_with(self) -> dict[str, Any]:
        """The settings that a model depends on."""
        return {row.name: self[row.name] for row in _LEARNED}

    def replace(self, **arguments: Any) -> Config:
        """The same settings with some changed."""
        return Config({**self.values, **{k: _cast(_row(k), v, k) for k, v in arguments.items()}})


def load(
    file: Path | str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    **arguments: Any,
) -> Config:
    """Settings from arguments, the environment, a TOML file and the defaults, in that order.

    An argument of ``None`` counts as not given.

    Raises:
        ConfigError: a name is unknown, a value does not fit, or the file cannot be read.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for name, value in _read(file).items():
        values[name] = _cast(_row(name), value, f"{name} in {file}")
    for row in SETTINGS:
        variable = f"GRAPHRETRIEVAL_{row.name.upper()}"
        if environ.get(variable):
            values[row.name] = _cast(row, environ[variable], variable)
    for name, value in arguments.items():
        if value is not None:
            values[name] = _cast(_row(name), value, name)
    return Config(values)


def _read(file: Path | str | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise ConfigError(f"the settings file {file} cannot be read ({e})") from e


def _row(name: str) -> Setting:
    if name in _BY_NAME:
        return _BY_NAME[name]
    close = difflib.get_close_matches(name, _BY_NAME, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise ConfigError(
        f"there is no setting {name!r}", remedy=f"{hint}Choices: {', '.join(_BY_NAME)}"
    )


def _cast(row: Setting, value: Any, given_as: str) -> Any:
    kind = type(row.default)
    try:
        cast = _truth(value) if kind is bool else kind(value)
    except (TypeError, ValueError) as e:
        raise ConfigError(f"{given_as} is {value!r}, but must be of type {kind.__name__}") from e
    if row.least is not None and float(cast) < row.least:
        raise ConfigError(f"{given_as} is {value!r}, but must be at least {row.least:g}")
    return cast


def _truth(value: Any) -> bool:
    """``bool("false")`` is true; the environment means what it says."""
    said = str(value).strip().lower()
    if said not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise ValueError(said)
    return said in ("true", "1", "yes", "on")
