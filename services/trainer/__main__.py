"""Watch a store and refit its model as links are made, until stopped.

    python -m services.trainer --store museum.db --links 100 --minutes 30

Each refit is a line of JSON on stdout. SIGTERM and SIGINT end it after the refit it is in.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

import graphretrieval as gr
from graphretrieval.lifecycle import Policy
from graphretrieval.stream import EVERY, Trainer


def main() -> int:
    """Run until stopped."""
    parser = argparse.ArgumentParser(prog="python -m services.trainer")
    parser.add_argument("--store", help="file or URL; the setting store by default")
    parser.add_argument("--links", type=int, default=100, help="refit after so many; 0 never")
    parser.add_argument("--minutes", type=float, default=30, help="or after so many; 0 never")
    parser.add_argument("--every", type=float, default=EVERY, help="seconds between looks")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with gr.open(given.store) as kb:
        Trainer(
            kb,
            Policy(given.links, given.minutes),
            lambda said: print(json.dumps(said, ensure_ascii=False), flush=True),
            given.every,
            given.seed,
        ).run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
