"""The outermost seams: what importing costs, and that every name leads somewhere."""

from __future__ import annotations

import subprocess
import sys

import pytest

import graphretrieval as gr
from graphretrieval import registry
from graphretrieval.errors import NotRegistered

HEAVY = (
    "torch",
    "sklearn",
    "fastapi",
    "strawberry",
    "uvicorn",
    "mcp",
    "prometheus_client",
    "networkx",
    "transformers",
    "cv2",
    "scipy",
)


def _loaded(code: str) -> list[str]:
    ask = f"import sys\n{code}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    return eval(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert _loaded("import graphretrieval") == []


def test_showing_help_loads_nothing_heavy() -> None:
    code = (
        "import contextlib, io\nfrom graphretrieval.cli import app\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    app(['--help'])"
    )
    assert _loaded(code) == []


def test_every_public_name_resolves_and_is_listed() -> None:
    for name in gr.__all__:
        assert getattr(gr, name) is not None
    assert set(gr.__all__) <= set(dir(gr))


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in registry.kinds() for name in registry.names(kind)]
)
def test_every_registered_name_leads_to_a_class_that_knows_its_name(kind: str, name: str) -> None:
    cls = registry.resolve(kind, name)
    assert isinstance(cls, type)
    assert registry.name_of(kind, cls) == name


def test_a_mistyped_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotRegistered, match="Did you mean 'propagate'") as found:
        registry.resolve("refiner", "propagte")
    assert "Choices: auto, gat, hgt, none, propagate" in str(found.value)


def test_a_class_without_a_row_is_refused() -> None:
    with pytest.raises(NotRegistered, match="is not registered as store"):
        registry.name_of("store", dict)


def test_an_unknown_kind_lists_the_kinds() -> None:
    with pytest.raises(NotRegistered, match="no kind 'colour'"):
        registry.names("colour")
