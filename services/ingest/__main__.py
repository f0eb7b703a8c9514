"""Watch folders and keep a store up to date with them, until stopped.

    python -m services.ingest --store museum.db photos/ letters/

Each round is a line of JSON on stdout. SIGTERM and SIGINT end it after the round it is in.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

import graphretrieval as gr
from graphretrieval.stream import PATIENCE, SETTLED, Ingest


def main() -> int:
    """Run until stopped."""
    parser = argparse.ArgumentParser(prog="python -m services.ingest")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--store", help="file or URL; the setting store by default")
    parser.add_argument("--settled", type=float, default=SETTLED, help="seconds of quiet")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="longest wait for quiet")
    parser.add_argument("--keep", action="store_true", help="keep what vanishes from disk")
    given = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with gr.open(given.store) as kb:
        try:
            Ingest(
                kb,
                given.folders,
                lambda said: print(json.dumps(said, ensure_ascii=False), flush=True),
                given.settled,
                given.patience,
                not given.keep,
            ).run(stop)
        except gr.GraphRetrievalError as e:
            print(e, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
