"""What every store must do; a new store is one row of ``STORES`` in ``test_contract``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from graphretrieval.errors import SnapshotTooOld, StoreError, UnknownNode
from graphretrieval.protocols import GraphStore
from graphretrieval.types import DESCRIBES, IN_CATEGORY, Edge, FileStamp, Node

Opener = Callable[[], GraphStore]

CAT = Node("img:cat", "image", uri="/m/cat.png", title="cat", sha256="a1", width=4, height=3)
TEXT = Node("txt:cat", "text", text="A black cat on the roof.", lang="en")
CHINESE = Node("txt:tiger", "text", text="一只老虎在森林里。", lang="zh_CN")
SOUND = Node("snd:purr", "audio", title="purr", duration=1.5, license="CC0")
ANIMALS = Node("cat:animals", "category", title="animals")
NODES = [CAT, TEXT, CHINESE, SOUND, ANIMALS]
EDGES = [
    Edge("txt:cat", DESCRIBES, "img:cat"),
    Edge("snd:purr", "RELATED_TO", "img:cat", 0.5),
    Edge("img:cat", IN_CATEGORY, "cat:animals"),
]


class StoreContract:
    """Inherit it and give ``opener``: a function that opens the same, at first empty, store."""

    @pytest.fixture
    def store(self, opener: Opener) -> GraphStore:
        store = opener()
        store.upsert(NODES, EDGES)
        return store

    # --- writing ------------------------------------------------------------------------

    def test_what_is_written_is_read_back(self, store: GraphStore) -> None:
        assert store.get([n.id for n in NODES]) == NODES
        assert {(e.src, e.type, e.dst, e.weight) for e in store.edges()} == {
            (e.src, e.type, e.dst, e.weight) for e in EDGES
        }

    def test_ids_come_back_in_order_and_missing_ones_as_none(self, store: GraphStore) -> None:
        found = store.get(["snd:purr", "nowhere", "img:cat", "snd:purr"])
        assert [n and n.id for n in found] == ["snd:purr", None, "img:cat", "snd:purr"]

    def test_each_write_moves_the_revision_by_one(self, opener: Opener) -> None:
        store = opener()
        start = store.revision
        assert store.upsert([CAT]) == start + 1
        assert store.upsert([TEXT], [EDGES[0]]) == start + 2
        assert store.delete(["img:cat"]) == start + 3
        assert store.revision == start + 3

    def test_writing_the_same_again_moves_nothing(self, store: GraphStore) -> None:
        before = store.revision
        assert store.upsert(NODES, EDGES) == before

    def test_of_several_of_one_id_the_last_is_written(self, store: GraphStore) -> None:
        before, link = store.revision, ("txt:cat", DESCRIBES, "img:cat")
        draft = Node("txt:cat", "text", text="a draft")
        # that the last is what is stored already does not leave the draft standing
        assert store.upsert([draft, TEXT], [Edge(*link, 0.5), EDGES[0]]) == before
        assert store.get(["txt:cat"]) == [TEXT]
        store.upsert([TEXT, draft], [EDGES[0], Edge(*link, 0.5)])
        assert store.get(["txt:cat"]) == [draft]
        assert [e.weight for e in store.edges(DESCRIBES)] == [0.5]

    def test_there_is_one_edge_of_a_type_between_two_nodes(self, store: GraphStore) -> None:
        store.upsert([], [Edge("txt:cat", DESCRIBES, "img:cat", 0.25)])
        found = list(store.edges(DESCRIBES))
        assert [(e.src, e.weight) for e in found] == [("txt:cat", 0.25)]

    def test_an_edge_to_nowhere_is_refused_and_nothing_written(self, store: GraphStore) -> None:
        before = store.revision
        with pytest.raises(UnknownNode, match="img:none"):
            store.upsert([Node("txt:new", "text", text="x")], [Edge("txt:new", "A", "img:none")])
        assert store.revision == before
        assert store.get(["txt:new"]) == [None]

    def test_rejected_edges_are_kept_but_not_used(self, store: GraphStore) -> None:
        store.upsert([], [Edge("txt:tiger", DESCRIBES, "img:cat", status="rejected")])
        assert len(list(store.edges())) == 3
        assert len(list(store.edges(status=None))) == 4
        assert len(store.export().src) == 3
        assert len(store.neighbours(["txt:tiger"])[0]) == 0

    def test_deleting_a_node_takes_its_edges(self, store: GraphStore) -> None:
        store.delete(["img:cat"])
        assert store.get(["img:cat"]) == [None]
        assert list(store.edges()) == []

    def test_deleting_an_edge_leaves_its_nodes(self, store: GraphStore) -> None:
        store.delete(edges=[("txt:cat", DESCRIBES, "img:cat")])
        assert len(list(store.edges())) == 2
        assert None not in store.get(["txt:cat", "img:cat"])

    # --- reading ------------------------------------------------------------------------

    def test_neighbours_come_for_each_id_strongest_first(self, store: GraphStore) -> None:
        of_cat, of_text, of_none = store.neighbours(["img:cat", "txt:cat", "nowhere"])
        assert [e.weight for e in of_cat] == sorted([1.0, 1.0, 0.5], reverse=True)
        assert [(e.src, e.dst) for e in of_text] == [("txt:cat", "img:cat")]
        assert of_none == []

    def test_neighbours_can_be_limited_by_type_direction_and_number(
        self, store: GraphStore
    ) -> None:
        assert len(store.neighbours(["img:cat"], types=[DESCRIBES])[0]) == 1
        assert len(store.neighbours(["img:cat"], direction="out")[0]) == 1
        assert len(store.neighbours(["img:cat"], direction="in")[0]) == 2
        assert len(store.neighbours(["img:cat"], limit=2)[0]) == 2

    def test_shortest_paths_are_as_long_as_networkx_finds(self, opener: Opener) -> None:
        rng = np.random.default_rng(0)
        n, m = 40, 55
        ids = [f"n{i:02d}" for i in range(n)]
        pairs = {tuple(sorted(rng.choice(n, 2, replace=False).tolist())) for _ in range(m)}
        store = opener()
        store.upsert(
            [Node(i, "text", text=i) for i in ids], [Edge(ids[a], "R", ids[b]) for a, b in pairs]
        )
        graph = nx.Graph([(ids[a], ids[b]) for a, b in pairs])
        graph.add_nodes_from(ids)
        asked = [(ids[a], ids[b]) for a, b in rng.integers(0, n, (60, 2))]
        found = store.paths([a for a, _ in asked], [b for _, b in asked], max_hops=4)
        for (a, b), path in zip(asked, found, strict=True):
            length = nx.shortest_path_length(graph, a, b) if nx.has_path(graph, a, b) else len(ids)
            if length > 4:
                assert path is None
            else:
                assert path is not None
                assert len(path.steps) == length
                assert (path.nodes[0], path.nodes[-1]) == (a, b)
                assert all(graph.has_edge(*pair) for pair in pairwise(path.nodes))

    def test_of_paths_without_any_weight_the_first_by_ids_is_found(self, opener: Opener) -> None:
        store = opener()
        links = [("s", "m", 0.25), ("s", "n", 0.5), ("m", "t", 1.0), ("n", "t", 1.0), ("t", "u", 0)]
        store.upsert([Node(i, "text") for i in "smntu"], [Edge(a, "R", b, w) for a, b, w in links])
        (strong, none) = store.paths(["s", "s"], ["t", "u"])
        assert strong is not None
        assert (strong.nodes, strong.strength) == (("s", "n", "t"), 0.5)
        assert none is not None
        assert (none.nodes, none.strength) == (("s", "m", "t", "u"), 0.0)

    @pytest.mark.parametrize(
        ("query", "first"),
        [
            ("black cat", "txt:cat"),
            ("BLACK  Cats", "txt:cat"),
            ("老虎", "txt:tiger"),
            ("森林里", "txt:tiger"),
            ("虎", "txt:tiger"),
            ("purr", "snd:purr"),
        ],
    )
    def test_text_search_finds_words_in_english_and_chinese(
        self, store: GraphStore, query: str, first: str
    ) -> None:
        hits = store.text_search([query])[0]
        assert hits[0][0] == first
        assert all(0 < score <= 1 for _, score in hits)

    @pytest.mark.parametrize(
        "query",
        ["", "   ", '"', "cat OR", "NEAR(", "*", "%", "_", "cat:*", "') --", "-cat", "zebra", "\0"],
    )
    def test_a_text_query_is_text_and_never_syntax(self, store: GraphStore, query: str) -> None:
        hits = store.text_search([query])[0]
        assert {name for name, _ in hits} <= {"txt:cat", "img:cat"}

    def test_text_search_can_be_limited_to_modality_and_language(self, store: GraphStore) -> None:
        assert [n for n, _ in store.text_search(["cat"], modality="image")[0]] == ["img:cat"]
        assert store.text_search(["cat"], lang="zh")[0] == []
        assert store.text_search(["老虎"], lang="zh")[0][0][0] == "txt:tiger"

    def test_a_changed_text_is_no_longer_found_by_its_old_words(self, store: GraphStore) -> None:
        store.upsert([Node("txt:cat", "text", text="A white dog.", lang="en")])
        assert store.text_search(["roof"])[0] == []
        assert store.text_search(["white dog"])[0][0][0] == "txt:cat"

    def test_counts_are_by_modality_and_type(self, store: GraphStore) -> None:
        counts = store.counts()
        assert counts["nodes"] == {"audio": 1, "category": 1, "image": 1, "text": 2}
        assert counts["edges"] == {DESCRIBES: 1, IN_CATEGORY: 1, "RELATED_TO": 1}
        assert counts["proposed"] == counts["rejected"] == {}

    def test_what_is_only_proposed_or_rejected_is_counted_apart(self, store: GraphStore) -> None:
        store.upsert(
            [],
            [
                Edge("txt:tiger", DESCRIBES, "img:cat", status="proposed"),
                Edge("snd:purr", "RELATED_TO", "img:cat", 0.5, status="rejected"),
            ],
        )
        counts = store.counts()
        assert counts["edges"] == {DESCRIBES: 1, IN_CATEGORY: 1}
        assert counts["proposed"] == {DESCRIBES: 1}
        assert counts["rejected"] == {"RELATED_TO": 1}

    # --- the whole and what changed -----------------------------------------------------

    def test_an_export_has_the_rows_in_id_order(self, store: GraphStore) -> None:
        graph = store.export()
        assert list(graph.ids) == sorted(n.id for n in NODES)
        edges = {
            (graph.ids[s], graph.relations[r], graph.ids[d], float(w))
            for s, r, d, w in zip(graph.src, graph.relation, graph.dst, graph.weight, strict=True)
        }
        assert edges == {(e.src, e.type, e.dst, e.weight) for e in EDGES}
        assert graph.revision == store.revision

    def test_an_export_after_a_write_has_it(self, store: GraphStore) -> None:
        store.export()
        store.upsert([Node("new", "text", text="n")], [Edge("new", "R", "img:cat")])
        graph = store.export()
        assert "new" in graph.row
        assert len(graph.src) == 4

    def test_changes_since_tell_upserts_and_content_free_tombstones(
        self, store: GraphStore
    ) -> None:
        before = store.revision
        store.upsert([Node("txt:new", "text", text="secret words")])
        store.delete(["txt:tiger"])
        changes = store.changes_since(before)
        assert [n.id for n in changes.nodes] == ["txt:new"]
        assert "txt:tiger" in str(changes.deleted_nodes)
        assert "老虎" not in str(changes.deleted_nodes)
        assert store.changes_since(store.revision).nodes == ()

    def test_a_revision_that_never_was_is_too_old_or_empty(self, store: GraphStore) -> None:
        with pytest.raises(SnapshotTooOld):
            store.changes_since(-1)

    def test_forgotten_deletions_stay_forgotten_and_none_is_in_advance(
        self, opener: Opener
    ) -> None:
        store = opener()
        store.upsert(NODES, EDGES)
        store.delete(["txt:tiger"])
        before = store.delete(["snd:purr"])
        pruned = getattr(store, "remote", store)
        for revision in (before - 1, 0):
            pruned.prune_tombstones(revision)  # type: ignore[attr-defined]
            assert pruned.changes_since(before - 1).deleted_nodes == ("snd:purr",)
            for reader in (pruned, opener()):  # a copy made now forgets as much
                with pytest.raises(SnapshotTooOld):
                    reader.changes_since(before - 2)
        pruned.prune_tombstones(before + 1000)  # type: ignore[attr-defined]
        store.delete(["txt:cat"])
        assert pruned.changes_since(before).deleted_nodes == ("txt:cat",)

    # --- files --------------------------------------------------------------------------

    def test_stamps_are_kept_by_prefix_and_forgotten(self, store: GraphStore) -> None:
        stamps = [
            FileStamp("/m/a.png", 10, 5, "x"),
            FileStamp("/m/b.png", 0, 6, "", "the file is empty"),
            FileStamp("/other/c.png", 1, 7, "y"),
        ]
        store.upsert([], [], stamps)
        assert store.files("/m/") == {s.uri: s for s in stamps[:2]}
        store.forget_files(["/m/a.png"])
        assert set(store.files()) == {"/m/b.png", "/other/c.png"}

    # --- lasting ------------------------------------------------------------------------

    def test_a_reopened_store_has_everything(self, store: GraphStore, opener: Opener) -> None:
        revision = store.revision
        store.close()
        again = opener()
        assert again.revision == revision
        assert again.get([n.id for n in NODES]) == NODES
        assert again.text_search(["老虎"])[0][0][0] == "txt:tiger"

    def test_migrating_twice_does_nothing(self, store: GraphStore) -> None:
        assert store.migrate() == []
        assert store.migrate(dry_run=True) == []

    def test_readers_see_whole_writes_while_another_writes(
        self, store: GraphStore, opener: Opener
    ) -> None:
        done = threading.Event()
        torn: list[int] = []

        def read() -> None:
            reader = opener()
            while not done.is_set():
                found = [n is not None for n in reader.get(["p:a", "p:b"])]
                if len(set(found)) > 1:
                    torn.append(1)
            reader.close()

        thread = threading.Thread(target=read)
        thread.start()
        try:
            for _ in range(30):
                store.upsert([Node("p:a", "text", text="a"), Node("p:b", "text", text="b")])
                store.delete(["p:a", "p:b"])
        finally:
            done.set()
            thread.join()
        assert torn == []

    def test_a_backup_is_a_store_of_its_own(
        self, store: GraphStore, tmp_path: Path, reopen: Callable[[Path], GraphStore]
    ) -> None:
        store.backup(tmp_path / "copy")
        store.upsert([Node("later", "text", text="later")])
        copy = reopen(tmp_path / "copy")
        assert {n.id for n in copy.nodes()} == {n.id for n in NODES}
        assert len(list(copy.edges())) == len(EDGES)
        copy.close()

    @pytest.mark.parametrize("there", ["copy", "copy-wal", "copy-journal"])
    def test_a_backup_over_something_is_refused_and_leaves_it(
        self, store: GraphStore, tmp_path: Path, there: str
    ) -> None:
        (tmp_path / there).write_bytes(b"of another store")
        with pytest.raises(StoreError, match=f"{there} exists already"):
            store.backup(tmp_path / "copy")
        assert (tmp_path / there).read_bytes() == b"of another store"

    def test_a_backup_into_no_folder_names_it(self, store: GraphStore, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"there is no folder .*nowhere"):
            store.backup(tmp_path / "nowhere" / "copy")

    def test_a_backup_of_any_name_leaves_nothing_beside_it(
        self, store: GraphStore, tmp_path: Path
    ) -> None:
        folder = tmp_path / "backups"
        folder.mkdir()
        store.backup(folder / "mu[1]*.db")
        assert [file.name for file in folder.iterdir()] == ["mu[1]*.db"]
