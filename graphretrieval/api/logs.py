"""One JSON line for each request; secrets, words and files' contents never get into it."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any

LOG = logging.getLogger("graphretrieval.api")
#: What looks like a secret is not written, wherever it comes from.
_SECRETS = re.compile(
    r"(gr_[\w-]{8,}|eyJ[\w-]+\.[\w-]+\.[\w-]*|(?i:bearer)\s+\S+|(?i:token|key|session|password)=[^&\s\"']+)"
)
HIDDEN = "[secret]"


def without_secrets(text: str) -> str:
    """The text with keys, tokens and passwords blotted out."""
    return _SECRETS.sub(HIDDEN, text)


class JsonLines(logging.Formatter):
    """A record as one JSON object; ``extra={"fields": {…}}`` is merged in."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        row: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            row["trace"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(row, ensure_ascii=False, default=str))


def to_stderr(level: str = "INFO") -> None:
    """Send all logs of the process there as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
