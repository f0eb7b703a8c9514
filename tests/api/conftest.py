"""The service over the toy museum, asked as clients ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from museum import copied, fitted_museum
from starlette.testclient import TestClient

import graphretrieval as gr
from graphretrieval.api.app import Application, make
from graphretrieval.config import Config

LOCAL = ("127.0.0.1", 50000)
RED_CIRCLE = "toy/shapes/circle/red_circle.png"
Ask = Callable[..., dict[str, Any]]


class Site:
    """An application and a client for it."""

    def __init__(self, application: Application, client: TestClient, kb: gr.Retriever) -> None:
        self.application, self.client, self.kb = application, client, kb
        self.service, self.documents = application.service, application.documents

    def key(self, role: str, name: str | None = None) -> dict[str, str]:
        """Headers with a new key of that role."""
        secret = self.application.gatekeeper.keys.create(name or f"{role} key", role)
        return {"authorization": f"Bearer {secret}"}

    def ask(self, query: str, headers: Any = None, **variables: Any) -> dict[str, Any]:
        """A GraphQL query's data, which must have no errors."""
        body = {"query": query, "variables": variables}
        answer = self.client.post("/graphql", json=body, headers=headers)
        assert "errors" not in answer.json(), answer.text
        found: dict[str, Any] = answer.json()["data"]
        return found

    def refused(self, query: str, headers: Any = None, **variables: Any) -> dict[str, Any]:
        """The first error of a query, with its status."""
        body = {"query": query, "variables": variables}
        answer = self.client.post("/graphql", json=body, headers=headers)
        said = answer.json()
        if "errors" in said:
            error = said["errors"][0]
            return {
                "status": answer.status_code,
                "message": error["message"],
                **error["extensions"],
            }
        return {"status": answer.status_code, **said["error"]}


def open_site(
    store: Path, *, host: str = "127.0.0.1", client: tuple[str, int] = LOCAL, **settings: Any
) -> Iterator[Site]:
    config = Config({"cache_dir": str(store.parent / "cache")}).replace(**settings)
    with gr.open(store, config=config) as kb:
        application = make(kb, host=host)
        base = "http://localhost:8000"
        with TestClient(
            application.asgi, base_url=base, client=client, raise_server_exceptions=False
        ) as c:
            application.service.newest()
            yield Site(application, c, kb)


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted_museum(tmp_path_factory)


@pytest.fixture(scope="module")
def site(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For tests that change nothing."""
    yield from open_site(copied(fitted, tmp_path_factory.mktemp("site")))


@pytest.fixture
def own(fitted: Path, tmp_path: Path) -> Iterator[Site]:
    """For tests that change something."""
    yield from open_site(copied(fitted, tmp_path))


@pytest.fixture
def site_with(fitted: Path, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """A site with settings of its own."""
    sites: list[Iterator[Site]] = []

    def opened(**settings: Any) -> Site:
        folder = tmp_path / str(len(sites))
        folder.mkdir()
        found = open_site(copied(fitted, folder), **settings)
        sites.append(found)
        return next(found)

    yield opened
    for found in sites:
        next(found, None)
