"""Bring your own embeddings: a manifest folder with one array of vectors for each modality.

nodes.jsonl               as in a manifest; pictures and sounds need no file, nothing is cut
vectors_image.npy         row i belongs to the i-th image of the list, or to its key ``row``
vectors_text.npz          an array in an archive of one
vectors.safetensors       arrays called image, text, audio; ``vectors.npz`` likewise

For those who add: ``docs/inputs.md``.
"""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphretrieval.config import Config
from graphretrieval.errors import InputRefused, TooLarge, Undecodable
from graphretrieval.sources.files import danger
from graphretrieval.sources.limits import Limits
from graphretrieval.sources.manifest import ManifestSource
from graphretrieval.sources.media import MediaReader
from graphretrieval.sources.records import VECTOR
from graphretrieval.sources.rows import number, read_rows, stat_of, word
from graphretrieval.types import JSON, SEARCHED, Array, Batch, FileStamp, Node

_SUFFIXES = (".npy", ".npz", ".safetensors")
#: An array in an archive is unpacked into memory; it may be as large as a file by default.
MAX_UNPACKED = Limits().max_file_bytes
# zeros shrink a thousandfold, features at most tenfold; what is small may be anything
_MAX_RATIO = 100
_SMALL = 64 << 20
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_Place = tuple[str, str]  # file, name of the array in it


class ArraySource:
    """Reads a manifest whose items come with vectors.

    Each item's property ``vector`` says where its row is; the vectors stay in their files, which
    must remain where they are until the model is fitted.

    Args:
        path: the folder.
        reader: decodes the files that items name, if they do.
        config: lengths of fragments.
        collection: of rows that name none; the folder's name by default.
        lang: language of texts that do not say theirs.
        category: a category that everything is put into as well.
    """

    def __init__(
        self,
        path: Path,
        *,
        reader: MediaReader,
        config: Config,
        collection: str | None = None,
        lang: str | None = None,
        category: str | None = None,
    ) -> None:
        self.path = path
        marks = [(file.name, *stat_of(file)) for file in _files(path)]
        self._manifest = ManifestSource(
            path,
            reader=reader,
            config=config,
            collection=collection,
            lang=lang,
            category=category,
            bare=True,
            salt=repr(marks),
        )

    def total(self) -> int:
        """How many rows of nodes there are."""
        return self._manifest.total()

    def batches(self, known: Mapping[str, FileStamp]) -> Iterator[Batch]:
        """The manifest's batches, each item with the place of its vector.

        Raises:
            InputRefused: there is no list of nodes, or an array cannot be used.
        """
        arrays = _arrays(self.path)
        self._manifest.uncut = frozenset(arrays)  # a vector is of the whole
        places = self._places()
        before = {u for u, s in known.items() if u.startswith(self._uri("")) and s.refused}
        for batch in self._manifest.batches(known):
            nodes, refused = [], []
            for node in batch.nodes:
                try:
                    place = places.get(self._manifest.lines.get(node.id, 0))
                    nodes.append(node if place is None else _placed(node, place, arrays))
                except InputRefused as e:
                    refused.append(FileStamp(self._uri(node.id), 0, 0, "", str(e)))
            files = [*batch.files, *refused]
            before -= {stamp.uri for stamp in files}
            yield replace(batch, nodes=nodes, files=files)
        if before:
            yield Batch(files=[FileStamp(uri, 0, 0) for uri in sorted(before)])

    def _uri(self, id: str) -> str:
        """What an item without a vector is refused under."""
        return f"{self.path}/nodes: {id}"

    def _places(self) -> dict[int, int | InputRefused]:
        """Line of each item → its row in its modality's array, or why that is not known.

        A line that does not tell its modality may stand for a row of any array, so that those of
        the items after it cannot be counted.
        """
        path = next(p for n in ("jsonl", "csv") if (p := self.path / f"nodes.{n}").is_file())
        count: Counter[str] = Counter()
        out: dict[int, int | InputRefused] = {}
        lost: InputRefused | None = None
        for line, values in read_rows(path):
            modality = _modality(values)
            if modality and not isinstance(values, InputRefused):
                out[line] = _row_of(values, lost or count[modality])
                count[modality] += 1
            else:
                lost = lost or InputRefused(
                    f"line {line} of {path.name} cannot be read, so that the row of this item is "
                    "not known",
                    remedy="correct that line, or give each item its row",
                )
        return out


def load_vectors(nodes: Sequence[Node]) -> Array:
    """The vectors ``(n, dim)`` that nodes of one modality brought, in order.

    Raises:
        InputRefused: an array is gone, has become shorter, or its values are no numbers.
    """
    places = [node.properties[VECTOR] for node in nodes]
    keys = [_key(place) for place in places]
    out: list[Array | None] = [None] * len(nodes)
    for (file, name), numbers in groupby(
        sorted(range(len(nodes)), key=keys.__getitem__), keys.__getitem__
    ):
        wanted = list(numbers)
        matrix = _open(Path(file), name)
        rows = np.array([_row(places[i]) for i in wanted])
        if rows.max() >= len(matrix):
            raise InputRefused(f"{file} has {len(matrix)} rows, row {rows.max()} is asked for")
        taken = np.asarray(matrix[rows], np.float32)
        if not np.isfinite(taken).all():
            raise Undecodable(f"{file} holds values that are no finite numbers")
        for i, vector in zip(wanted, taken, strict=True):
            out[i] = vector
    sizes = {len(v) for v in out if v is not None}
    if len(sizes) > 1:
        raise InputRefused(
            f"vectors of one modality differ in length ({sorted(sizes)})",
            remedy="give collections that are searched together vectors of one encoder",
        )
    return np.vstack([v for v in out if v is not None])


def _modality(values: Mapping[str, JSON] | InputRefused) -> str:
    """What a row says of it, empty where it cannot be read."""
    try:
        said = None if isinstance(values, InputRefused) else word(values, "modality")
    except InputRefused:
        said = None
    return (said or "").strip().lower()


def _row_of(values: Mapping[str, Any], place: int | InputRefused) -> int | InputRefused:
    """The row that an item names, or else its place in the list."""
    try:
        given = number(values, "row")
    except InputRefused as e:
        return e
    if given is not None and given != int(given):
        return InputRefused(f"row must be a whole number, not {given:g}")
    return place if given is None else int(given)


def _placed(node: Node, row: int | InputRefused, arrays: Mapping[str, tuple[_Place, int]]) -> Node:
    if node.modality not in arrays:
        return node
    if isinstance(row, InputRefused):
        raise row
    (file, name), length = arrays[node.modality]
    if not 0 <= row < length:
        raise InputRefused(f"{file} has {length} rows, the item asks for row {row}")
    vector: dict[str, JSON] = {"file": file, "array": name, "row": row}
    return replace(node, properties={**node.properties, VECTOR: vector})


def _arrays(folder: Path) -> dict[str, tuple[_Place, int]]:
    """Modality → where its array is, and how many rows it has.

    Raises:
        InputRefused: there is none, one is unusable, or two are for one modality.
    """
    found: dict[str, tuple[_Place, int]] = {}
    for path in _files(folder):
        if problem := danger(path, folder.resolve()):
            raise problem
        named = path.stem.removeprefix("vectors").lstrip("_.-")
        for name in _names(path):
            modality = named or name
            if modality not in SEARCHED:
                raise InputRefused(
                    f"{path.name} is for {modality!r}, which is no modality",
                    remedy=f"call it vectors_{'|'.join(SEARCHED)}{path.suffix}",
                )
            if modality in found:
                raise InputRefused(f"two arrays are for {modality}: {path.name} is one of them")
            found[modality] = (str(path), name), len(_open(path, name))
    if not found:
        raise InputRefused(
            f"{folder} holds no vectors", remedy="add vectors_image.npy, or read it as manifest"
        )
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("vectors*") if p.suffix in _SUFFIXES)


def _names(path: Path) -> list[str]:
    """The arrays in a file; a bare array has no name."""
    if path.suffix == ".npy":
        return [""]
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return [name.removesuffix(".npy") for name in archive.namelist()]
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as tensors:
            return list(tensors.keys())
    except Exception as e:  # zip and header errors are of many types
        raise Undecodable(f"{path.name} cannot be read as an array ({e})") from e


def _open(path: Path, name: str) -> npt.NDArray[Any]:
    """A matrix of numbers ``(n, dim)``, mapped into memory where its format allows it.

    Raises:
        TooLarge: unpacked it would be.
        Undecodable: it is damaged, or no matrix of numbers.
    """
    matrix: npt.NDArray[Any]
    try:
        if path.suffix == ".npy":
            matrix = np.lib.format.open_memmap(path, mode="r")
        elif path.suffix == ".npz":
            matrix = _unpacked(path, name)
        else:
            from safetensors import safe_open

            with safe_open(path, framework="numpy") as tensors:
                matrix = tensors.get_tensor(name)
    except InputRefused:
        raise
    except Exception as e:  # as above; objects come out as ValueError
        raise Undecodable(f"{path.name} cannot be read as an array ({e})") from e
    _check(path, matrix.shape, matrix.dtype)
    return np.asanyarray(matrix)


def _unpacked(path: Path, name: str) -> npt.NDArray[Any]:
    """An array of an archive, unpacked only if its size is what such an array may have."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
        with archive.open(member) as f:
            version = np.lib.format.read_magic(f)
            if version not in _HEADERS:
                raise Undecodable(f"{path.name} holds no matrix of numbers")
            shape, _, dtype = _HEADERS[version](f)
        _check(path, shape, dtype)
        size = math.prod(shape) * dtype.itemsize
        if size > member.file_size:
            raise Undecodable(f"{path.name} says {shape}, but does not hold as much")
        if size > MAX_UNPACKED or size > max(_SMALL, _MAX_RATIO * member.compress_size):
            raise TooLarge(
                f"{path.name} has {member.compress_size >> 20} MB packed and {size >> 20} unpacked",
                remedy="save it as .npy or .safetensors",
            )
        with archive.open(member) as f:
            return np.lib.format.read_array(f, allow_pickle=False)


def _check(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if len(shape) != 2 or dtype.kind not in "fiub" or shape[1] < 1:
        raise Undecodable(f"{path.name} holds {dtype} of shape {shape}, no matrix of numbers")


def _key(place: JSON) -> _Place:
    if not isinstance(place, dict):
        raise InputRefused("the place of a vector must be an object with file, array and row")
    return str(place.get("file")), str(place.get("array", ""))


def _row(place: JSON) -> int:
    row = place.get("row") if isinstance(place, dict) else None
    if not isinstance(row, int) or row < 0:
        raise InputRefused(f"{row!r} is no row of an array")
    return row
