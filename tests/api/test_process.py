"""The service as a process: what it prints, how it is stopped, and its keys on the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from museum import copied

from graphretrieval.api.process import GRACE
from graphretrieval.stores.sqlite import SqliteStore


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


class Process:
    """A running service and all it has said on stderr."""

    def __init__(self, command: list[str], url: str, environment: dict[str, str]) -> None:
        self.url = url
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines += self.process.stderr

    def get(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def wait(self) -> None:
        end = time.monotonic() + 240
        while True:
            try:
                return self.get("/readyz")  # type: ignore[no-any-return]
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, "".join(self.lines)
                assert time.monotonic() < end, "".join(self.lines)
                time.sleep(0.2)  # another process's start has no event to wait for

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.reader.join(10)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code


@pytest.fixture(scope="module")
def store(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(fitted, tmp_path_factory.mktemp("process"))


@pytest.fixture
def serving(store: Path) -> Iterator[Process]:
    port = free_port()
    base = [sys.executable, "-m", "graphretrieval", "--store", str(store)]
    found = Process([*base, "serve", "--port", str(port)], f"http://127.0.0.1:{port}", {})
    found.wait()
    yield found
    found.stop()


def test_serve_prints_an_admin_link_that_works_once_and_ends_calmly(serving: Process) -> None:
    link = re.search(r"#admin=([\w-]+)", "".join(serving.lines))
    assert link is not None
    token = link.group(1)
    assert serving.get("/api/session", {"token": token})["role"] == "admin"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        serving.get("/api/session", {"token": token})
    answers: list[Any] = []
    asking = threading.Thread(
        target=lambda: answers.append(serving.get("/api/search?text=a%20calm%20end&k=50"))
    )
    asking.start()
    # the query is under way once the gauge says so, or was so quick that it is answered already
    while asking.is_alive() and not answers:
        with urllib.request.urlopen(serving.url + "/metrics") as metrics:
            if b"graphretrieval_queue 1.0" in metrics.read():
                break
    assert serving.stop() in (0, -signal.SIGTERM)
    asking.join(30)
    assert answers[0]["hits"]
    said = "".join(serving.lines)
    assert "Traceback" not in said
    rows = [json.loads(line) for line in serving.lines if line.startswith("{")]
    assert {"/api/session", "/readyz"} <= {r.get("route") for r in rows}
    assert said.count(token) == 1


def test_an_open_subscription_does_not_hold_up_the_end(serving: Process) -> None:
    query = urllib.parse.quote("subscription { progress { state } }")
    with urllib.request.urlopen(f"{serving.url}/graphql?query={query}", timeout=60) as stream:
        assert stream.readline() == b": open\n"
        started = time.monotonic()
        assert serving.stop() in (0, -signal.SIGTERM)
        took = time.monotonic() - started
        assert b"event: complete" in stream.read()
    assert took < GRACE - 5
    said = "".join(serving.lines)
    assert "Traceback" not in said
    assert "exceeded" not in said


def test_the_container_s_process_prints_no_link_unless_it_is_asked_to(store: Path) -> None:
    port = free_port()
    environment = {
        "GRAPHRETRIEVAL_STORE": str(store),
        "GRAPHRETRIEVAL_PORT": str(port),
        "GRAPHRETRIEVAL_ANONYMOUS": "never",
    }
    root = Path(__file__).parents[2]
    environment["PYTHONPATH"] = f"{root}:{os.environ.get('PYTHONPATH', '')}"
    command = [sys.executable, "-m", "services.query"]
    found = Process(command, f"http://127.0.0.1:{port}", environment)
    try:
        found.wait()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            found.get("/api/search?text=sun")
    finally:
        found.stop()
    assert "#admin=" not in "".join(found.lines)


def serve_fails(store: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "graphretrieval", "--store", str(store), "serve"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "listening on" not in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_certificate_that_cannot_be_read_is_named_before_the_server_starts(
    store: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.pem").write_text("no certificate", "utf-8")
    pem = str(tmp_path / "a.pem")
    said = serve_fails(store, "--certificate", str(tmp_path / "no.pem"), "--key", pem)
    assert "no.pem" in said
    assert "belong together" in serve_fails(store, "--certificate", pem)
    assert "no certificate and its private key" in serve_fails(
        store, "--certificate", pem, "--key", pem
    )


def test_a_port_that_is_taken_is_a_plain_error(store: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is taken" in serve_fails(store, "--port", str(port))


def test_a_service_without_a_model_says_so_at_once(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "empty.db").close()
    port = free_port()
    base = [sys.executable, "-m", "graphretrieval", "--store", str(tmp_path / "empty.db")]
    found = Process([*base, "serve", "--port", str(port)], f"http://127.0.0.1:{port}", {})
    try:
        for _ in range(600):
            if any("listening on" in line for line in found.lines):
                break
            assert found.process.poll() is None
            time.sleep(0.1)  # another process's start has no event to wait for
    finally:
        found.stop()
    assert found.lines[0].startswith("nothing has been learned yet")


def test_keys_are_made_listed_and_revoked_on_the_command_line(store: Path) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "graphretrieval", "--store", str(store), "keys"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    key = run("create", "catalogue", "--role", "write").strip()
    assert key.startswith("gr_")
    assert run("list").split()[:5] == ["name", "role", "created", "catalogue", "write"]
    assert [row["name"] for row in json.loads(run("list", "--json"))] == ["catalogue"]
    assert key not in run("list")
    run("revoke", "catalogue")
    assert run("list") == ""
