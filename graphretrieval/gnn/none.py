"""No message passing: vectors stay as they are, the control every refiner is measured against."""

from __future__ import annotations

from typing import Self

import numpy as np

from graphretrieval.arrays import Csr
from graphretrieval.protocols import Progress, silent
from graphretrieval.types import Array, Graph, Ints, State


class NoRefiner:
    """The identity."""

    depth_ = 0

    def fit(
        self,
        graph: Graph,
        vectors: Array,
        supervision_edges: Ints,
        *,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Self:
        """Learn nothing."""
        return self

    def refine(self, graph: Graph, vectors: Array) -> Array:
        """The vectors ``(n, dim)`` themselves."""
        return np.asarray(vectors, np.float32)

    def absorb(self, vectors: Array, neighbours: Csr, refined: Array) -> Array:
        """The queries' vectors ``(q, dim)`` themselves."""
        return np.asarray(vectors, np.float32)

    def state(self) -> State:
        """Nothing."""
        return State({}, {})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The identity again."""
        return cls()
