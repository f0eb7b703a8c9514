"""Everything that can go wrong, each with what to do about it.

GraphRetrievalError
├── ConfigError (ValueError)            a setting has a value it cannot have
├── NotRegistered (LookupError)         no encoder, aligner, … of that name
├── MissingExtra (ImportError)          the name exists, but its package is not installed
├── InputRefused (ValueError)           one file or row cannot be taken in; the rest goes on
│   ├── TooLarge                        more pixels, seconds, bytes or rows than the limits allow
│   ├── Undecodable                     the bytes are not what the name says
│   └── UnsafePath                      the path leads out of the folder it was found in
├── InvalidNode (ValueError)            a node or edge that the graph cannot hold
├── UnknownNode (KeyError)              no node has that id
├── StoreError (RuntimeError)           the database said no
│   ├── StoreBusy                       another process is writing
│   ├── StoreAway                       the server does not answer
│   ├── MigrationError                  the schema is newer, older or altered
│   ├── SpaceMismatch                   vectors of another space than the one stored
│   ├── ServerError                     a server of one's own could not be started or stopped
│   └── SnapshotTooOld                  changes that far back are no longer kept: export afresh
├── NotFitted (RuntimeError)            asked for an answer before anything was learned
├── BundleError (ValueError)            a saved model is incomplete, altered or of another space
├── NothingToLearn (ValueError)         the collection holds no links or categories to learn from
└── QueryError (ValueError)             a query that cannot be understood
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self


class GraphRetrievalError(Exception):
    """Root of the tree: ``except GraphRetrievalError`` catches all that this package raises.

    ``problem`` says what happened and what was given, ``remedy`` what to do about it.
    """

    def __init__(self, problem: str, *, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}. {self.remedy}" if self.remedy else self.problem


class ConfigError(GraphRetrievalError, ValueError):
    """A setting has a value it cannot have."""


class NotRegistered(GraphRetrievalError, LookupError):
    """No implementation of that name."""


class MissingExtra(GraphRetrievalError, ImportError):
    """The name is known, but the package it needs is not installed."""


class InputRefused(GraphRetrievalError, ValueError):
    """One file or row cannot be taken in; the rest goes on."""


class TooLarge(InputRefused):
    """More pixels, seconds, bytes or rows than the limits allow."""


class Undecodable(InputRefused):
    """The bytes are not what the name says."""


class UnsafePath(InputRefused):
    """The path leads out of the folder it was found in."""


class InvalidNode(GraphRetrievalError, ValueError):
    """A node or edge that the graph cannot hold."""


class UnknownNode(GraphRetrievalError, KeyError):
    """No node has that id."""

    @classmethod
    def at_ends(cls, lost: Sequence[str]) -> Self:
        """Edges were given whose ends are not in the graph."""
        return cls(
            f"there is no node {', '.join(repr(x) for x in lost[:3])}"
            + (f" and {len(lost) - 3} more" if len(lost) > 3 else ""),
            remedy="add it before linking to it",
        )


class StoreError(GraphRetrievalError, RuntimeError):
    """The database said no."""


class StoreBusy(StoreError):
    """Another process is writing."""


class StoreAway(StoreError):
    """The server does not answer."""


class SpaceMismatch(StoreError):
    """Vectors of another space than the one stored."""


class ServerError(StoreError):
    """A server of one's own could not be started or stopped."""


class MigrationError(StoreError):
    """The schema is newer, older or altered."""


class SnapshotTooOld(StoreError):
    """Changes that far back are no longer kept: export afresh."""


class NotFitted(GraphRetrievalError, RuntimeError):
    """Asked for an answer before anything was learned."""


class BundleError(GraphRetrievalError, ValueError):
    """A saved model is incomplete, altered or of another space."""


class NothingToLearn(GraphRetrievalError, ValueError):
    """The collection holds no links or categories to learn from."""


class QueryError(GraphRetrievalError, ValueError):
    """A query that cannot be understood."""
