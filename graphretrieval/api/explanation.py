"""Why a hit was found, as a sentence in English or Chinese, from its score parts and its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphretrieval.types import Hit

_PARTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "content": "its own content is like the query",
        "graph": "what it is linked to is like the query",
        "path": "links lead to it from what matches the query",
        "lexical": "its words match the query",
    },
    "zh": {
        "content": "其内容与查询相似",
        "graph": "与它相连的内容与查询相似",
        "path": "由与查询匹配的内容沿关联可到达它",
        "lexical": "其文字与查询相符",
    },
}
_RELATIONS: Mapping[str, Mapping[tuple[str, str], str]] = {
    "en": {
        ("DESCRIBES", "out"): "which describes",
        ("DESCRIBES", "in"): "which is described by",
        ("IN_CATEGORY", "out"): "in the category",
        ("IN_CATEGORY", "in"): "which holds",
        ("SUBCATEGORY_OF", "out"): "a part of",
        ("SUBCATEGORY_OF", "in"): "of which a part is",
        ("RELATED_TO", "out"): "related to",
        ("RELATED_TO", "in"): "related to",
        ("PART_OF", "out"): "cut from",
        ("PART_OF", "in"): "a part of which is",
        ("NEXT", "out"): "followed by",
        ("NEXT", "in"): "which follows",
    },
    "zh": {
        ("DESCRIBES", "out"): "描述",
        ("DESCRIBES", "in"): "被描述为",
        ("IN_CATEGORY", "out"): "属于类别",
        ("IN_CATEGORY", "in"): "包含",
        ("SUBCATEGORY_OF", "out"): "上级类别",
        ("SUBCATEGORY_OF", "in"): "下级类别",
        ("RELATED_TO", "out"): "相关",
        ("RELATED_TO", "in"): "相关",
        ("PART_OF", "out"): "出自",
        ("PART_OF", "in"): "其中包括",
        ("NEXT", "out"): "之后是",
        ("NEXT", "in"): "之前是",
    },
}


def explain(hit: Hit, names: Sequence[str], lang: str) -> str:
    """The strongest part in words, and the path read aloud; ``names`` are its nodes'."""
    tongue = "zh" if lang.lower().startswith("zh") else "en"
    name, value = max(hit.parts.items(), key=lambda item: item[1], default=("content", 0.0))
    total = sum(max(0.0, v) for v in hit.parts.values())
    share = value / total if total > 0 else 0.0
    reason = _PARTS[tongue].get(name, name)
    path = hit.path
    if tongue == "zh":
        lead = f"主要依据({share:.0%}):{reason}。"
        return lead + (f"路径:{_read(hit, names, tongue)}。" if path and len(names) > 1 else "")
    lead = f"Found mostly ({share:.0%}) because {reason}."
    return lead + (f" The way: {_read(hit, names, tongue)}." if path and len(names) > 1 else "")


def _read(hit: Hit, names: Sequence[str], tongue: str) -> str:
    assert hit.path is not None  # the caller has looked
    words = [f"“{_short(names[0])}”"]
    for step, name in zip(hit.path.steps, names[1:], strict=False):
        phrase = _RELATIONS[tongue].get((step.type, step.direction))
        words += [phrase or step.type.lower().replace("_", " "), f"“{_short(name)}”"]
    return " ".join(words) if tongue == "en" else "".join(words)


def _short(words: str) -> str:
    return words if len(words) <= 60 else words[:59] + "…"
