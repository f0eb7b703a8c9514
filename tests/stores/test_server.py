"""What is said when Java, Maven or a port is missing; and the server's own settings."""

from __future__ import annotations

import socket
import stat
import urllib.request
from pathlib import Path

import pytest

from graphretrieval.errors import ServerError
from graphretrieval.stores import guide, server
from tests.conftest import Server


def _java(folder: Path, version: str) -> Path:
    file = folder / "bin" / "java"
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine with nothing on its path, and no Java elsewhere."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    javas = server._javas
    monkeypatch.setattr(
        server, "_javas", lambda: (j for j in javas() if "/usr/lib/jvm" not in str(j))
    )
    return monkeypatch


def test_without_java_it_says_what_to_install(only: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerError, match=r"needs Java 17 or newer, and no Java was found"):
        server.find_java(17)


def test_a_java_that_is_too_old_is_named(only: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = _java(tmp_path / "old", "11.0.2")
    only.setenv("JAVA_HOME", str(tmp_path / "old"))
    with pytest.raises(ServerError, match=f"{java} is Java 11"):
        server.find_java(17)


def test_a_fitting_java_is_taken_before_an_older_one(
    only: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _java(tmp_path / "old", "1.8.0_292")
    new = _java(tmp_path / "new", "21.0.1")
    only.setenv("JAVA_HOME", str(tmp_path / "old"))
    only.setenv("PATH", str(new.parent))
    assert server.find_java(21) == new


def test_without_maven_and_jars_it_says_so(only: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="Maven, which fetches them, is not installed"):
        server.fetch(tmp_path, server.LTS)


def test_a_failing_maven_is_quoted_and_leaves_nothing(
    only: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    maven = tmp_path / "bin" / "mvn"
    maven.parent.mkdir()
    maven.write_text("#!/bin/sh\necho '[ERROR] no such artifact'\nexit 1\n")
    maven.chmod(0o755)
    only.setenv("PATH", str(maven.parent))
    with pytest.raises(ServerError, match="no such artifact"):
        server.fetch(tmp_path / "cache", "5.26.99")
    assert list((tmp_path / "cache" / "neo4j" / "5.26.99").iterdir()) == []


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with taken, pytest.raises(ServerError, match=f"port {port} is in use"):
        server._must_be_free(port)


@pytest.mark.parametrize("version", ["latest", "5.26", "../5.26.1", "5.26.25; rm"])
def test_a_version_that_is_none_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(ServerError, match="is no Neo4j version"):
        server.start(tmp_path / "home", tmp_path / "cache", version=version)


def test_a_process_of_another_home_is_not_ours(tmp_path: Path) -> None:
    import os

    assert not server._is_ours(os.getpid(), tmp_path)
    assert not server._is_ours(2**22 - 1, tmp_path)


def test_what_never_ran_is_not_stopped(tmp_path: Path) -> None:
    assert server.status(tmp_path) is None
    assert server.stop(tmp_path) is False


def test_a_running_server_keeps_to_itself(neo4j_server: Server) -> None:
    found = server.status(neo4j_server.home)
    assert found is not None
    assert found.pid is not None
    conf = (neo4j_server.home / "conf" / "neo4j.conf").read_text()
    assert "server.default_listen_address=127.0.0.1" in conf
    assert "client.allow_telemetry=false" in conf
    assert "dbms.usage_report.enabled=false" in conf
    assert stat.S_IMODE((neo4j_server.home / "password").stat().st_mode) == 0o600
    assert neo4j_server.password not in Path(f"/proc/{found.pid}/cmdline").read_text()
    # started again, the running one is left alone
    again = server.start(neo4j_server.home, Path("/nowhere"))
    assert again.pid == found.pid
    with urllib.request.urlopen(found.browser) as page:
        assert b"Neo4j Browser" in page.read()


def test_the_guide_is_served_to_the_browser(tmp_path: Path) -> None:
    import threading

    with guide.server(0) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        for name in ("guide.html", "style.grass", "favourites.cypher"):
            with urllib.request.urlopen(f"{guide.address(http)}/{name}") as page:
                assert page.headers["Access-Control-Allow-Origin"] == "*"
                assert page.read()
        with pytest.raises(ServerError, match="is in use"):
            guide.server(http.server_port)
        http.shutdown()
