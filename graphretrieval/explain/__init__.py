"""Why a hit is a hit: paths in words, score parts, what deletions change, what content counts.

The names are loaded when first used: the command line mounts the command without loading torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphretrieval.explain.explaining import explain
    from graphretrieval.explain.explanation import Explanation

_WHERE = {"Explanation": "explanation", "explain": "explaining"}

__all__ = ["Explanation", "explain"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'graphretrieval.explain' has no attribute {name!r}")
    return getattr(importlib.import_module(f"graphretrieval.explain.{_WHERE[name]}"), name)
