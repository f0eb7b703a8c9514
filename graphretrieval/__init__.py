"""Graph-based multimodal retrieval: anything → anything, with the path that connects them.

    files → sources → stores → encoders → aligners → gnn → indexes → rankers → retriever
            Node,Edge   graph   features   shared    refined  nearest   Hit+Path   answer

>>> import graphretrieval as gr
>>> kb = gr.open("museum.db")               # doctest: +SKIP
>>> kb.add("photos/")                       # doctest: +SKIP
>>> kb.fit()                                # doctest: +SKIP
>>> kb.search("一只老虎", target="audio")    # doctest: +SKIP

Names are loaded when first used, so that ``import graphretrieval`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphretrieval.errors import GraphRetrievalError
    from graphretrieval.retriever import Retriever, open
    from graphretrieval.types import Answer, Edge, Graph, Hit, Modality, Node, Path

__version__ = "0.1.0"

_WHERE = {
    "Answer": "types",
    "Edge": "types",
    "Graph": "types",
    "GraphRetrievalError": "errors",
    "Hit": "types",
    "Modality": "types",
    "Node": "types",
    "Path": "types",
    "Retriever": "retriever",
    "open": "retriever",
}

__all__ = [
    "Answer",
    "Edge",
    "Graph",
    "GraphRetrievalError",
    "Hit",
    "Modality",
    "Node",
    "Path",
    "Retriever",
    "__version__",
    "open",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'graphretrieval' has no attribute {name!r}")
    return getattr(importlib.import_module(f"graphretrieval.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
