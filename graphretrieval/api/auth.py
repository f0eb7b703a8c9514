"""Who is asking and what they may do: keys hashed at rest, sessions, signed tokens, loopback.

A key is 32 random bytes, so one SHA-256 of it is as hard to turn back as any slow hash; the file
holds hashes only. Roles include each other: read < write < admin.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import os
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphretrieval.api.problems import Refused
from graphretrieval.config import Config
from graphretrieval.errors import ConfigError, MissingExtra, QueryError

ROLES = ("read", "write", "admin")
COOKIE = "graphretrieval_session"
SESSION_SECONDS = 12 * 3600
LINK_SECONDS = 3600
_PREFIX = "gr_"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request; ``name`` is what limits and logs know them by, never a secret."""

    name: str
    role: str | None
    by: str  # key, session, token or anonymous

    def may(self, role: str) -> bool:
        """Whether the caller's role includes this one."""
        return self.role is not None and ROLES.index(self.role) >= ROLES.index(role)

    def require(self, role: str) -> None:
        """Refuse a caller who may not.

        Raises:
            Refused: 401 for somebody unknown, 403 for somebody of a lesser role.
        """
        if self.may(role):
            return
        if self.by == "anonymous":
            raise Refused(
                "UNAUTHENTICATED",
                401,
                f"this needs the right to {role}",
                remedy="send an API key as `Authorization: Bearer …`, or open the admin link "
                "that `graphretrieval serve` printed",
            )
        raise Refused(
            "FORBIDDEN",
            403,
            f"{self.name} may {self.role}, but this needs the right to {role}",
            remedy="ask for a key of that role",
        )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Keys:
    """API keys in a file beside the store, readable by its owner only; hashes, never keys."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._read: tuple[tuple[int, int] | None, dict[str, dict[str, str]]] = (None, {})

    def create(self, name: str, role: str) -> str:
        """A new key, shown this once.

        Raises:
            QueryError: the name is taken or the role is none.
        """
        if role not in ROLES:
            raise QueryError(f"{role!r} is not a role", remedy=f"choose from {', '.join(ROLES)}")
        rows = self._rows()
        if name in rows or not name.strip() or len(name) > 64 or not name.isprintable():
            raise QueryError(
                f"the name {name[:64]!r} is taken, empty or not printable", remedy="choose another"
            )
        key = _PREFIX + secrets.token_urlsafe(32)
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._write({**rows, name: {"role": role, "sha256": _digest(key), "created": made}})
        return key

    def revoke(self, name: str) -> None:
        """Make a key useless.

        Raises:
            QueryError: there is no key of that name.
        """
        rows = self._rows()
        if name not in rows:
            raise QueryError(f"no key is called {name!r}", remedy="see `graphretrieval keys list`")
        self._write({k: v for k, v in rows.items() if k != name})

    def names(self) -> list[dict[str, str]]:
        """Names, roles and dates."""
        return [
            {"name": name, "role": row["role"], "created": row["created"]}
            for name, row in self._rows().items()
        ]

    def caller(self, key: str) -> Caller | None:
        """Whose key this is; every stored hash is compared, so that time tells nothing."""
        digest, found = _digest(key), None
        for name, row in self._rows().items():
            if hmac.compare_digest(row["sha256"], digest):
                found = Caller(name, row["role"], "key")
        return found

    def _rows(self) -> dict[str, dict[str, str]]:
        """The file, read again when it has changed, so that revoking needs no restart."""
        with self._lock:
            try:
                about = self.file.stat()
            except FileNotFoundError:
                return {}
            stamp = (about.st_mtime_ns, about.st_size)
            if self._read[0] != stamp:
                try:
                    self._read = stamp, json.loads(self.file.read_text("utf-8"))
                except (OSError, ValueError) as e:
                    raise ConfigError(
                        f"the key file {self.file} cannot be read ({type(e).__name__})",
                        remedy="remove it and create the keys again",
                    ) from e
            return dict(self._read[1])

    def _write(self, rows: Mapping[str, Mapping[str, str]]) -> None:
        draft = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as f:
            json.dump(rows, f, ensure_ascii=False, indent=1)
            f.flush()
            os.fsync(f.fileno())
        draft.replace(self.file)


class Sessions:
    """Browser sessions begun by the one-time link; in memory, so a restart ends them."""

    def __init__(self) -> None:
        self._links: dict[str, float] = {}
        self._open: dict[str, float] = {}
        self._lock = threading.Lock()

    def link(self) -> str:
        """A token that begins one admin session within the hour."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._links[_digest(token)] = time.monotonic() + LINK_SECONDS
        return token

    def begin(self, token: str) -> str:
        """Trade the link's token for a session's.

        Raises:
            Refused: it was used, is too old or never was.
        """
        with self._lock:
            until = self._links.pop(_digest(token), 0.0)
            if until < time.monotonic():
                raise Refused(
                    "LINK_USED",
                    401,
                    "this admin link was used already or is too old",
                    remedy="restart `graphretrieval serve` for a new one, or use an API key",
                )
            session = secrets.token_urlsafe(32)
            self._open[_digest(session)] = time.monotonic() + SESSION_SECONDS
        return session

    def end(self, session: str) -> None:
        """Log out."""
        with self._lock:
            self._open.pop(_digest(session), None)

    def caller(self, session: str) -> Caller | None:
        """The session's caller while it lasts."""
        digest = _digest(session)
        if self._open.get(digest, 0.0) < time.monotonic():
            return None
        return Caller(f"session {digest[:8]}", "admin", "session")


class Tokens:
    """Tokens that an identity provider signed (OpenID Connect), checked by its public keys."""

    def __init__(self, config: Config) -> None:
        self.issuer, self.audience = config["jwt_issuer"], config["jwt_audience"]
        self.claim = config["jwt_role_claim"]
        try:
            import jwt
        except ImportError as e:
            raise MissingExtra(
                "signed tokens need a package that is not installed (jwt)",
                remedy="pip install 'graphretrieval[oidc]'",
            ) from e
        self._jwt = jwt
        where = config["jwt_keys"]
        if where.startswith("https://"):
            self._client: Any = jwt.PyJWKClient(where, cache_keys=True, timeout=5)
            self._set: Any = None
        elif where:
            try:
                self._set = jwt.PyJWKSet.from_json(Path(where).read_text("utf-8"))
            except (OSError, ValueError, jwt.PyJWTError) as e:
                raise ConfigError(f"jwt_keys {where!r} cannot be read ({e})") from e
        else:
            raise ConfigError(
                "jwt_issuer is set, but jwt_keys is not",
                remedy="give the provider's JWKS file or https URL",
            )

    def caller(self, token: str) -> Caller | None:
        """The token's subject, if signature, issuer, audience and dates are right."""
        jwt = self._jwt
        try:
            key = self._key(token)
            claims = jwt.decode(
                token,
                key,
                # never "none", never a shared secret: only public-key signatures
                algorithms=["RS256", "ES256", "EdDSA", "PS256"],
                audience=self.audience,
                issuer=self.issuer,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, KeyError, ValueError):
            return None
        role = claims.get(self.claim)
        return Caller(f"{claims['sub']}"[:64], role if role in ROLES else "read", "token")

    def _key(self, token: str) -> Any:
        if self._set is None:
            return self._client.get_signing_key_from_jwt(token).key
        kid = self._jwt.get_unverified_header(token).get("kid")
        found = next((k for k in self._set.keys if k.key_id == kid or kid is None), None)
        if found is None:
            raise KeyError(kid)
        return found.key


class Gatekeeper:
    """Turns a request's headers into a caller."""

    def __init__(self, keys: Keys, config: Config, *, loopback: bool) -> None:
        self.keys, self.sessions = keys, Sessions()
        self.tokens = Tokens(config) if config["jwt_issuer"] else None
        policy = config["anonymous"]
        if policy not in ("loopback", "always", "never"):
            raise ConfigError(
                f"anonymous is {policy!r}", remedy="choose from loopback, always, never"
            )
        self._open = policy == "always"
        self._local = policy == "loopback" and loopback

    def caller(self, headers: Mapping[str, str], client: str, cookie: str | None) -> Caller:
        """Who sent this.

        Raises:
            Refused: a key, token or session was given, but it is not valid.
        """
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and secret:
            found = self._bearer(secret.strip())
        elif headers.get("x-api-key"):
            found = self.keys.caller(headers["x-api-key"])
        elif cookie and (session := self.sessions.caller(cookie)):
            return session
        else:
            return self._anonymous(headers, client)
        if found is None:
            raise Refused(
                "UNAUTHENTICATED",
                401,
                "the key or token is not valid",
                remedy="check it, or create one with `graphretrieval keys create NAME`",
            )
        return found

    def _bearer(self, secret: str) -> Caller | None:
        if secret.startswith(_PREFIX) or self.tokens is None:
            return self.keys.caller(secret)
        return self.tokens.caller(secret)

    def _anonymous(self, headers: Mapping[str, str], client: str) -> Caller:
        # behind a proxy on this machine everybody seems to come from loopback
        forwarded = any(h in headers for h in ("forwarded", "x-forwarded-for", "x-real-ip"))
        local = self._local and not forwarded and is_loopback(client)
        return Caller(client, "read" if self._open or local else None, "anonymous")


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
