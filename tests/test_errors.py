"""Errors say what happened, what was given and what to do, those of the system too."""

from __future__ import annotations

import errno
import os

import pytest

from graphretrieval.errors import of_system


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "give yourself the right"),
        (errno.EROFS, "name another place"),
        (errno.ENOSPC, "make room"),
        (errno.EISDIR, "not a folder"),
        (errno.ELOOP, "--verbose"),
    ],
)
def test_what_the_system_refuses_names_the_file_the_reason_and_a_remedy(
    number: int, remedy: str
) -> None:
    reason = os.strerror(number)
    problem, what_to_do = of_system(OSError(number, reason, "photos/a.png"))
    assert problem == f"photos/a.png could not be used ({reason})"
    assert remedy in what_to_do


def test_both_files_of_a_failed_renaming_are_named() -> None:
    error = OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b")
    assert of_system(error)[0] == "a and b could not be used (Invalid cross-device link)"


def test_an_error_of_the_system_without_a_file_says_its_reason() -> None:
    assert of_system(OSError("no more"))[0] == "no more"
    assert of_system(TimeoutError())[0] == "TimeoutError"
