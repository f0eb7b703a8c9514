"""Load on one worker: percentiles of REST search, GraphQL beside it, and ten times too much.

``python -m graphretrieval.api.loadtest STORE`` starts the service in a process of its own on
loopback and asks it by this process, so that the two share the machine's cores as in real life.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

PORT = 8791
WORDS = (
    *("lion", "tiger", "violin", "fire truck", "moon", "a red flower", "something that flies"),
    *("boat", "apple", "a dog", "house", "letter", "drum", "bird", "shoe", "tree", "fish", "car"),
    *("老虎", "小提琴", "消防车", "月亮", "苹果", "狗", "鸟", "鱼", "树", "船"),
)
DOCUMENT = """query ($input: SearchInput!) {
  search(input: $input) { edges { score confidence parts { name value }
    node { id modality title text lang license collection uri thumbnail }
    path { anchor edges { type direction } } } model { version } revision noMatch }
}"""
ROUNDS = 5
Call = Callable[[int], Awaitable[int]]


class Client:
    """A bare HTTP/1.1 client with kept connections: a library's own cost would be measured too."""

    def __init__(self) -> None:
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request; the status and the body."""
        reader, writer = (
            self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", PORT)
        )
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
        writer.write((head + "content-type: application/json\r\n\r\n").encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(x.lower().split(": ", 1) for x in lines[1:] if ": " in x)
        data = await reader.readexactly(int(headers.get("content-length", 0)))
        self._idle.append((reader, writer))
        return int(lines[0].split()[1]), data


async def closed(call: Call, clients: int, seconds: float) -> dict[str, Any]:
    """``clients`` that each ask again as soon as they are answered."""
    took: list[float] = []
    codes: Counter[int] = Counter()
    end = time.perf_counter() + seconds

    async def one(start: int) -> None:
        i = start
        while time.perf_counter() < end:
            started = time.perf_counter()
            status = await call(i)
            codes[status] += 1
            if status == 200:
                took.append(time.perf_counter() - started)
            elif status in (429, 503):
                await asyncio.sleep(0.05)
            i += clients

    started = time.perf_counter()
    await asyncio.gather(*(one(i) for i in range(clients)))
    wall = time.perf_counter() - started
    ms = 1000 * np.asarray(took or [0.0])
    return {
        "per_second": round(len(took) / wall, 1),
        "p50_ms": round(float(np.percentile(ms, 50)), 1),
        "p99_ms": round(float(np.percentile(ms, 99)), 1),
        "codes": {str(k): v for k, v in sorted(codes.items())},
    }


def _cpu(pid: int) -> float:
    """Processor seconds that a process has used; other processes do not change them much."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(seconds: float, pid: int) -> dict[str, Any]:
    """All figures; every query is new, so that no remembered answer is measured."""
    client, number = Client(), iter(range(10**9))
    trusted = json.loads((await client.send("GET", "/web/documents.json"))[1])["load"]["id"]

    def words(i: int) -> str:
        return f"{WORDS[i % len(WORDS)]} {next(number)}"

    def given(i: int) -> dict[str, Any]:
        return {"input": {"text": words(i), "targets": ["image"], "k": 10}}

    async def rest(i: int) -> int:
        body = {"text": words(i), "targets": ["image"], "k": 10}
        return (await client.send("POST", "/api/search", json.dumps(body).encode()))[0]

    async def cached(i: int) -> int:
        body = {"query": DOCUMENT, "variables": given(i)}
        return (await client.send("POST", "/graphql", json.dumps(body).encode()))[0]

    async def by_hash(i: int) -> int:
        body = {"documentId": trusted, "variables": given(i)}
        return (await client.send("POST", "/graphql", json.dumps(body).encode()))[0]

    out: dict[str, Any] = {}
    await closed(rest, 2, 2)
    out["rest, 1 client"] = await closed(rest, 1, seconds)
    out["rest, 4 clients"] = await closed(rest, 4, seconds)
    # by turns, so that whatever else the machine does falls on all three alike
    rounds: dict[str, list[float]] = {"rest": [], "cached": [], "trusted": []}
    spent: dict[str, list[float]] = {"rest": [], "cached": [], "trusted": []}
    for _ in range(ROUNDS):
        for kind, call in (("rest", rest), ("cached", cached), ("trusted", by_hash)):
            before = _cpu(pid)
            found = await closed(call, 4, max(2.0, seconds / ROUNDS))
            rounds[kind].append(found["per_second"])
            spent[kind].append(1000 * (_cpu(pid) - before) / max(1, found["codes"].get("200", 0)))
    cpu = {k: float(np.median(v)) for k, v in spent.items()}
    out["processor ms a request"] = {k: round(v, 1) for k, v in cpu.items()}
    out["ratio by processor time"] = {
        k: round(cpu["rest"] / cpu[k], 2) for k in ("cached", "trusted")
    }
    out["by turns, per second"] = {k: float(np.median(v)) for k, v in rounds.items()}
    for kind in ("cached", "trusted"):
        ratios = [a / b for a, b in zip(rounds[kind], rounds["rest"], strict=True)]
        out[f"ratio {kind}"] = round(float(np.median(ratios)), 2)
    # more than ten times what may run and wait
    out["overload, 400 clients"] = await closed(rest, 400, seconds)
    out["after it, 4 clients"] = await closed(rest, 4, seconds)
    return out


def main() -> None:
    """Serve, measure, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    serve = [sys.executable, "-m", "graphretrieval", "--store", given.store, "serve", "--no-link"]
    environment = {
        **os.environ,
        "GRAPHRETRIEVAL_COST_PER_MINUTE": "0",
    }
    process = subprocess.Popen(
        [*serve, "--port", str(PORT)], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        _wait(process)
        print(json.dumps(asyncio.run(measure(given.seconds, process.pid)), indent=1))
        print(_memory(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait(process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=2)
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise SystemExit("the service did not become ready")


def _memory(pid: int) -> str:
    with open(f"/proc/{pid}/status") as f:
        return next(line.strip() for line in f if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
