"""The query service as a process of its own: ``python -m services.query`` or as a container.

Settings come from the environment (``GRAPHRETRIEVAL_STORE`` and those in ``docs/api.md``).
"""

from __future__ import annotations

import os
import sys

import graphretrieval as gr
from graphretrieval.api.process import serve
from graphretrieval.render import print_error


def main() -> int:
    """Serve until stopped."""
    host = os.environ.get("GRAPHRETRIEVAL_HOST", "127.0.0.1")
    port = int(os.environ.get("GRAPHRETRIEVAL_PORT", "8000"))
    # in a container the log is kept, and a link in it would be a secret in it
    link = os.environ.get("GRAPHRETRIEVAL_ADMIN_LINK", "no") == "yes"
    try:
        with gr.open() as kb:
            serve(kb, host=host, port=port, link=link)
    except gr.GraphRetrievalError as e:
        print_error(e.problem, e.remedy)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
