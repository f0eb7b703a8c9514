"""From ``neo4j://user@host:7687`` to a store: password, identity, and the folder of its replica."""

from __future__ import annotations

import contextlib
import getpass
import ipaddress
import json
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from graphretrieval.config import Config
from graphretrieval.errors import ConfigError, GraphRetrievalError, StoreAway
from graphretrieval.stores import server
from graphretrieval.stores.bolt import Bolt
from graphretrieval.stores.neo4j import Neo4jStore
from graphretrieval.stores.replica import Replica

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
PASSWORD = "GRAPHRETRIEVAL_NEO4J_PASSWORD"
DEFAULT_PORT = 7687
# a write whose fate is uncertain is tried again for so long; a restart takes about as much
PATIENCE = 10.0


def connect(url: str, config: Config) -> tuple[Replica, Path]:
    """Open a remote store with its replica; also while it is away, if it was opened here before.

    Returns:
        The store, and the local folder that belongs to it.

    Raises:
        ConfigError: the URL is none, or there is no password.
        StoreAway: it does not answer, and nothing is known of it here.
    """
    base = Path(config["data_dir"]).expanduser() / "remote"
    address, user, database = parse(url)
    auth = (user, password_for(address, user))
    bolt = Bolt(address, auth, database=database, patience=PATIENCE)
    known = f"{address}/{database or ''}"
    found: Neo4jStore | None = None
    try:
        found = Neo4jStore(bolt, media_url=config["media_url"])
        identity: str | None = found.identity
        _remember(base, known, found.identity)
    except StoreAway:
        identity = _recall(base, known)
        if identity is None:
            bolt.close()
            raise
    except GraphRetrievalError:
        bolt.close()
        raise

    def again() -> Neo4jStore:
        nonlocal found
        # the one that was found is given once: asked again, another database may be there
        first, found = found, None
        return first or Neo4jStore(bolt, media_url=config["media_url"])

    folder = base / str(identity)
    folder.mkdir(parents=True, exist_ok=True)
    limit = int(config["snapshot_max_bytes"]) or _half_of_memory()
    return Replica(again, folder / "snapshot.db", max_bytes=limit), folder


def parse(url: str) -> tuple[str, str, str | None]:
    """A URL's address without user, its user, and its database.

    Raises:
        ConfigError: it is none, or it holds a password.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError as e:
        raise ConfigError(f"the store's URL has no valid port ({e})") from e
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ConfigError(
            f"{parts.scheme}://… is no address of a Neo4j server",
            remedy="give neo4j://user@host:7687",
        )
    if parts.password is not None:
        raise ConfigError(
            "the store's URL holds a password, which others could see",
            remedy=f"set {PASSWORD} instead, or type it when asked",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    database = parts.path.strip("/") or None
    return f"{parts.scheme}://{host}:{port}", unquote(parts.username or "neo4j"), database


def password_for(address: str, user: str) -> str:
    """The environment's, that of a server of one's own, or one typed in.

    Raises:
        ConfigError: there is none, and nobody to ask.
    """
    given = os.environ.get(PASSWORD)
    if given:
        return given
    own = server.status(server.default_home())
    if own is not None and user == own.user and _same_place(address, own.bolt):
        return server.password(server.default_home())
    if sys.stdin is not None and sys.stdin.isatty():
        return getpass.getpass(f"password of {user} at {address}: ")
    raise ConfigError(f"no password for {user} at {address}", remedy=f"set {PASSWORD}")


def _same_place(address: str, bolt: str) -> bool:
    parts = urlsplit(address)
    host, _, port = bolt.rpartition(":")
    if str(parts.port) != port:
        return False
    if parts.hostname in (host, "localhost"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    return False


def _remember(base: Path, address: str, identity: str) -> None:
    base.mkdir(parents=True, exist_ok=True)
    file = base / "addresses.json"
    known = _known(base) | {address: identity}
    draft = file.with_name(f".addresses-{os.getpid()}")
    draft.write_text(json.dumps(known, indent=1), "utf-8")
    draft.replace(file)


def _recall(base: Path, address: str) -> str | None:
    return _known(base).get(address)


def _known(base: Path) -> dict[str, str]:
    try:
        return dict(json.loads((base / "addresses.json").read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _half_of_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
