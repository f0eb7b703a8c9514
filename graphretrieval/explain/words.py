"""Explanations as sentences, in English and Chinese: relations made readable, names for ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphretrieval.errors import QueryError
from graphretrieval.explain.deletion import EdgeKey
from graphretrieval.types import Node, Path

if TYPE_CHECKING:
    from graphretrieval.explain.explanation import Deletion, Explanation

LANGUAGES = ("en", "zh")
LONGEST_NAME = 60

PARTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "content": "its own content is like the query",
        "graph": "what it is linked to is like the query",
        "path": "links lead to it from what matches the query",
        "lexical": "its words match the query",
    },
    "zh": {
        "content": "其内容与查询相似",
        "graph": "与它相连的内容与查询相似",
        "path": "从与查询相符的内容沿关联可到达它",
        "lexical": "其文字与查询相符",
    },
}
#: A step walked along the arrow, and against it, between the names of its ends; … is where the
#: second end's name goes if not behind.
RELATIONS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "en": {
        "DESCRIBES": ("describes", "is described by"),
        "IN_CATEGORY": ("belongs to", "holds"),
        "SUBCATEGORY_OF": ("is a kind of", "has the kind"),
        "PART_OF": ("is a part of", "has the part"),
        "NEXT": ("is followed by", "follows"),
        "RELATED_TO": ("is related to", "is related to"),
        "SIMILAR_TO": ("is similar to", "is similar to"),
    },
    "zh": {
        "DESCRIBES": ("描述", "的描述是"),
        "IN_CATEGORY": ("属于", "包含"),
        "SUBCATEGORY_OF": ("是一种", "的下级类别有"),
        "PART_OF": ("是其一部分：", "的一部分是"),
        "NEXT": ("之后是", "之前是"),
        "RELATED_TO": ("与…相关", "与…相关"),
        "SIMILAR_TO": ("与…相似", "与…相似"),
    },
}
#: What a node is called before its name.
KINDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "image": "the picture ",
        "text": "the text ",
        "audio": "the sound ",
        "source": "the source ",
        "category": "the category ",
    },
    "zh": {
        "image": "图片",
        "text": "文本",
        "audio": "声音",
        "source": "来源",
        "category": "类别",
    },
}
TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "similar": "The query is like {name} ({weight:.0%})",
        "lexical": "The words of the query match {name} ({weight:.0%})",
        "itself": "The query is {name}",
        "first": ", which {said}",
        "further": ", which {said}",
        "said": "{relation} {name}",
        "named": "has the link “{relation}” to",
        "named_back": "is linked by “{relation}” from",
        "end": ".",
        "summary": "{name} is number {rank}, {how} ({share:.0%}) because {reason}.",
        "most": "mostly",
        "first_of_all": "chiefly",
        "no_part": "{name} is number {rank}; nothing speaks for it.",
        "no_path": "No path leads to it: it was found by likeness alone.",
        "edge": "{src} {said}",
        "again": " ({times} such paths)",
        "between": "; ",
        "headings": "part||column|measured|× weight|= adds",
        "score": "score",
        "term": "{column} (term {term})",
        "falls": "Without the link that {edge}, it falls from rank {before} to {after} "
        "(score {a:.3f} → {b:.3f}).",
        "rises": "Without the link that {edge}, it rises from rank {before} to {after} "
        "(score {a:.3f} → {b:.3f}).",
        "stays": "Without the link that {edge}, it stays at rank {before} "
        "(score {a:.3f} → {b:.3f}).",
        "salient": "Of {what}, this counts most: {places}.",
        "nothing_salient": "Of {what}, no single place counts for the better.",
        "patch": "the patch {across:.0%} from the left and {down:.0%} from the top",
        "seconds": "seconds {start:.1f} to {end:.1f}",
        "hit": "the hit",
        "query": "the query",
    },
    "zh": {
        "similar": "查询与{name}相似（{weight:.0%}）",
        "lexical": "查询的文字与{name}相符（{weight:.0%}）",
        "itself": "查询即{name}",
        "first": "，它{said}",
        "further": "，后者{said}",
        "said": "{relation}{name}",
        "named": "经由“{relation}”指向",
        "named_back": "被“{relation}”所指，来自",
        "end": "。",
        "summary": "{name}位列第{rank}，{how}（{share:.0%}）：{reason}。",
        "most": "主要依据",
        "first_of_all": "首要依据",
        "no_part": "{name}位列第{rank}；没有支持它的依据。",
        "no_path": "没有通向它的路径：仅凭相似度找到。",
        "edge": "{src}{said}",
        "again": "（共{times}条）",
        "between": "；",
        "headings": "部分||分项|测得|× 权重|= 贡献",
        "score": "得分",
        "term": "{column}（第{term}项）",
        "falls": "若去掉{edge}这条关联，名次由第{before}降至第{after}（得分 {a:.3f} → {b:.3f}）。",
        "rises": "若去掉{edge}这条关联，名次由第{before}升至第{after}（得分 {a:.3f} → {b:.3f}）。",
        "stays": "若去掉{edge}这条关联，名次仍为第{before}（得分 {a:.3f} → {b:.3f}）。",
        "salient": "{what}中最重要的是：{places}。",
        "nothing_salient": "{what}中没有哪一处单独有利。",
        "patch": "距左侧{across:.0%}、距顶部{down:.0%}处",
        "seconds": "第{start:.1f}至{end:.1f}秒",
        "hit": "命中项",
        "query": "查询",
    },
}


@dataclass(frozen=True)
class Words:
    """Sentences in one language (``en`` or ``zh``); ``nodes`` give names to ids.

    Raises:
        QueryError: another language.
    """

    lang: str
    nodes: Mapping[str, Node]

    def __post_init__(self) -> None:
        if self.lang not in LANGUAGES:
            raise QueryError(
                f"explanations are not written in {self.lang!r}",
                remedy=f"choose from {', '.join(LANGUAGES)}",
            )

    def summary(self, e: Explanation) -> str:
        """Rank, and the strongest part with its share of all that speaks for the hit."""
        best = max(e.parts, key=lambda p: p.value)
        total = sum(max(0.0, p.value) for p in e.parts)
        name = _capital(self.name(e.hit.id))
        if total <= 0:
            return self._say("no_part", name=name, rank=e.rank)
        reason = PARTS[self.lang][best.name]
        share = best.value / total
        how = self._say("most" if share >= 0.5 else "first_of_all")
        return self._say("summary", name=name, rank=e.rank, how=how, share=share, reason=reason)

    def path(self, path: Path | None) -> str:
        """A path read aloud, from the query to the hit."""
        if path is None:
            return self._say("no_path")
        first = self.name(path.nodes[0])
        said = [self._say(path.anchor or "itself", name=first, weight=path.anchor_weight)]
        for i, (step, node) in enumerate(zip(path.steps, path.nodes[1:], strict=True)):
            more = self._said(self.relation(step.type, step.direction), node)
            said.append(self._say("further" if i else "first", said=more))
        return "".join(said) + self._say("end")

    def deletion(self, d: Deletion) -> str:
        """What becomes of the hit without an edge."""
        how = "falls" if d.ranks_lost > 0 else "rises" if d.ranks_lost < 0 else "stays"
        return self._say(
            how,
            edge=self.edge(d.edge),
            before=d.rank_before,
            after=d.rank_after,
            a=d.score_before,
            b=d.score_after,
        )

    def edge(self, key: EdgeKey) -> str:
        """An edge in the direction of its arrow."""
        said = self._said(self.relation(key[1], "out"), key[2])
        return self._say("edge", src=self.name(key[0]), said=said)

    def _said(self, relation: str, node: str) -> str:
        """What is said of one end: the relation with the other end's name in its place."""
        name = self.name(node)
        if "…" in relation:
            return relation.replace("…", name)
        return self._say("said", relation=relation, name=name)

    def relation(self, type: str, direction: str) -> str:
        """A relation as a verb; a collection's own by its name in small letters."""
        known = RELATIONS[self.lang].get(type)
        if known is not None:
            between = " " if self.lang == "en" else ""
            return f"{between}{known[direction == 'in']}{between}".strip()
        own = type.lower().replace("_", " ")
        return self._say("named" if direction == "out" else "named_back", relation=own)

    def name(self, id: str) -> str:
        """What a node is, and its words or title in quotation marks; its id where it has none."""
        node = self.nodes.get(id)
        words, kind = id, ""
        if node is not None:
            own = node.text if node.modality == "text" else node.title
            words = own or node.title or node.text or id
            kind = KINDS[self.lang].get(node.modality, "")
        words = " ".join(words.split())
        short = words if len(words) <= LONGEST_NAME else words[: LONGEST_NAME - 1] + "…"
        return f"{kind}“{short}”"

    def text(self, key: str, **values: object) -> str:
        """One of :data:`TEXTS`, filled in."""
        return TEXTS[self.lang][key].format(**values)

    _say = text


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
