"""Settings: argument > environment > file > default, and errors that say what was given."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphretrieval import config
from graphretrieval.errors import ConfigError


def test_the_nearest_source_wins(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('text_fragment = 100\nstore = "file.db"\nrefiner = "none"\n')
    environ = {"GRAPHRETRIEVAL_TEXT_FRAGMENT": "200", "GRAPHRETRIEVAL_STORE": "env.db"}
    found = config.load(file, environ=environ, store="argument.db")
    assert found["store"] == "argument.db"
    assert found["text_fragment"] == 200
    assert found["refiner"] == "none"
    assert found["index"] == "exact"


def test_a_mistyped_setting_is_answered_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("text_fragmnet = 100\n")
    with pytest.raises(ConfigError, match="Did you mean 'text_fragment'"):
        config.load(file, environ={})


@pytest.mark.parametrize(
    ("value", "said"), [("many", "must be of type int"), ("10", "at least 50")]
)
def test_a_value_that_does_not_fit_is_quoted(value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as found:
        config.load(environ={"GRAPHRETRIEVAL_TEXT_FRAGMENT": value})
    assert repr(value) in str(found.value)
    assert "GRAPHRETRIEVAL_TEXT_FRAGMENT" in str(found.value)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("= =")
    with pytest.raises(ConfigError, match=r"s\.toml cannot be read"):
        config.load(file, environ={})


def test_every_setting_says_what_it_is_for() -> None:
    assert all(len(row.about) > 10 for row in config.SETTINGS)
    assert len({row.name for row in config.SETTINGS}) == len(config.SETTINGS)
