"""The message-passing kernel: y = A x over sparse rows, as fast as memory allows.

``torch.nn.functional.embedding_bag`` (mode sum, per-sample weights) reads each neighbour's row once
and adds it up in registers, on all threads; scipy's product runs on one. Rows stored in 16 bits
halve what has to be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from graphretrieval.types import Array, Ints

if TYPE_CHECKING:
    import torch  # loaded where it is needed: reading files in needs none of it


@dataclass(frozen=True)
class Messages:
    """A weighted sparse matrix as torch reads it: row i hears ``sources[offsets[i]:offsets[i+1]]``.

    Indices are 32-bit where they fit: half the bytes to read beside each row.
    """

    offsets: torch.Tensor = field(compare=False, repr=False)  # (n + 1,)
    sources: torch.Tensor = field(compare=False, repr=False)  # (m,)
    weights: torch.Tensor = field(compare=False, repr=False)  # (m,) float32

    @classmethod
    def of(cls, indptr: Ints, indices: Ints, weights: Array) -> Messages:
        """From the arrays of a CSR matrix."""
        import torch

        narrow = max(len(indices), len(indptr)) < 2**31
        kind = np.int32 if narrow else np.int64
        return cls(
            torch.from_numpy(np.ascontiguousarray(indptr, kind)),
            torch.from_numpy(np.ascontiguousarray(indices, kind)),
            torch.from_numpy(np.ascontiguousarray(weights, np.float32)),
        )

    def hear(self, x: torch.Tensor) -> torch.Tensor:
        """One hop: ``y[i] = Σ_j A[i, j] x[j]``.

        Args:
            x: ``(n, d)``, float32 or bfloat16; a bfloat16 x gives a bfloat16 y.

        Returns:
            ``(rows, d)`` of the same type.
        """
        import torch

        rows = len(self.offsets) - 1
        if not len(self.sources) or not x.shape[1]:
            return torch.zeros((rows, x.shape[1]), dtype=x.dtype)
        with torch.no_grad():
            return torch.nn.functional.embedding_bag(
                self.sources,
                x,
                self.offsets,
                mode="sum",
                per_sample_weights=self.weights.to(x.dtype),
                include_last_offset=True,
            )


def hop(indptr: Ints, indices: Ints, weights: Array, x: Array) -> Array:
    """``A @ x`` for a CSR matrix A and dense x ``(n, d)``; float32."""
    return heard(Messages.of(indptr, indices, weights), x)


def heard(messages: Messages, x: Array, *, half: bool = False) -> Array:
    """One hop of vectors ``(n, d)``; float32.

    ``half`` stores and reads the rows as bfloat16: faster, exact to about three digits.
    """
    import torch

    dense = torch.from_numpy(np.ascontiguousarray(x, np.float32))
    if half:
        dense = dense.bfloat16()
    return np.asarray(messages.hear(dense).float().numpy(), np.float32)
