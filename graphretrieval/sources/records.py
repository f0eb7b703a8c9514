"""Rows of a manifest in the graph's own words: nodes to be, categories, and typed edges."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from graphretrieval.errors import InputRefused, InvalidNode
from graphretrieval.sources.rows import number, within, word, words
from graphretrieval.types import (
    DESCRIBES,
    IN_CATEGORY,
    JSON,
    SEARCHED,
    SUBCATEGORY_OF,
    Edge,
    Modality,
    Node,
)

CATEGORY = "cat:"
_WORDS = ("sha256", "media_type", "title", "text", "lang", "unit", "license")
_NUMBERS = ("start", "end", "duration")
_COUNTS = ("width", "height")
#: Keys of a row with a meaning of their own; all others become properties.
MEANT = {f.name for f in fields(Node)} | {"path", "source", "category"}
_KIND = re.compile(r"^[a-z][a-z0-9_-]{0,63}$")
#: The property that says where an item's vector lies: it names a file to open, so that only the
#: source that found the file sets it.
VECTOR = "vector"
_STATUSES = ("asserted", "proposed", "rejected")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a row does not say itself, and the folder its paths begin in."""

    folder: Path
    collection: str
    lang: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One row: the node as far as the row tells, its file, and its categories' ids.

    ``path`` lies in the manifest's folder; ``claimed`` does not, and is believed only if the file
    has the ``sha256`` that the row says, so that nobody can name a file they have not seen.
    ``problems`` says what of the row is left out.
    """

    node: Node
    path: Path | None = None
    claimed: Path | None = None
    categories: tuple[str, ...] = ()
    digest: str = ""
    problems: tuple[str, ...] = ()

    @property
    def file(self) -> Path | None:
        """The file the row names, wherever it lies."""
        return self.path or self.claimed

    @property
    def placed(self) -> bool:
        """Whether it is a fragment already, to be left as it is."""
        return self.node.start is not None


def record_of(values: Mapping[str, JSON], defaults: Defaults, mark: str) -> Record:
    """A row's meaning, nothing opened yet.

    Raises:
        InputRefused: a value is missing or of the wrong kind, or the path is unsafe.
        InvalidNode: the graph cannot hold the node.
    """
    name, modality = word(values, "id"), (word(values, "modality") or "").strip().lower()
    if name is None or not modality:
        raise InputRefused(f"the row has no {'modality' if name else 'id'}")
    if modality == Modality.CATEGORY:
        name = category_id(name)
    path, claimed, uri = _place(values, defaults.folder)
    properties = _properties(values)
    if uri is not None:
        properties["uri"] = uri
    given: dict[str, Any] = {key: word(values, key) for key in _WORDS}
    given |= {key: number(values, key) for key in _NUMBERS}
    given |= {key: _count(values, key) for key in _COUNTS}
    if modality == Modality.TEXT and given["lang"] is None and "lang" not in values:
        given["lang"] = defaults.lang
    collection = _collection(values, defaults.collection)
    node = Node(name, modality, collection=collection, properties=properties, **given)
    member_of = words(values, "category") + ([defaults.category] if defaults.category else [])
    categories, problems = categories_of([] if modality == Modality.CATEGORY else member_of)
    return Record(node, path, claimed, categories, digest(mark, values), problems)


def digest(mark: str, values: Mapping[str, JSON]) -> str:
    """The same for the same row read with the same settings."""
    row = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(f"{mark}{row}".encode("utf-8", "surrogatepass")).hexdigest()


def category_id(name: str) -> str:
    """``dog`` and ``cat:dog`` are one category."""
    name = name.strip()
    return name if name.startswith(CATEGORY) else f"{CATEGORY}{name}"


def categories_of(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids of the categories of these names, and why the graph cannot hold the others."""
    found, problems = [], []
    for name in dict.fromkeys(category_id(name) for name in names if name.strip()):
        try:
            found.append(implied_node(name, IN_CATEGORY).id)
        except InvalidNode as e:
            problems.append(f"a category is left out: {e.problem}")
    return tuple(found), tuple(problems)


def category_node(values: Mapping[str, JSON]) -> Node:
    """A row of ``categories.csv``: its names in all languages are its text.

    Raises:
        InputRefused: it has no id.
    """
    name = word(values, "id")
    if name is None:
        raise InputRefused("the category has no id")
    names = [n for key in values if key.startswith("name_") and (n := word(values, key))]
    title = word(values, "name_en") or word(values, "name") or _last(category_id(name))
    properties = as_properties({key: value for key, value in values.items() if key != "id"})
    text = " ".join(dict.fromkeys(names)) or title
    return Node(category_id(name), Modality.CATEGORY, title=title, text=text, properties=properties)


def implied_node(name: str, relation: str) -> Node:
    """The node of an end that only an edge names: ``cat:dog``, or ``cat:place:Emesa`` of a kind.

    Under ``IN_CATEGORY`` and ``SUBCATEGORY_OF`` it is a category in any case.
    """
    kind, _, rest = name.removeprefix(CATEGORY).partition(":")
    of_kind = rest and _KIND.match(kind) and kind not in (*SEARCHED, Modality.SOURCE)
    modality = kind if of_kind else Modality.CATEGORY.value
    if relation in (IN_CATEGORY, SUBCATEGORY_OF):
        modality = Modality.CATEGORY
    title = rest if of_kind and rest.strip() else _last(name)
    return Node(name, modality, title=title, text=title)


def _last(name: str) -> str:
    """The readable end of a category's id: ``cat:weather/sea_waves`` → ``sea waves``."""
    tail = re.split(r"[/:]", name.removeprefix(CATEGORY))[-1].replace("_", " ").strip()
    return tail or name


def _place(values: Mapping[str, JSON], folder: Path) -> tuple[Path | None, Path | None, str | None]:
    """The file inside the folder, the one outside, or the address that is no file at all."""
    path, uri = word(values, "path"), word(values, "uri")
    if path is not None:
        return within(folder, path), None, uri
    if uri is None or not uri.startswith("/") or "\0" in uri:
        return None, None, uri
    if Path(uri).is_relative_to(folder):
        return within(folder, str(Path(uri).relative_to(folder))), None, None
    return None, Path(uri), None


def _properties(values: Mapping[str, JSON]) -> dict[str, JSON]:
    found = {key: value for key, value in values.items() if key not in MEANT}
    if "source" in values and "collection" in values:
        found["source"] = values["source"]
    nested = values.get("properties", {})
    if not isinstance(nested, dict):
        raise InputRefused("properties must be a JSON object")
    return as_properties({**found, **nested})


def as_properties(values: Mapping[str, JSON]) -> dict[str, JSON]:
    """What a row says as properties; its own ``vector`` is kept under the name ``vector_``."""
    if VECTOR not in values:
        return dict(values)
    name = f"{VECTOR}_"
    while name in values:
        name += "_"
    return {name if key == VECTOR else key: value for key, value in values.items()}


def _collection(values: Mapping[str, JSON], default: str) -> str | None:
    if "collection" in values:
        return word(values, "collection")
    return word(values, "source") or default


def _count(values: Mapping[str, JSON], key: str) -> int | None:
    found = number(values, key)
    return None if found is None else int(found)


# --- edges ----------------------------------------------------------------------------------


@dataclass
class Seen:
    """What the nodes of a manifest leave behind for its edges: ids only, never the nodes.

    ``cut`` holds the fragments of rows too long for one node; ``wanted`` the categories that rows
    named and no edge has stated yet.
    """

    ids: set[str] = field(default_factory=set)
    cut: dict[str, list[str]] = field(default_factory=dict)
    wanted: dict[str, list[str]] = field(default_factory=dict)

    def want(self, ids: Iterable[str], categories: Iterable[str]) -> None:
        """Note that items are in categories."""
        categories = list(categories)
        if categories:
            for name in ids:
                self.wanted[name] = categories


def edges_of(values: Mapping[str, JSON], seen: Seen) -> tuple[list[Edge], list[Node]]:
    """One row of ``edges.csv``: its edges, and the ends it brings into being.

    What describes something or is in a category is an item: where the row's source was cut, its
    fragments are meant.

    Raises:
        InputRefused: an end is unknown, or a value is missing or of the wrong kind.
        InvalidNode: the graph cannot hold it.
    """
    src, dst, kind = (word(values, key) for key in ("src", "dst", "type"))
    if src is None or dst is None or kind is None:
        raise InputRefused("an edge needs src, dst and type")
    relation = re.sub(r"[\s-]+", "_", kind.strip().upper())
    relation = IN_CATEGORY if relation == "MEMBER_OF" else relation
    src, dst = (end if end in seen.ids else end.strip() for end in (src, dst))
    src, dst = _ends(src, relation, dst, seen.ids)
    edge = _edge(src, relation, dst, values)
    new = []
    for end in dict.fromkeys((src, dst)):
        if end in seen.ids:
            continue
        if not end.startswith(CATEGORY) or end == CATEGORY:
            raise InputRefused(f"no node has the id {end!r}, or it was refused")
        new.append(implied_node(end, relation))
    seen.ids.update(node.id for node in new)
    items = seen.cut.get(src, [src]) if relation in (DESCRIBES, IN_CATEGORY) else [src]
    for item in items:
        if relation == IN_CATEGORY and dst in seen.wanted.get(item, ()):
            seen.wanted[item] = [c for c in seen.wanted[item] if c != dst]
    return [_edge(item, relation, dst, values) for item in items] if items != [src] else [edge], new


def _ends(src: str, relation: str, dst: str, ids: set[str]) -> tuple[str, str]:
    """Ends with categories by their full id; an id that is a node's own is left alone."""
    if relation == SUBCATEGORY_OF:
        src = _as_category(src, ids)
    if relation in (IN_CATEGORY, SUBCATEGORY_OF):
        dst = _as_category(dst, ids)
    return src, dst


def _as_category(name: str, ids: set[str]) -> str:
    full = category_id(name)
    return name if name in ids and full not in ids else full


def _edge(src: str, relation: str, dst: str, values: Mapping[str, JSON]) -> Edge:
    weight, status = number(values, "weight"), word(values, "status") or "asserted"
    if status not in _STATUSES:
        raise InputRefused(f"status {status!r} is unknown", remedy=f"one of {', '.join(_STATUSES)}")
    origin = word(values, "origin") or "file"
    return Edge(src, relation, dst, 1.0 if weight is None else weight, origin, status)
