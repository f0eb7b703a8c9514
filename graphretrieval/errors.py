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

import errno
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


# what the system says no by, and what to do about it
_REMEDIES = {
    errno.ENOENT: "check the path: a folder on the way, or the file, is not there",
    errno.ENOTDIR: "what stands before the last / must be a folder",
    errno.EEXIST: "what stands before the last / must be a folder",
    errno.EISDIR: "name a file, not a folder",
    errno.EACCES: "give yourself the right to read and write there, or name another place",
    errno.EPERM: "give yourself the right to read and write there, or name another place",
    errno.EROFS: "the disk is mounted read-only: name another place",
    errno.ENOSPC: "make room on the disk, and do it again",
    errno.EDQUOT: "make room on the disk, and do it again",
    errno.ENAMETOOLONG: "name something shorter",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`), and do it again",
    errno.EADDRINUSE: "name another port, or stop what listens there",
}


def of_system(error: OSError) -> tuple[str, str]:
    """What the operating system refused as a problem, which names the file, and its remedy."""
    reason = error.strerror or str(error) or type(error).__name__
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    problem = f"{' and '.join(names)} could not be used ({reason})" if names else reason
    remedy = _REMEDIES.get(error.errno or 0, "run it again with --verbose to see where")
    return problem, remedy
