"""Queries are looked at apart by what they are, and by what their answers are."""

from __future__ import annotations

import numpy as np

from graphretrieval.evaluation.results import Direction
from graphretrieval.evaluation.slices import LEAST, slices
from graphretrieval.retriever import corpus
from graphretrieval.stores.snapshot import of_rows
from graphretrieval.types import Bools, Graph, Node

COMMON, RARE = 3 * LEAST, LEAST + 2
N = COMMON + RARE


def world() -> tuple[Graph, dict[int, Node]]:
    """Texts of a common and a rare category, in two languages, of two sources and one of none."""
    ids = [f"t{i:03d}" for i in range(N)] + ["u-common", "u-rare"]
    modalities = ["text"] * N + ["category"] * 2
    edges = [
        (f"t{i:03d}", "IN_CATEGORY", "u-common" if i < COMMON else "u-rare", 1.0) for i in range(N)
    ]
    nodes = {
        i: Node(
            f"t{i:03d}",
            "text",
            lang="zh_CN" if i % 2 else "zh_TW" if i % 4 else "en",
            properties={"source": "museum" if i < LEAST else "web"} if i else {},
        )
        for i in range(N)
    }
    return of_rows(ids, modalities, edges, 1), nodes


def asked(key: str, graph: Graph, nodes: dict[int, Node], d: Direction) -> dict[str, Bools]:
    return dict(slices([key], d, graph, nodes, np.ones((len(d.gallery), 2), np.float32)))


def by(key: str) -> dict[str, Bools]:
    graph, nodes = world()
    rows = np.arange(N)
    right = np.ones((N, N), np.bool_)
    return asked(key, graph, nodes, Direction("text", "text", rows, rows, right))


def named(key: str) -> dict[str, int]:
    return {name: int(mask.sum()) for name, mask in by(key).items()}


def test_common_and_rare_categories_are_head_and_tail() -> None:
    found = by("size")
    np.testing.assert_array_equal(np.flatnonzero(found["size=head"]), np.arange(COMMON))
    np.testing.assert_array_equal(np.flatnonzero(found["size=tail"]), np.arange(COMMON, N))


def test_variants_of_a_language_are_one() -> None:
    found = named("lang")
    assert set(found) == {"lang=zh", "lang=en"}
    assert sum(found.values()) == N


def test_a_property_is_a_slice_and_too_few_queries_are_none() -> None:
    assert named("source") == {"source=web": N - LEAST}  # nine of the museum say nothing


def test_what_no_node_has_is_no_slice() -> None:
    assert named("colour") == {}


# --- languages on the same things, and links to what is right --------------------------------

PICTURES = 2 * LEAST


def described() -> tuple[Graph, dict[int, Node], Direction]:
    """Pictures in pairs of one category; an English text of each, Chinese of the first half.

    One more Chinese text describes nothing.
    """
    ids, modalities, edges, nodes = [], [], [], {}

    def node(id: str, modality: str, lang: str | None = None) -> None:
        nodes[len(ids)] = Node(id, modality, lang=lang)
        ids.append(id)
        modalities.append(modality)

    for i in range(PICTURES):
        node(f"i{i:02d}", "image")
        node(f"t{i:02d}en", "text", "en")
        edges.append((f"t{i:02d}en", "DESCRIBES", f"i{i:02d}", 1.0))
        if i < PICTURES // 2:
            node(f"t{i:02d}zh", "text", "zh_CN" if i % 2 else "zh")
            edges.append((f"t{i:02d}zh", "DESCRIBES", f"i{i:02d}", 1.0))
    node("x", "text", "zh")
    for i in range(PICTURES // 2):
        node(f"c{i:02d}", "category")
        members = [n for n in ids if n[1:3] in (f"{2 * i:02d}", f"{2 * i + 1:02d}")]
        edges += [(n, "IN_CATEGORY", f"c{i:02d}", 1.0) for n in members if n[0] in "it"]
    graph = of_rows(ids, modalities, edges, 1)
    texts, pictures = graph.rows_of("text"), graph.rows_of("image")
    right = corpus.relevance(graph, texts, pictures, "category")
    return (
        graph,
        {graph.row[n.id]: n for n in nodes.values()},
        Direction("text", "image", texts, pictures, right),
    )


def test_parallel_languages_are_asked_of_the_same_things() -> None:
    graph, nodes, d = described()
    found = asked("parallel", graph, nodes, d)
    assert set(found) == {"parallel=en", "parallel=zh"}
    things = [corpus.parallel(graph, d.queries[mask]).tolist() for mask in found.values()]
    assert things[0] == things[1]
    assert len(set(things[0])) == PICTURES // 2
    plain = asked("lang", graph, nodes, d)
    assert plain["lang=en"].sum() == PICTURES  # not the same as what is Chinese


def test_a_text_without_an_answer_makes_nothing_parallel() -> None:
    graph, nodes, d = described()
    chinese = np.array([nodes[int(q)].lang != "en" for q in d.queries])
    d.right[chinese] = False
    assert asked("parallel", graph, nodes, d) == {}


def test_what_is_linked_to_a_right_answer_is_direct() -> None:
    graph, nodes, d = described()
    answered = d.right.any(axis=1)
    np.testing.assert_array_equal(asked("direct", graph, nodes, d)["direct=yes"], answered)
    # without its own picture, a text is tied to a right answer by nothing but the category
    own = corpus.parallel(graph, d.queries)[:, None] == d.gallery[None, :]
    d.right[own] = False
    found = asked("direct", graph, nodes, d)
    assert set(found) == {"direct=no"}
    np.testing.assert_array_equal(found["direct=no"], answered)


def test_what_is_two_links_away_is_not_direct() -> None:
    """A sound of the picture that a text describes."""
    n = LEAST
    ids = [f"{m}{i:02d}" for i in range(n) for m in "ait"]
    kinds = {"a": "audio", "i": "image", "t": "text"}
    edges = [(f"t{i:02d}", "DESCRIBES", f"i{i:02d}", 1.0) for i in range(n)]
    edges += [(f"a{i:02d}", "RELATED_TO", f"i{i:02d}", 1.0) for i in range(n)]
    graph = of_rows(ids, [kinds[name[0]] for name in ids], edges, 1)
    nodes = {graph.row[name]: Node(name, kinds[name[0]]) for name in ids}
    texts, sounds = graph.rows_of("text"), graph.rows_of("audio")
    right = corpus.relevance(graph, texts, sounds, "instance")
    assert right.sum() == n
    found = asked("direct", graph, nodes, Direction("text", "audio", texts, sounds, right))
    assert {name: int(mask.sum()) for name, mask in found.items()} == {"direct=no": n}


# --- look-alikes ------------------------------------------------------------------------------


def alike(content: np.ndarray, right: np.ndarray) -> set[int]:
    """Queries with a look-alike; so many are asked that either slice is told."""
    graph, nodes = world()
    q = len(right)
    many = np.tile(right, (LEAST, 1))
    rows = np.arange(len(many)) % N
    d = Direction("text", "image", rows, np.arange(len(content)), many)
    found = dict(slices(["alike"], d, graph, nodes, content))
    mask = found.get("alike=yes", np.zeros(len(many), np.bool_))
    return set(np.flatnonzero(mask[:q]).tolist())


def angles(*degrees: float) -> np.ndarray:
    x = np.radians(degrees)
    return np.stack([np.cos(x), np.sin(x)], 1).astype(np.float32)


def only(*answers: int, of: int = 8) -> np.ndarray:
    return np.eye(of, dtype=np.bool_)[list(answers)]


# items 0 and 1 are nearly the same, all others stand apart
PAIR = angles(0, 1, 40, 80, 120, 160, 200, 250)


def test_a_wrong_item_nearly_the_same_as_the_right_one_is_a_look_alike() -> None:
    assert alike(PAIR, only(0, 1, 2, 7)) == {0, 1}


def test_two_right_answers_that_look_alike_mislead_nobody() -> None:
    right = only(0, 2)
    right[0, 1] = True
    assert alike(PAIR, right) == set()


def test_a_look_alike_counts_from_either_side() -> None:
    # 2 is nearest to 1, while 1 is nearer to 0
    trio = angles(0, 1, 2.5, *range(40, 310, 30))
    right = only(1, of=12)
    right[0, 0] = True
    assert alike(trio, right) == {0}


def test_absent_content_looks_like_nothing() -> None:
    content = PAIR.copy()
    content[:2] = 0
    assert not alike(content, only(0, 1))
    assert alike(np.zeros((8, 2), np.float32), only(0)) == set()
