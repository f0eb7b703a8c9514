"""The schema's text in the docs, its documentation, and the page's documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import GraphQLInputObjectType, GraphQLObjectType

from graphretrieval.api.documents import Documents
from graphretrieval.api.schema import make_schema

ROOT = Path(__file__).parents[2]
SCHEMA = make_schema()
OWN = [
    t
    for n, t in SCHEMA._schema.type_map.items()
    if not n.startswith("__") and isinstance(t, GraphQLObjectType | GraphQLInputObjectType)
]


def test_the_schema_in_the_docs_is_the_one_that_is_served() -> None:
    written = (ROOT / "docs" / "schema.graphql").read_text("utf-8")
    assert written == SCHEMA.as_str() + "\n", (
        "run: python -m graphretrieval.api.schema > docs/schema.graphql"
    )


@pytest.mark.parametrize("name", [t.name for t in OWN])
def test_every_type_says_what_it_is(name: str) -> None:
    assert SCHEMA._schema.type_map[name].description


@pytest.mark.parametrize("root", ["Query", "Mutation", "Subscription"])
def test_every_root_field_says_what_it_does(root: str) -> None:
    fields = SCHEMA._schema.type_map[root].fields
    assert all(f.description for f in fields.values())


def test_mutations_name_the_role_they_need() -> None:
    fields = SCHEMA._schema.type_map["Mutation"].fields
    assert all(re.search(r"Role: (write|admin)\.", f.description) for f in fields.values())


def test_field_names_are_camel_case() -> None:
    assert not [f for t in OWN for f in t.fields if "_" in f]


def test_every_document_of_the_page_fits_the_schema() -> None:
    folder = ROOT / "graphretrieval" / "api" / "web" / "documents"
    shipped = Documents(SCHEMA._schema).trust(folder)
    assert {"search", "mixed", "node", "models", "home"} <= set(shipped)


def test_every_document_of_the_page_fits_the_cost_and_the_first_is_cheap() -> None:
    documents = Documents(SCHEMA._schema)
    folder = ROOT / "graphretrieval" / "api" / "web" / "documents"
    asked = {"pictures": {"k": 18}, "sounds": {"k": 8}, "texts": {"k": 24}, "input": {"k": 24}}
    costs = {
        name: documents.by_hash(digest).cost(None, asked)
        for name, digest in documents.trust(folder).items()
    }
    assert max(costs.values()) < 8000, costs
    assert costs["home"] < 1500


def test_the_schema_has_what_the_interface_promises() -> None:
    query = SCHEMA._schema.type_map["Query"].fields
    assert set(query) >= {
        *("search", "node", "nodes", "neighbours", "paths", "categories", "classify"),
        *("recommend", "ask", "caption", "stats", "models"),
    }
    mutation = SCHEMA._schema.type_map["Mutation"].fields
    assert set(mutation) >= {
        *("addNode", "link", "unlink", "refit", "rollback", "forget", "accept", "reject", "undo"),
    }
