"""A Neo4j Community server of one's own, from its published Java artefacts, without Docker.

    cache/neo4j/5.26.25/lib/   the jars, fetched once by Maven (nothing of Neo4j is shipped)
    home/  conf/neo4j.conf  data/  logs/  password (0600)  server.json

It listens on the loopback interface only and reports nothing to anybody.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from graphretrieval.errors import ServerError

LTS, LATEST = "5.26.25", "2026.05.0"
BOLT_PORT, HTTP_PORT = 7687, 7474
USER = "neo4j"
# measured: 5 s on two quiet cores, with room for loaded ones
START_SECONDS, STOP_SECONDS = 180.0, 60.0
_VERSION = re.compile(r"^\d{1,4}\.\d{1,2}\.\d{1,3}$")
_PACKAGE = Path(__file__).resolve().parent.parent
_OPENED = ("java.base/java.nio", "java.base/java.io", "java.base/sun.nio.ch")


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a server: ``pid`` is None when it does not run."""

    home: str
    version: str
    bolt: str
    browser: str
    user: str
    password_file: str
    pid: int | None

    @property
    def url(self) -> str:
        """What ``--store`` takes."""
        return f"neo4j://{self.user}@{self.bolt}"


def folder() -> Path:
    """Where the Maven file and the Browser's guide lie: in a checkout, else inside the package."""
    for found in (_PACKAGE.parent / "services" / "neo4j", _PACKAGE / "_services" / "neo4j"):
        if (found / "pom.xml").is_file():
            return found
    raise ServerError("services/neo4j is not installed", remedy="install again")


def default_home() -> Path:
    """Where the data of a server of one's own lie unless something else is said."""
    share = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(share) / "graphretrieval" / "neo4j"


def start(
    home: Path,
    cache: Path,
    *,
    version: str = LTS,
    bolt_port: int = BOLT_PORT,
    http_port: int = HTTP_PORT,
    heap_mb: int = 1024,
    page_cache_mb: int = 256,
) -> Status:
    """Fetch the jars if need be, start, and wait until it answers; a running one is left alone.

    Raises:
        ServerError: Java or Maven is missing or too old, a port is taken, or it did not come up.
    """
    home = home.absolute()
    running = status(home)
    if running is not None and running.pid is not None:
        return running
    if not _VERSION.match(version):
        raise ServerError(f"{version!r} is no Neo4j version", remedy=f"give one such as {LTS}")
    java = find_java(21 if version.startswith("20") else 17)
    jars = fetch(cache, version)
    for port in (bolt_port, http_port):
        _must_be_free(port)
    _configure(home, bolt_port, http_port, page_cache_mb)
    _set_password(home, java, jars)
    pid = _launch(home, java, jars, version, heap_mb)
    made = Status(
        str(home),
        version,
        f"127.0.0.1:{bolt_port}",
        f"http://127.0.0.1:{http_port}/browser/",
        USER,
        str(home / "password"),
        pid,
    )
    (home / "server.json").write_text(json.dumps(asdict(made), indent=1), "utf-8")
    _wait_until_up(made, http_port, bolt_port)
    return made


def status(home: Path) -> Status | None:
    """The server of a home folder; None where there never was one."""
    try:
        found = Status(**json.loads((home / "server.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    if found.pid is not None and _is_ours(found.pid, home.absolute()):
        return found
    return Status(**{**asdict(found), "pid": None})


def stop(home: Path) -> bool:
    """Stop in good order; False if it did not run.

    Raises:
        ServerError: it did not stop in time.
    """
    found = status(home)
    if found is None or found.pid is None:
        return False
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if not _is_ours(found.pid, home.absolute()):
            return True
        time.sleep(0.05)
    raise ServerError(
        f"the server (process {found.pid}) did not stop within {STOP_SECONDS:.0f} s",
        remedy=f"look into {home / 'logs'}, or kill it: its data survive that",
    )


def kill(home: Path) -> None:
    """End it as a power cut would (SIGKILL), for tests of what survives."""
    found = status(home)
    if found is not None and found.pid is not None:
        os.kill(found.pid, signal.SIGKILL)
        while _is_ours(found.pid, home.absolute()):
            time.sleep(0.01)


def password(home: Path) -> str:
    """The generated password of a server of one's own."""
    return (home / "password").read_text("utf-8").strip()


def fetch(cache: Path, version: str) -> Path:
    """The folder of a version's jars, copied by Maven the first time (132 MB).

    Raises:
        ServerError: Maven is missing, or could not get them.
    """
    lib = cache / "neo4j" / version / "lib"
    done = lib.parent / "complete"
    if done.exists():
        return lib
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerError(
            "Neo4j's jars are not here yet, and Maven, which fetches them, is not installed",
            remedy="install Maven 3.8 or newer (apt install maven), or use services/compose.yaml",
        )
    lib.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".lib-", dir=lib.parent))
    try:
        run = subprocess.run(
            [
                maven,
                *("-B", "-q", "-f", str(folder() / "pom.xml"), f"-Dneo4j.version={version}"),
                *("-DincludeScope=runtime", f"-DoutputDirectory={draft}"),
                "dependency:copy-dependencies",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            said = [x for x in (run.stdout + run.stderr).splitlines() if "ERROR" in x]
            raise ServerError(
                f"Maven could not fetch Neo4j {version} ({' '.join(said[:2]) or run.returncode})",
                remedy="check the network and ~/.m2/settings.xml",
            )
        shutil.rmtree(lib, ignore_errors=True)
        draft.rename(lib)
        done.touch()
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return lib


def find_java(least: int) -> Path:
    """A Java of at least this version: JAVA_HOME, the path, then what lies in /usr/lib/jvm.

    Raises:
        ServerError: there is none, or only older ones.
    """
    seen: list[str] = []
    for java in _javas():
        found = _java_version(java)
        if found is not None and found >= least:
            return java
        if found is not None:
            seen.append(f"{java} is Java {found}")
    raise ServerError(
        f"Neo4j needs Java {least} or newer, and "
        + ("; ".join(dict.fromkeys(seen)) if seen else "no Java was found"),
        remedy=f"install it (apt-get install openjdk-{least}-jre-headless) or set JAVA_HOME",
    )


def _javas() -> Iterator[Path]:
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"]) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    yield from sorted(Path("/usr/lib/jvm").glob("*/bin/java"))


def _java_version(java: Path) -> int | None:
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', said.stderr)
    return int(match[1]) if match else None


def _must_be_free(port: int) -> None:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError as e:
            raise ServerError(
                f"port {port} is in use by another program ({e.strerror})",
                remedy="stop it, or choose others with --bolt-port and --http-port",
            ) from e


def _configure(home: Path, bolt_port: int, http_port: int, page_cache_mb: int) -> None:
    for name in ("conf", "data", "logs", "plugins", "import"):
        (home / name).mkdir(parents=True, exist_ok=True)
    rows = {
        "server.default_listen_address": "127.0.0.1",
        "server.bolt.listen_address": f"127.0.0.1:{bolt_port}",
        "server.bolt.advertised_address": f"127.0.0.1:{bolt_port}",
        "server.http.listen_address": f"127.0.0.1:{http_port}",
        "server.http.advertised_address": f"127.0.0.1:{http_port}",
        "server.https.enabled": "false",
        "server.memory.pagecache.size": f"{page_cache_mb}m",
        "client.allow_telemetry": "false",
        "dbms.usage_report.enabled": "false",
    }
    text = "".join(f"{name}={value}\n" for name, value in rows.items())
    (home / "conf" / "neo4j.conf").write_text(text, "utf-8")


def _java_command(java: Path, jars: Path, *options: str) -> list[str]:
    opened = [f"--add-opens={name}=ALL-UNNAMED" for name in _OPENED]
    return [str(java), *options, *opened, "-cp", f"{jars}/*"]


def _set_password(home: Path, java: Path, jars: Path) -> None:
    file = home / "password"
    if file.exists():
        return
    word = secrets.token_hex(16)
    place = {"NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")}
    run = subprocess.run(
        [
            *_java_command(java, jars, "-Xmx128m"),
            *("org.neo4j.cli.AdminTool", "dbms", "set-initial-password", word),
        ],
        env={**os.environ, **place},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise ServerError(
            f"the first password could not be set ({run.stderr.strip()[:300]})",
            remedy=f"remove {home} if it holds nothing yet",
        )
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
        f.write(word + "\n")


def _launch(home: Path, java: Path, jars: Path, version: str, heap_mb: int) -> int:
    modern = version.startswith("20")
    main = "org.neo4j.server.Neo4jCommunity" if modern else "org.neo4j.server.CommunityEntryPoint"
    extra = ("--add-modules=jdk.incubator.vector",) if modern else ()  # faster distances
    command = [
        *_java_command(
            java, jars, f"-Xms{heap_mb}m", f"-Xmx{heap_mb}m", "-XX:+ExitOnOutOfMemoryError", *extra
        ),
        *(main, f"--home-dir={home}", f"--config-dir={home / 'conf'}"),
    ]
    with (home / "logs" / "console.log").open("ab") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            start_new_session=True,  # it outlives the terminal
        )
    child.returncode = 0  # it is not waited for: no warning when the handle goes
    return child.pid


def _wait_until_up(made: Status, http_port: int, bolt_port: int) -> None:
    home = Path(made.home)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if made.pid is None or not _is_ours(made.pid, home):
            break
        if _answers(http_port, bolt_port):
            return
        time.sleep(0.1)
    log = (home / "logs" / "console.log").read_text("utf-8", "replace").strip().splitlines()
    why = next(
        (x for x in reversed(log) if "ERROR" in x or "Exception" in x), "no error was logged"
    )
    raise ServerError(
        f"Neo4j {made.version} did not come up within {START_SECONDS:.0f} s ({why[:300]})",
        remedy=f"look into {home / 'logs'}",
    )


def _answers(http_port: int, bolt_port: int) -> bool:
    with contextlib.suppress(OSError, urllib.error.URLError):
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/", timeout=2) as page:
            page.read()
        with socket.create_connection(("127.0.0.1", bolt_port), timeout=2):
            return True
    return False


def _is_ours(pid: int, home: Path) -> bool:
    """Whether that process lives and is the server of this home, not a later one of its number."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # a child of ours that ended is no longer there
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
        state = (
            Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
        )
    except OSError:
        return False
    if command:
        return f"--home-dir={home}" in command
    # one just being started has no command line yet; one that was killed has none any more, and
    # holds its ports until its last thread is gone
    with contextlib.suppress(OSError):
        return state != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    return False
