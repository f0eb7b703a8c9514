"""Why a hit is a hit: paths in words, score parts, what deletions change, what content counts."""

from graphretrieval.explain.explain import explain
from graphretrieval.explain.explanation import Explanation

__all__ = ["Explanation", "explain"]
