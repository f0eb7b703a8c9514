"""Names → implementations, imported on first use, so that a name costs nothing until it is used.

A row is ``name: ("module:Class", extra)``; ``extra`` is the optional dependency it needs, or None.
Other packages add rows by the entry point group ``graphretrieval.plugins``, each entry named
``kind.name`` and pointing at the class.
"""

from __future__ import annotations

import difflib
import importlib
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from graphretrieval.errors import MissingExtra, NotRegistered

_ROWS: dict[str, dict[str, tuple[str, str | None]]] = {
    "source": {
        "folder": ("graphretrieval.sources.folder:FolderSource", None),
        "manifest": ("graphretrieval.sources.manifest:ManifestSource", None),
        "table": ("graphretrieval.sources.table:TableSource", None),
        "pdf": ("graphretrieval.sources.pdf:PdfSource", None),
        "iiif": ("graphretrieval.sources.iiif:IiifSource", None),
        "arrays": ("graphretrieval.sources.arrays:ArraySource", None),
    },
    "store": {
        "sqlite": ("graphretrieval.stores.sqlite:SqliteStore", None),
        "neo4j": ("graphretrieval.stores.neo4j:Neo4jStore", None),
    },
    "encoder": {
        "text": ("graphretrieval.encoders.text:TextEncoder", None),
        "image": ("graphretrieval.encoders.image:ImageEncoder", None),
        "audio": ("graphretrieval.encoders.audio:AudioEncoder", None),
    },
    "aligner": {
        "posteriors": ("graphretrieval.aligners.posteriors:PosteriorAligner", None),
        "cca": ("graphretrieval.aligners.cca:CcaAligner", None),
        "contrastive": ("graphretrieval.aligners.contrastive:ContrastiveAligner", None),
        "pivot": ("graphretrieval.aligners.pivot:PivotAligner", None),
        "words": ("graphretrieval.aligners.pivot:WordPivot", None),
        "adapted": ("graphretrieval.aligners.adapted:AdaptedAligner", None),
    },
    "refiner": {
        "none": ("graphretrieval.gnn.none:NoRefiner", None),
        "propagate": ("graphretrieval.gnn.propagate:PropagateRefiner", None),
        "sage": ("graphretrieval.gnn.sage:SageRefiner", None),
        "gat": ("graphretrieval.gnn.gat:GatRefiner", None),
        "rgcn": ("graphretrieval.gnn.rgcn:RgcnRefiner", None),
        "hgt": ("graphretrieval.gnn.hgt:HgtRefiner", None),
        "sign": ("graphretrieval.gnn.sign:SignRefiner", None),
        "auto": ("graphretrieval.gnn.auto:AutoRefiner", None),
    },
    "index": {
        "exact": ("graphretrieval.indexes.exact:ExactIndex", None),
    },
    "ranker": {
        "fusion": ("graphretrieval.rankers.fusion:FusionRanker", None),
    },
}


def kinds() -> tuple[str, ...]:
    """The kinds of implementation there are."""
    return tuple(_ROWS)


def names(kind: str) -> tuple[str, ...]:
    """All names of one kind, plugins included."""
    return tuple(_rows(kind))


def resolve(kind: str, name: str) -> type[Any]:
    """The class behind a name.

    Raises:
        NotRegistered: there is no such name; the message lists the choices.
        MissingExtra: the name exists, but its package is not installed.
    """
    rows = _rows(kind)
    if name not in rows:
        close = difflib.get_close_matches(name, rows, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise NotRegistered(
            f"no {kind} is called {name!r}",
            remedy=f"{hint}Choices: {', '.join(sorted(rows))}",
        )
    target, extra = rows[name]
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]
    except ImportError as e:
        if extra is None:
            raise
        raise MissingExtra(
            f"{kind} {name!r} needs a package that is not installed ({e.name})",
            remedy=f"pip install 'graphretrieval[{extra}]'",
        ) from e


def name_of(kind: str, cls: type[Any]) -> str:
    """The name a class is registered under, without importing any other.

    Raises:
        NotRegistered: the class has no row, so that a saved model could not be read back.
    """
    target = f"{cls.__module__}:{cls.__qualname__}"
    for name, row in _rows(kind).items():
        if row[0] == target:
            return name
    raise NotRegistered(
        f"{target} is not registered as {kind}",
        remedy="add a row to the registry, or an entry point in the group graphretrieval.plugins",
    )


def _rows(kind: str) -> dict[str, tuple[str, str | None]]:
    if kind not in _ROWS:
        raise NotRegistered(f"no kind {kind!r}", remedy=f"Choices: {', '.join(_ROWS)}")
    return {**_ROWS[kind], **_plugins().get(kind, {})}


@cache
def _plugins() -> dict[str, dict[str, tuple[str, str | None]]]:
    found: dict[str, dict[str, tuple[str, str | None]]] = {}
    for entry in entry_points(group="graphretrieval.plugins"):
        kind, _, name = entry.name.partition(".")
        if kind in _ROWS and name:
            found.setdefault(kind, {})[name] = (entry.value, None)
    return found
