"""Who may do what: keys, sessions, signed tokens, loopback, and what is kept of a secret."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from api.conftest import RED_CIRCLE, Site
from graphretrieval.api.auth import Caller, Gatekeeper, Keys, Sessions
from graphretrieval.api.problems import Refused
from graphretrieval.config import Config
from graphretrieval.errors import ConfigError, QueryError

LINK = (
    f'mutation {{ link(source: "{RED_CIRCLE}", type: "RELATED_TO", '
    'target: "toy/nature/sun/red_sun.png") { revision } }'
)
STATS = "{ stats { revision } }"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "museum.db.keys")


def test_a_key_is_known_again_but_only_its_hash_is_kept(keys: Keys) -> None:
    key = keys.create("catalogue", "write")
    assert keys.caller(key) == Caller("catalogue", "write", "key")
    kept = keys.file.read_text("utf-8")
    assert key not in kept
    assert key[3:] not in kept
    assert stat.S_IMODE(keys.file.stat().st_mode) == 0o600


def test_a_revoked_key_is_unknown_at_once_to_a_running_service(keys: Keys) -> None:
    key, running = keys.create("a", "read"), Keys(keys.file)
    assert running.caller(key) is not None
    keys.revoke("a")
    assert running.caller(key) is None
    with pytest.raises(QueryError, match="no key is called 'a'"):
        keys.revoke("a")


@pytest.mark.parametrize(
    ("name", "role"), [("", "read"), ("x" * 65, "read"), ("a\n", "read"), ("b", "god")]
)
def test_a_key_needs_a_plain_name_and_a_role(keys: Keys, name: str, role: str) -> None:
    with pytest.raises(QueryError):
        keys.create(name, role)


def test_two_keys_of_one_name_are_refused(keys: Keys) -> None:
    keys.create("a", "read")
    with pytest.raises(QueryError, match="taken"):
        keys.create("a", "read")


def test_a_damaged_key_file_is_said_to_be_damaged(keys: Keys) -> None:
    keys.file.write_text("{nonsense")
    with pytest.raises(ConfigError, match="cannot be read"):
        keys.caller("gr_x")


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("read", ["read"]),
        ("write", ["read", "write"]),
        ("admin", ["read", "write", "admin"]),
        (None, []),
    ],
)
def test_roles_include_each_other(role: str | None, may: list[str]) -> None:
    caller = Caller("x", role, "key")
    assert [r for r in ("read", "write", "admin") if caller.may(r)] == may


def test_an_admin_link_works_once() -> None:
    sessions = Sessions()
    token = sessions.link()
    session = sessions.begin(token)
    assert sessions.caller(session).role == "admin"  # type: ignore[union-attr]
    with pytest.raises(Refused, match="used already"):
        sessions.begin(token)
    sessions.end(session)
    assert sessions.caller(session) is None


def test_a_stranger_on_loopback_reads_but_does_not_write(site: Site) -> None:
    assert site.ask(STATS)["stats"]["revision"] > 0
    error = site.refused(LINK)
    assert (error["status"], error["code"]) == (401, "UNAUTHENTICATED")
    assert "admin link" in error["remedy"]


def test_a_stranger_behind_a_proxy_is_no_stranger_of_loopback(site: Site) -> None:
    error = site.refused(STATS, headers={"x-forwarded-for": "203.0.113.9"})
    assert error["status"] == 401


def test_a_stranger_may_not_read_where_the_service_listens_to_all(
    site_with: Callable[..., Site],
) -> None:
    site = site_with(host="0.0.0.0", client=("203.0.113.9", 1))
    assert site.refused(STATS)["status"] == 401
    assert site.client.get("/api/search?text=sun").status_code == 401
    assert site.client.get("/metrics").status_code == 401
    assert site.client.get("/healthz").status_code == 200
    assert "stats" in site.ask(STATS, headers=site.key("read"))


def test_anonymous_reading_is_opened_and_closed_by_a_setting(
    site_with: Callable[..., Site],
) -> None:
    assert "stats" in site_with(host="0.0.0.0", client=("203.0.113.9", 1), anonymous="always").ask(
        STATS
    )
    assert site_with(anonymous="never").refused(STATS)["status"] == 401


def test_a_reader_may_not_write_a_writer_may_but_not_forget(own: Site) -> None:
    assert own.refused(LINK, headers=own.key("read"))["code"] == "FORBIDDEN"
    writer = own.key("write")
    assert own.ask(LINK, headers=writer)["link"]["revision"] > 0
    forget = f'mutation {{ forget(ids: ["{RED_CIRCLE}"]) }}'
    assert own.refused(forget, headers=writer)["code"] == "FORBIDDEN"


@pytest.mark.parametrize("header", ["Bearer gr_wrong", "Bearer eyJ0.e30.x", "bearer  gr_"])
def test_a_wrong_key_is_refused_even_where_none_is_needed(site: Site, header: str) -> None:
    answer = site.client.post("/graphql", json={"query": STATS}, headers={"authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "gr_wrong" not in answer.text


def test_the_page_trades_the_link_for_a_cookie_that_scripts_cannot_read(own: Site) -> None:
    token = own.application.gatekeeper.sessions.link()
    answer = own.client.post("/api/session", json={"token": token})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert own.client.get("/api/session").json() == {"role": "admin", "by": "session"}
    assert own.ask(LINK)["link"]["revision"] > 0
    own.client.delete("/api/session")
    assert own.client.get("/api/session").json()["role"] == "read"


def _provider(tmp_path: Path) -> tuple[Any, dict[str, str]]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    row = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [row | {"kid": "k1", "use": "sig", "alg": "RS256"}]}))
    return key, {"jwt_issuer": "https://id.example", "jwt_keys": str(file)}


def test_a_signed_token_gives_its_role_and_a_forged_one_nothing(keys: Keys, tmp_path: Path) -> None:
    key, settings = _provider(tmp_path)
    gate = Gatekeeper(keys, Config().replace(**settings), loopback=False)
    claims = {
        "iss": "https://id.example",
        "aud": "graphretrieval",
        "sub": "ada",
        "role": "write",
        "exp": time.time() + 60,
    }

    def caller(claims: dict[str, Any], **more: Any) -> Caller:
        signed = {"key": key, "algorithm": "RS256", "headers": {"kid": "k1"}} | more
        return gate.caller({"authorization": "Bearer " + jwt.encode(claims, **signed)}, "x", None)

    assert caller(claims) == Caller("ada", "write", "token")
    assert caller(claims | {"role": "emperor"}).role == "read"
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    secret = "s" * 64
    for forged, more in (
        (claims | {"exp": time.time() - 10}, {}),
        (claims | {"aud": "somebody else"}, {}),
        (claims | {"iss": "https://evil.example"}, {}),
        ({k: v for k, v in claims.items() if k != "exp"}, {}),
        (claims, {"key": other}),
        (claims, {"key": secret, "algorithm": "HS256"}),
        (claims, {"key": None, "algorithm": "none"}),
    ):
        with pytest.raises(Refused, match="not valid"):
            caller(forged, **more)


def test_a_token_by_a_key_that_is_not_known_is_not_valid(
    site_with: Callable[..., Site], tmp_path: Path
) -> None:
    key, settings = _provider(tmp_path)
    site = site_with(**settings)
    claims = {
        "iss": "https://id.example",
        "aud": "graphretrieval",
        "sub": "ada",
        "exp": time.time() + 60,
    }
    for kid, status in (("k1", 200), ("k2", 401)):
        token = jwt.encode(claims, key=key, algorithm="RS256", headers={"kid": kid})
        headers = {"authorization": f"Bearer {token}"}
        assert site.client.get("/api/session", headers=headers).status_code == status


def test_an_issuer_without_keys_is_wrong_settings(keys: Keys) -> None:
    with pytest.raises(ConfigError, match="jwt_keys is not"):
        Gatekeeper(keys, Config().replace(jwt_issuer="https://id.example"), loopback=True)
    with pytest.raises(ConfigError, match="cannot be read"):
        Gatekeeper(
            keys, Config().replace(jwt_issuer="https://i", jwt_keys="/nowhere"), loopback=True
        )
    with pytest.raises(ConfigError, match="anonymous is 'sometimes'"):
        Gatekeeper(keys, Config().replace(anonymous="sometimes"), loopback=True)
