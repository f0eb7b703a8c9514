"""The architecture on one page: the seams between rooms, and what may be put into each.

    files → sources → stores → encoders → aligners → gnn → indexes → rankers → retriever

Everything is plural: ids, contents, queries in; lists or arrays out; same order, same length.
A stage that learns is made with its settings, learns in ``fit`` and returns itself, and is saved
by ``state`` and brought back by ``from_state``. Randomness comes in as ``seed``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Protocol, Self, TypeVar

from graphretrieval.types import (
    JSON,
    Array,
    Batch,
    Changes,
    Content,
    Edge,
    FileStamp,
    Graph,
    Ints,
    Node,
    Path,
    State,
    Supervision,
)

C = TypeVar("C", bound=Content, contravariant=True)

#: Called with (done, total, what) as long work goes on; total 0 means unknown.
Progress = Callable[[int, int, str], None]


def silent(done: int, total: int, what: str) -> None:
    """The progress that nobody watches."""


class Source(Protocol):
    """A place media come from: knows one layout or file format."""

    def total(self) -> int:
        """How many inputs there are, for a progress bar; 0 if that cannot be known cheaply."""

    def batches(self, known: Mapping[str, FileStamp]) -> Iterator[Batch]:
        """Read what is new or changed, a bounded number of inputs at a time.

        ``known`` maps the uri of each file seen before to its stamp: a file of the same size and
        mtime is not opened. Refused files come back as stamps with ``refused`` set.
        """


class GraphStore(Protocol):
    """A property graph that outlives the process. No query string crosses this interface."""

    #: What this store can do beyond the common part, e.g. ``{"vector_search"}``.
    capabilities: frozenset[str]

    @property
    def degraded(self) -> bool:
        """Whether reads are answered from a snapshot, because the store itself is away."""

    @property
    def revision(self) -> int:
        """The newest committed revision; every write makes it greater by one."""

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring the schema up to date; return the names of the migrations (to be) applied."""

    def upsert(
        self, nodes: Sequence[Node], edges: Sequence[Edge] = (), files: Sequence[FileStamp] = ()
    ) -> int:
        """Write all in one idempotent transaction and return its revision.

        An edge to a node that is neither stored nor in ``nodes`` is refused with
        :class:`~graphretrieval.errors.UnknownNode`, and nothing is written. Rows equal to those
        stored are left as they are; if all are, the revision does not move.
        """

    def delete(self, ids: Sequence[str] = (), edges: Sequence[tuple[str, str, str]] = ()) -> int:
        """Remove nodes with all their edges, and edges by (src, type, dst); leave tombstones."""

    def get(self, ids: Sequence[str]) -> list[Node | None]:
        """The nodes of these ids, ``None`` where there is none."""

    def nodes(self, modality: str | None = None) -> Iterator[Node]:
        """All nodes (of one modality) in id order, streamed."""

    def edges(self, type: str | None = None, status: str | None = "asserted") -> Iterator[Edge]:
        """All edges (of one type, of one status or, with ``None``, of any), streamed."""

    def neighbours(
        self,
        ids: Sequence[str],
        *,
        types: Sequence[str] | None = None,
        direction: str = "both",
        limit: int = 1000,
    ) -> list[list[Edge]]:
        """For each id its asserted edges (``out``, ``in`` or ``both``), strongest first."""

    def paths(
        self, sources: Sequence[str], targets: Sequence[str], *, max_hops: int = 3
    ) -> list[Path | None]:
        """For each pair (sources[i], targets[i]) a shortest path, edges walked either way.

        Of several shortest, the one whose edge weights have the greatest product, then the first
        by node ids. ``None`` where there is none within ``max_hops``.
        """

    def text_search(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        modality: str | None = None,
        lang: str | None = None,
    ) -> list[list[tuple[str, float]]]:
        """For each query the best (id, score) by full text over title and text; score > 0.

        Any language; a query is text, never syntax. Empty or unmatched queries give ``[]``.
        """

    def vector_search(
        self, space: str, queries: Array, k: int = 10, *, modality: str | None = None
    ) -> list[list[tuple[str, float]]]:
        """Nearest stored vectors, where ``"vector_search"`` is among the capabilities."""

    def files(self, prefix: str = "") -> dict[str, FileStamp]:
        """Stamps of the files read so far whose uri begins with ``prefix``."""

    def forget_files(self, uris: Sequence[str]) -> None:
        """Drop stamps, so that these files are read again."""

    def counts(self) -> dict[str, dict[str, int]]:
        """``{"nodes": {modality: n}, "edges": {type: n}}``, of asserted edges.

        ``proposed`` and ``rejected`` hold those of that status.
        """

    def export(self) -> Graph:
        """The whole graph as arrays at the newest revision (its asserted edges)."""

    def changes_since(self, revision: int) -> Changes:
        """Everything committed after ``revision``; may raise ``SnapshotTooOld``."""

    def scrub(self) -> None:
        """Leave nothing of what was deleted in the store's own files, where that is in its hands.

        Stores that can have ``"scrub"`` among their capabilities.
        """

    def backup(self, path: FilePath) -> None:
        """A consistent copy while others read and write."""

    def close(self) -> None:
        """Release files and connections; the store can be opened again."""


class Encoder(Protocol[C]):
    """Content of one modality → features."""

    modality: str

    @property
    def dim(self) -> int:
        """Columns of ``encode``; known once fitted."""

    @property
    def version(self) -> str:
        """Changes whenever the same content would get other numbers: the feature cache's key."""

    def fit(
        self,
        contents: Sequence[C],
        *,
        groups: Ints | None = None,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn codebooks from a sample of the collection.

        Contents of the same ``groups`` value (≥ 0) say the same thing, e.g. descriptions of one
        picture in several languages; −1 stands alone.
        """

    def encode(self, contents: Sequence[C]) -> Array:
        """Features, float32 ``(n, dim)``, finite; the same content gives the same row."""

    def state(self) -> State:
        """All that was learned."""

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted encoder back from its state."""


class Aligner(Protocol):
    """Features of several modalities → one space, compared by inner product."""

    @property
    def dim(self) -> int:
        """Columns of ``embed``; known once fitted."""

    def fit(
        self,
        features: Mapping[str, Array],
        supervision: Supervision,
        *,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn from pairs and categories.

        Raises :class:`~graphretrieval.errors.NothingToLearn` where the supervision this method
        needs is absent.
        """

    def embed(self, modality: str, features: Array) -> Array:
        """Vectors, float32 ``(n, dim)``; zeros for a modality that was not fitted."""

    def state(self) -> State:
        """All that was learned."""

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted aligner back from its state."""


class Refiner(Protocol):
    """Message passing: a node's vector absorbs those of its neighbours."""

    def fit(
        self,
        graph: Graph,
        vectors: Array,
        supervision_edges: Ints,
        *,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn relation weights, teleport and depth.

        ``vectors`` ``(n, dim)`` are row-aligned with the graph. ``supervision_edges`` are the
        positions of edges to predict: they are taken out of the message graph here.
        """

    def refine(self, graph: Graph, vectors: Array) -> Array:
        """Refined vectors ``(n, dim)`` of all nodes."""

    def state(self) -> State:
        """All that was learned."""

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted refiner back from its state."""


class Index(Protocol):
    """Nearest vectors by inner product."""

    def build(self, vectors: Array) -> Self:
        """Index rows 0 … n−1."""

    def upsert(self, rows: Ints, vectors: Array) -> None:
        """Replace rows, or add those that follow the last one, in order."""

    def remove(self, rows: Ints) -> None:
        """Rows that are not to be found any more; the others keep their numbers."""

    def search(self, queries: Array, k: int) -> tuple[Array, Ints]:
        """Scores and rows ``(q, min(k, n))``, best first; ties go to the lower row."""

    def __len__(self) -> int:
        """How many vectors can be found."""


class Ranker(Protocol):
    """Score parts of candidates → one score that is the sum of its parts."""

    def fit(
        self,
        parts: Array,
        relevant: Array,
        queries: Ints,
        known: Array,
        *,
        absent: float = 0.0,
        by_share: bool = True,
        optional: Sequence[Sequence[int]] = (),
        seed: int = 0,
    ) -> Self:
        """Learn from candidates ``(n, p)``, their relevance ``(n,)`` and query numbers ``(n,)``.

        ``known`` ``(n,)`` says for each candidate's query how surely the collection knows it:
        1 for one of its own items or words that it holds, 0 for something never seen. ``absent`` is
        how often a query's answer is not among candidates, for each time that it is; ``by_share``
        whether how a candidate stands among the others tells how sure it is. ``optional``
        are groups of parts, each heard only where it surely helps beside those before.
        """

    #: Mean average precision on the queries learned from: of each part alone, and of the fusion
    #: on queries it was not fitted on. Empty for a ranker brought back from its state.
    judged: Mapping[str, JSON]

    def weigh(self, parts: Array, known: Array | float) -> Array:
        """Contributions ``(n, p)``, linear in the parts; a row's sum is the candidate's score."""

    def log_odds(self, scores: Array, known: float) -> tuple[float, float]:
        """Calibration of one query's candidates: slope and level, ``slope ≥ 0``.

        A candidate of score s is right with probability ``1 / (1 + exp(−slope s − level))``.
        """

    def state(self) -> State:
        """All that was learned."""

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted ranker back from its state."""
