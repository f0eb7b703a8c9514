"""A node as properties that a person can read in Neo4j Browser, and back without loss.

A collection's own keys become properties of their own where the database can hold their values;
the rest lies as JSON in ``properties``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from graphretrieval.folding import fold
from graphretrieval.stores import cypher
from graphretrieval.types import MODALITY, Edge, Node

_FIELDS = tuple(f.name for f in fields(Node) if f.name not in ("properties", "revision"))
_FLOATS = ("start", "end", "duration")
_INTS = ("width", "height")
_DERIVED = ("caption", "thumbnail")
#: Keys that are not a collection's own.
RESERVED = frozenset({*_FIELDS, "properties", "revision", "folded", *_DERIVED})
_KEY = re.compile(r"^[A-Za-z][A-Za-z0-9_:.-]{0,63}$")
_CAPTION = 60
_STATUSES = ("asserted", "proposed", "rejected")
#: An edge's weight is less.
HEAVIEST = 1e300


def write(
    node: Node, revision: int, old: Mapping[str, Any] | None, media_url: str
) -> dict[str, Any]:
    """Properties for ``SET n +=``: ``None`` removes what is there and no longer wanted.

    Args:
        node: what is to be stored.
        revision: of the write.
        old: properties that are there now.
        media_url: where thumbnails are served; ``""`` for no such property.
    """
    out: dict[str, Any] = {name: getattr(node, name) for name in _FIELDS if name != "id"}
    out |= {name: None for name in (old or {}) if name not in RESERVED}
    rest: dict[str, Any] = {}
    for key, value in node.properties.items():
        if is_native(key, value):
            out[key] = value
        else:
            rest[key] = value
    out["properties"] = json.dumps(rest, ensure_ascii=False, sort_keys=True) if rest else None
    out["revision"] = revision
    return out | derived(node, media_url)


def derived(node: Node, media_url: str) -> dict[str, Any]:
    """What follows from the rest: words to search by, a caption, a thumbnail's address."""
    from urllib.parse import quote

    words = "\n".join(dict.fromkeys(fold(part) for part in (node.title, node.text) if part))
    # texts of one picture share its title: their own words tell them apart
    first = (node.text, node.title) if node.modality == "text" else (node.title, node.text)
    said = " ".join((first[0] or first[1] or node.id).split())
    shown = f"{media_url}/api/thumbnail?id={quote(node.id, safe='')}" if media_url else None
    return {
        "folded": words or None,
        "caption": said if len(said) <= _CAPTION else said[: _CAPTION - 1] + "…",
        "thumbnail": shown if node.modality == "image" and node.uri else None,
    }


def read(pairs: Sequence[Sequence[Any]]) -> Node:
    """The node of its properties; values of a wrong type that somebody typed in are put right."""
    values: dict[str, Any] = {row[0]: row[1] for row in pairs}
    known = {name: _cast(name, values[name]) for name in _FIELDS if values.get(name) is not None}
    known["id"] = name_of(values.get("id"))
    known["modality"] = modality_of(values)
    own = {k: v for k, v in values.items() if k not in RESERVED}
    try:
        rest = json.loads(values.get("properties") or "{}")
    except (TypeError, ValueError):
        rest = {}
    own |= rest if isinstance(rest, dict) else {}
    own = {k: plain(v) for k, v in own.items()}
    return Node(**known, properties=own, revision=_revision(values.get("revision")))


def read_edge(row: Sequence[Any]) -> Edge:
    """The edge of source, relation, target, weight, origin, status and revision, put right as
    :func:`graphretrieval.stores.cypher.adopt_edges` does."""
    src, name, dst, weight, origin, status, revision = row
    try:
        number = float(weight)
    except (TypeError, ValueError):
        number = 1.0
    return Edge(
        name_of(src),
        name,
        name_of(dst),
        number if 0.0 <= number < HEAVIEST else 1.0,
        "user" if origin is None else str(origin),
        status if status in _STATUSES else "asserted",
        _revision(revision),
    )


def name_of(value: Any) -> str:
    """A node's id as one can be: text of one line."""
    name = re.sub(r"[\0\r\n]", " ", str(value))[:1024]
    return name or "neo4j:unnamed"


def modality_of(values: Mapping[str, Any], labels: Sequence[str] = ()) -> str:
    """The modality that is said, in lower case, else that of a label, else what the rest says."""
    said = str(values.get("modality") or "").lower()
    if MODALITY.match(said):
        return said
    by_label = [cypher.KNOWN[x] for x in sorted(labels) if x in cypher.KNOWN]
    return by_label[0] if by_label else "text" if values.get("text") else "object"


def _revision(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _cast(name: str, value: Any) -> Any:
    if name in _FLOATS or name in _INTS:
        try:
            return float(value) if name in _FLOATS else int(value)
        except (TypeError, ValueError, OverflowError):
            return None
    return value if isinstance(value, str) else str(value)


def plain(value: Any) -> Any:
    """Dates and points that somebody typed in, as text."""
    if isinstance(value, list):
        return [plain(v) for v in value]
    return (
        value if isinstance(value, str | int | float | bool | dict) or value is None else str(value)
    )


def is_native(key: str, value: Any) -> bool:
    """Whether a key of the collection's own can be a property of its own."""
    if key in RESERVED or key.startswith("vector_") or not _KEY.match(key):
        return False
    if isinstance(value, list):
        kinds = {type(v) for v in value}
        return bool(value) and len(kinds) == 1 and all(_is_scalar(v) for v in value)
    return _is_scalar(value)


def _is_scalar(value: Any) -> bool:
    if isinstance(value, str):
        return _is_storable(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, float) and value == value


def _is_storable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
