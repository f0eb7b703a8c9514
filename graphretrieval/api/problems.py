"""Errors as clients see them: a code, a status, a sentence and a remedy; never a stack trace."""

from __future__ import annotations

import re
from typing import Any

from graphretrieval.errors import (
    GraphRetrievalError,
    InputRefused,
    InvalidNode,
    NotFitted,
    NothingToLearn,
    QueryError,
    StoreBusy,
    StoreError,
    TooLarge,
    UnknownNode,
)

#: The first class that fits gives the status.
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (UnknownNode, 404),
    (TooLarge, 413),
    (InputRefused, 422),
    (InvalidNode, 422),
    (QueryError, 400),
    (NothingToLearn, 409),
    (NotFitted, 409),
    (StoreBusy, 503),
    (StoreError, 503),
    (GraphRetrievalError, 400),
)
#: Seconds after which a busy service is worth another try.
RETRY_SECONDS = 2


class Refused(GraphRetrievalError):
    """The service does not answer this request; ``code`` and ``status`` say why."""

    def __init__(
        self, code: str, status: int, problem: str, *, remedy: str = "", retry: float | None = None
    ) -> None:
        super().__init__(problem, remedy=remedy)
        self.code, self.status, self.retry = code, status, retry


def code_of(error: Exception) -> str:
    """``UnknownNode`` → ``UNKNOWN_NODE``; anything that is not ours → ``INTERNAL``."""
    if isinstance(error, Refused):
        return error.code
    if isinstance(error, GraphRetrievalError):
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).upper()
    return "INTERNAL"


def status_of(error: Exception) -> int:
    """The HTTP status of an error."""
    if isinstance(error, Refused):
        return error.status
    return next((status for cls, status in _STATUS if isinstance(error, cls)), 500)


def described(error: Exception) -> dict[str, Any]:
    """An error as JSON; what is not ours is named only in the log."""
    out: dict[str, Any] = {"code": code_of(error)}
    if isinstance(error, GraphRetrievalError):
        out |= {"message": error.problem, "remedy": error.remedy}
    else:
        out |= {
            "message": "the service failed to answer",
            "remedy": "the log of the service says more, by the request's id",
        }
    return out


def headers_of(error: Exception) -> dict[str, str]:
    """``Retry-After`` where trying again makes sense, ``WWW-Authenticate`` with 401."""
    status = status_of(error)
    out = {"WWW-Authenticate": 'Bearer realm="graphretrieval"'} if status == 401 else {}
    if status in (429, 503):
        retry = getattr(error, "retry", None) or RETRY_SECONDS
        out["Retry-After"] = str(max(1, round(retry)))
    return out
