"""What a node's fields may hold: checked where somebody changes them, before a store is asked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields

from graphretrieval.errors import QueryError
from graphretrieval.types import JSON, Node

_FIXED = ("id", "modality", "revision")
#: Fields of a node that can be changed.
CHANGED = tuple(f.name for f in fields(Node) if f.name not in _FIXED)
_PLACES = ("start", "end", "duration")
_SIZES = ("width", "height")
# what a column of whole numbers holds
_LARGEST = 2**63 - 1


def check(changes: Mapping[str, JSON]) -> None:
    """See that each field exists and can hold its value.

    Raises:
        QueryError: one does not, or cannot.
    """
    for name, value in changes.items():
        if name not in CHANGED:
            raise QueryError(
                f"{name!r} is no field of a node that can be changed",
                remedy=f"choose from {', '.join(CHANGED)}",
            )
        if name == "properties":
            wanted = _of_properties(value)
        elif value is None:
            continue
        elif name in _SIZES:
            wanted = "" if _is_size(value) else "a whole number from 0, or None"
        elif name in _PLACES:
            wanted = "" if _is_finite(value) else "a finite number, or None"
        else:
            wanted = "" if isinstance(value, str) and _is_text(value) else "text, or None"
        if wanted:
            raise QueryError(
                f"{name} of a node cannot be {repr(value)[:80]}", remedy=f"give {wanted}"
            )


def _is_size(value: JSON) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _is_finite(value: JSON) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= _LARGEST


def _is_text(value: str) -> bool:
    """Whether it can be written: half of a surrogate pair cannot."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _of_properties(value: JSON) -> str:
    """What properties should be instead; nothing if they are well."""
    wanted = "a mapping of names to what JSON can hold, {} for none"
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return wanted
    try:
        said = json.dumps(dict(value), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return wanted
    return "" if _is_text(said) else wanted
