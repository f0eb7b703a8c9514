"""Every Cypher query there is: values are parameters, names are checked before they are put in.

Own bookkeeping has labels that begin with two underscores, as ``__Neo4jMigration`` does.
"""

from __future__ import annotations

import re

from graphretrieval.errors import InvalidNode, QueryError
from graphretrieval.types import MODALITY, RELATION, SEARCHED, SIMILAR_TO

#: Labels a node may have got in Browser, and the modality they stand for.
KNOWN = {
    "Image": "image",
    "Text": "text",
    "Audio": "audio",
    "Source": "source",
    "Category": "category",
}
_TAKEN = frozenset({*KNOWN, "Node", "Item"})
_SPACE = re.compile(r"^[a-z0-9_]{1,48}\Z")
#: An edge's content as one string, to see on the server whether somebody changed it.
_STAMP = "toString(toFloat(r.weight)) + ' ' + r.origin + ' ' + r.status"
#: Whether an id is one: text of one line.
_NAMED = "coalesce(n.id =~ '[^\\\\x00\\\\r\\\\n]{1,1024}', false)"


def labels(modality: str) -> tuple[str, ...]:
    """The labels of a modality beside ``Node``: ``image`` → ``Item``, ``Image``."""
    if not MODALITY.match(modality):
        raise InvalidNode(f"{modality!r} is no modality", remedy="use a lower-case word")
    label = "".join(part.capitalize() for part in re.split("[-_]", modality) if part)
    if modality in SEARCHED:
        return ("Item", label)
    if modality in KNOWN.values() or label not in _TAKEN:
        return (label,)
    return (f"{label}Kind",)


def relation(name: str) -> str:
    """A relation's name, if it is one."""
    if not RELATION.match(name):
        raise InvalidNode(
            f"{name!r} is not a relation name",
            remedy="use capital letters, digits and _, such as DESCRIBES or FOUND_IN",
        )
    return name


def vector_property(space: str) -> str:
    """The property that holds a space's vectors."""
    if not _SPACE.match(space):
        raise QueryError(f"{space!r} is no name of a space", remedy="use a-z, 0-9 and _")
    return f"vector_{space}"


def vector_index(space: str, modality: str) -> str:
    """The name of the vector index of a space and modality."""
    return f"{labels(modality)[-1].lower()}_{vector_property(space)}"


def _as_one(query: str) -> str:
    """The same rows as one record, a list of lists called ``rows``.

    A record costs the driver 20 µs whatever is in it, a row in a list 3.
    """
    head, _, named = query.rpartition("RETURN ")
    columns = ", ".join(re.findall(r"\bAS (\w+)", named))
    return f"{head}WITH {named.strip()}\nRETURN collect([{columns}]) AS rows\n"


# --- one store: revision, lock -----------------------------------------------------------

VERSION = "CALL dbms.components() YIELD name, versions WHERE name = 'Neo4j Kernel' RETURN versions"
NOTHING = "RETURN 1"
BEGIN = """
MERGE (m:__Meta {name: 'graph'})
ON CREATE SET m.store = randomUUID(), m.revision = 0, m.oldest_tombstone = 0, m.touched = true
RETURN m.store AS store
"""
META = """
MATCH (m:__Meta {name: 'graph'})
RETURN m.store AS store, m.revision AS revision, m.oldest_tombstone AS oldest, m.space AS space
"""
# writing any property, even the value it has, takes the node's lock until the transaction ends
LOCK = "MATCH (m:__Meta {name: 'graph'}) SET m.touched = true RETURN m.revision AS revision"
SET_REVISION = "MATCH (m:__Meta {name: 'graph'}) SET m.revision = $revision"
SET_STORE = "MATCH (m:__Meta {name: 'graph'}) SET m.store = $store"

# --- nodes -------------------------------------------------------------------------------

# all but vectors, as pairs
_PAIRS = "[k IN keys(n) WHERE NOT k STARTS WITH 'vector_' AND k <> 'folded' | [k, n[k]]] AS pairs"
GET = _as_one(f"UNWIND $ids AS id MATCH (n:Node {{id: id}}) RETURN {_PAIRS}")
LABELS = "UNWIND $ids AS id MATCH (n:Node {id: id}) RETURN id, labels(n) AS labels"
THERE = "UNWIND $ids AS id MATCH (n:Node {id: id}) RETURN n.id AS id"
NODES = _as_one(
    f"""
MATCH (n:Node) WHERE n.id > $after AND n.revision > $since
RETURN {_PAIRS} ORDER BY n.id LIMIT $limit
"""
)
NODES_OF = _as_one(
    f"""
MATCH (n:Node) WHERE n.modality = $modality AND n.id > $after
RETURN {_PAIRS} ORDER BY n.id LIMIT $limit
"""
)
CHANGED_NODES = _as_one(
    f"""
MATCH (n:Node) WHERE n.revision > $since AND n.id > ''
RETURN {_PAIRS} ORDER BY n.id
"""
)
NODE_COUNTS = "MATCH (n:Node) RETURN n.modality AS name, count(*) AS n"
IDS = _as_one(
    """
MATCH (n:Node) WHERE n.id > $after
RETURN n.id AS id, n.modality AS modality, n.text <> '' AS worded ORDER BY n.id LIMIT $limit
"""
)
DELETE_NODES = "UNWIND $ids AS id MATCH (n:Node {id: id}) DETACH DELETE n"


def put_nodes(modality: str) -> str:
    """Make or change the nodes of one modality; vectors are left as they are."""
    named = ":".join(labels(modality))
    return f"""
UNWIND $rows AS row
MERGE (n:Node {{id: row.id}})
SET n:{named}, n += row.values
"""


def relabel(old: str) -> str:
    """Take a former modality's labels off."""
    return f"UNWIND $ids AS id MATCH (n:Node {{id: id}}) REMOVE n:{':'.join(labels(old))}"


# --- edges -------------------------------------------------------------------------------

_EDGE = (
    "s.id AS src, type(r) AS type, d.id AS dst, r.weight AS weight, r.origin AS origin, "
    "r.status AS status, r.revision AS revision"
)
# edges derived from a model's vectors are copied there for people to look at, and not read back
_OURS = "r.derived IS NULL"
TYPES = "CALL db.relationshipTypes() YIELD relationshipType AS type RETURN type ORDER BY type"
EDGES = _as_one(
    f"""
MATCH (s:Node) WHERE s.id > $after
WITH s ORDER BY s.id LIMIT $limit
OPTIONAL MATCH (s)-[r]->(d:Node)
WHERE {_OURS} AND type(r) IN $types AND ($status IS NULL OR r.status = $status)
RETURN {_EDGE.replace("s.id AS src", "s.id AS src, r IS NOT NULL AS there")} ORDER BY src, type, dst
"""
)
INCIDENT = f"""
UNWIND $ids AS id
MATCH (n:Node {{id: id}})-[r]-(:Node)
WITH DISTINCT r, startNode(r) AS s, endNode(r) AS d WHERE {_OURS} AND type(r) IN $types
RETURN {_EDGE}
"""


def put_edges(name: str) -> str:
    """Make or change edges of one relation; equal ones are left, and not counted as changed.

    One that somebody edited is not equal to what its stamp says.
    ``there`` falls short of the rows where an end is not in the graph. A derived copy between the
    same ends makes way.
    """
    copies = ""
    if name == SIMILAR_TO:
        copies = f"CALL (s, d) {{ MATCH (s)-[r:{name}]->(d) WHERE NOT {_OURS} DELETE r }}"
    return f"""
UNWIND $rows AS row
MATCH (s:Node {{id: row.src}})
MATCH (d:Node {{id: row.dst}})
{copies}
MERGE (s)-[r:{relation(name)}]->(d)
WITH r, row, toString(row.weight) + ' ' + row.origin + ' ' + row.status AS stamp
FOREACH (_ IN CASE WHEN r.stamp = stamp AND {_STAMP} = stamp THEN [] ELSE [1] END |
  SET r.weight = row.weight, r.origin = row.origin, r.status = row.status,
      r.revision = $revision, r.stamp = stamp)
RETURN count(*) AS there, count(CASE WHEN r.revision = $revision THEN 1 END) AS changed
"""


def delete_edges(name: str) -> str:
    """Remove edges of one relation and tell which were there."""
    return f"""
UNWIND $rows AS row
MATCH (s:Node {{id: row.src}})-[r:{relation(name)}]->(d:Node {{id: row.dst}}) WHERE {_OURS}
DELETE r
RETURN DISTINCT row.src AS src, row.dst AS dst
"""


def changed_edges(name: str) -> str:
    """Edges of one relation written after a revision, by its index."""
    return _as_one(
        f"""
MATCH (s:Node)-[r:{relation(name)}]->(d:Node) WHERE r.revision > $since AND {_OURS}
RETURN {_EDGE} ORDER BY src, dst
"""
    )


def edge_count(name: str, *, inside: bool = False) -> str:
    """How many edges of one relation there are, from the database's own counts where it may be.

    These have those to nodes of others, too; only ``inside`` the graph they are counted one by one.
    """
    derived = f"WHERE {_OURS} " if name == SIMILAR_TO else ""
    end = "(:Node)" if inside else "()"
    return f"MATCH (:Node)-[r:{relation(name)}]->{end} {derived}RETURN count(r) AS n"


def undecided_count(name: str) -> str:
    """How many edges of one relation are only proposed, or rejected."""
    return (
        f"MATCH (:Node)-[r:{relation(name)}]->() WHERE r.status IN ['proposed', 'rejected'] "
        "RETURN r.status AS status, type(r) AS type, count(r) AS n"
    )


def edge_index(name: str) -> str:
    """The index by which changed edges of one relation are found."""
    name = relation(name)
    return f"CREATE RANGE INDEX revision_{name} IF NOT EXISTS FOR ()-[r:{name}]-() ON (r.revision)"


def edge_keys(name: str) -> str:
    """The ends of all edges of one relation, and their revisions."""
    return _as_one(
        f"""
MATCH (s:Node) WHERE s.id > $after
WITH s ORDER BY s.id LIMIT $limit
RETURN s.id AS src, [(s)-[r:{relation(name)}]->(d:Node) WHERE {_OURS}
    | [d.id, coalesce(r.revision, 0)]] AS dst ORDER BY src
"""
    )


def neighbours(direction: str) -> str:
    """Asserted edges of each id, strongest first."""
    arrows = {"out": ("-", "->"), "in": ("<-", "-"), "both": ("-", "-")}
    if direction not in arrows:
        raise QueryError(f"{direction!r} is no direction", remedy="use out, in or both")
    left, right = arrows[direction]
    return f"""
UNWIND $ids AS id
MATCH (n:Node {{id: id}})
CALL (n) {{
  MATCH (n){left}[r]{right}(:Node)
  WHERE r.status = 'asserted' AND {_OURS} AND type(r) IN $types
  WITH DISTINCT r, startNode(r) AS s, endNode(r) AS d
  RETURN {_EDGE} ORDER BY weight DESC, type, src, dst LIMIT $limit
}}
RETURN id, src, type, dst, weight, origin, status, revision
"""


TWO_HOP = """
MATCH (:Node {id: $id})-[a]->(:Node)-[b]->(n:Node)
WHERE a.status = 'asserted' AND b.status = 'asserted'  // derived copies have none
RETURN DISTINCT n.id AS id
"""


def paths(max_hops: int) -> str:
    """The strongest of the shortest paths of each pair, as node ids, relations and directions."""
    return f"""
UNWIND $pairs AS pair
MATCH (s:Node {{id: pair.source}}), (t:Node {{id: pair.target}})
CALL (s, t) {{
  MATCH p = allShortestPaths((s)-[*..{int(max_hops)}]-(t))
  WHERE all(r IN relationships(p) WHERE r.status = 'asserted' AND {_OURS} AND type(r) IN $types)
    AND all(n IN nodes(p) WHERE n:Node)
  WITH p, reduce(w = 1.0, r IN relationships(p) | w * r.weight) AS strength,
       [n IN nodes(p) | n.id] AS ids
  RETURN ids,
    [r IN relationships(p) | [type(r), startNode(r).id, r.weight]] AS steps
  ORDER BY strength DESC, ids LIMIT $limit
}}
RETURN pair.at AS at, ids, steps
"""


# --- tombstones and files ----------------------------------------------------------------

PUT_TOMBSTONES = """
UNWIND $rows AS row CREATE (:__Tombstone {revision: $revision, kind: row.kind, name: row.name})
"""
TOMBSTONES = """
MATCH (t:__Tombstone) WHERE t.revision > $since
RETURN t.kind AS kind, t.name AS name, t.revision AS revision
"""
# what is forgotten stays so, and what is yet to come is not forgotten in advance
PRUNE_TOMBSTONES = """
MATCH (m:__Meta {name: 'graph'}) SET m.touched = true
WITH m, CASE WHEN $before < m.revision THEN $before ELSE m.revision END AS before
SET m.oldest_tombstone =
  CASE WHEN before > m.oldest_tombstone THEN before ELSE m.oldest_tombstone END
WITH m.oldest_tombstone AS oldest
MATCH (t:__Tombstone) WHERE t.revision <= oldest DELETE t
"""
PUT_FILES = "UNWIND $rows AS row MERGE (f:__File {uri: row.uri}) SET f = row"
FILES = """
MATCH (f:__File) WHERE f.uri STARTS WITH $prefix
RETURN f.uri AS uri, f.size AS size, f.mtime_ns AS mtime_ns, f.sha256 AS sha256,
       f.refused AS refused
"""
FORGET_FILES = "UNWIND $uris AS uri MATCH (f:__File {uri: uri}) DELETE f"

# --- words -------------------------------------------------------------------------------

_PASS = (
    "($modality IS NULL OR node.modality = $modality) AND "
    "($lang IS NULL OR node.lang = $lang OR node.lang STARTS WITH $lang + '_')"
)
MATCHING = f"""
UNWIND $asked AS gram
CALL db.index.fulltext.queryNodes('words', gram.query) YIELD node
WHERE {_PASS}
RETURN gram.at AS at, count(*) AS n
"""
BEST_MATCHING = f"""
CALL db.index.fulltext.queryNodes('words', $any_of) YIELD node, score
WHERE {_PASS}
RETURN node.id AS id, node.folded AS folded ORDER BY score DESC, id LIMIT $limit
"""

# --- vectors -----------------------------------------------------------------------------

SPACES = "MATCH (s:__Space) RETURN properties(s) AS space ORDER BY s.name"
PUT_SPACE = """
MERGE (s:__Space {name: $name})
ON CREATE SET s += $values
RETURN properties(s) AS space
"""
USE_SPACE = "MATCH (m:__Meta {name: 'graph'}) SET m.space = $name"
DROP_SPACE = "MATCH (s:__Space {name: $name}) DELETE s"


def put_vectors(space: str) -> str:
    """Write vectors back to their nodes, as 32-bit floats."""
    return f"""
UNWIND $rows AS row
MATCH (n:Node {{id: row.id}})
CALL db.create.setNodeVectorProperty(n, '{vector_property(space)}', row.vector)
RETURN count(*) AS n
"""


def remove_vectors(space: str) -> str:
    """Take a space's vectors off its nodes, some at a time."""
    name = vector_property(space)
    return f"""
MATCH (n:Node) WHERE n.`{name}` IS NOT NULL
WITH n LIMIT $limit REMOVE n.`{name}` RETURN count(*) AS n
"""


# between ends that have such an edge of their own none is copied
PUT_DERIVED = f"""
UNWIND $rows AS row
MATCH (s:Node {{id: row.src}})
MATCH (d:Node {{id: row.dst}})
WHERE NOT EXISTS {{ MATCH (s)-[r:{SIMILAR_TO}]->(d) WHERE {_OURS} }}
MERGE (s)-[r:{SIMILAR_TO} {{derived: $space}}]->(d)
SET r.weight = row.weight
"""
#: Remove some of the copies of edges derived in other spaces.
REMOVE_DERIVED = f"""
MATCH (:Node)-[r:{SIMILAR_TO}]->() WHERE r.derived <> $space
WITH r LIMIT $limit DELETE r RETURN count(*) AS n
"""


def create_vector_index(space: str, modality: str, dim: int) -> str:
    """An exact-distance HNSW index: unquantised, with more links than the default."""
    return f"""
CREATE VECTOR INDEX `{vector_index(space, modality)}` IF NOT EXISTS
FOR (n:{labels(modality)[-1]}) ON (n.`{vector_property(space)}`)
OPTIONS {{indexConfig: {{
  `vector.dimensions`: {int(dim)}, `vector.similarity_function`: 'cosine',
  `vector.quantization.enabled`: false, `vector.hnsw.m`: 24, `vector.hnsw.ef_construction`: 200
}}}}
"""


def drop_vector_index(space: str, modality: str) -> str:
    """Forget the index of a space and modality."""
    return f"DROP INDEX `{vector_index(space, modality)}` IF EXISTS"


def nearest(space: str, modality: str, *, modern: bool) -> str:
    """Nearest vectors; the SEARCH clause where the server has it, else the procedure."""
    name = vector_index(space, modality)
    if modern:
        return f"""
CYPHER 25
MATCH (n:{labels(modality)[-1]})
SEARCH n IN (VECTOR INDEX `{name}` FOR $vector LIMIT $k) SCORE AS score
RETURN n.id AS id, score ORDER BY score DESC, id
"""
    return f"""
CALL db.index.vector.queryNodes('{name}', $k, $vector) YIELD node, score
RETURN node.id AS id, score ORDER BY score DESC, id
"""


# --- what others changed ------------------------------------------------------------------

# without a revision that was given to it, or an id, whatever was typed there instead
ADRIFT_NODES = f"""
MATCH (m:__Meta {{name: 'graph'}})
MATCH (n:Node|Item|Image|Text|Audio|Source|Category)
WHERE NOT coalesce(n.revision <= m.revision, false) OR NOT {_NAMED} OR NOT n:Node
RETURN elementId(n) AS element, labels(n) AS labels,
       [k IN keys(n) WHERE NOT k STARTS WITH 'vector_' AND k <> 'folded' | [k, n[k]]] AS pairs
"""
#: A node's strings, in the order in which they are compared.
COMPARED = (
    *("modality", "uri", "sha256", "media_type", "title", "text", "lang", "unit", "license"),
    "collection",
)
# strings joined, numbers apart, a collection's own keys as pairs, nulls where there are none: what
# a snapshot compares
SCAN = _as_one(
    f"""
MATCH (n:Node) WHERE n.id > $after
RETURN n.id AS id, n.revision AS revision,
  {" + $sep + ".join(f"coalesce(n.{name}, '')" for name in COMPARED)} AS words,
  CASE WHEN coalesce(n.start, n.end, n.width, n.height, n.duration) IS NULL THEN null
    ELSE [n.start, n.end, n.width, n.height, n.duration] END AS numbers,
  CASE WHEN all(k IN keys(n) WHERE k IN $reserved OR k STARTS WITH 'vector_') THEN null
    ELSE [k IN keys(n) WHERE NOT k IN $reserved AND NOT k STARTS WITH 'vector_' | [k, n[k]]]
  END AS own,
  n.properties AS rest
ORDER BY n.id LIMIT $limit
"""
)
ADOPT_NODES = """
UNWIND $rows AS row MATCH (n) WHERE elementId(n) = row.element
SET n += row.values  // a taken id first, then the label that forbids it
SET n:Node
"""


# edges that nobody stamped, or whose content is no longer what was stamped
ADRIFT_EDGES = f"""
MATCH (m:__Meta {{name: 'graph'}})
MATCH (s:Node)-[r]->(d:Node)
WHERE type(r) IN $types AND {_OURS}
  AND (NOT coalesce(r.revision <= m.revision, false)
    OR r.stamp IS NULL OR r.stamp <> coalesce({_STAMP}, ''))
RETURN DISTINCT type(r) AS type, s.id AS src, d.id AS dst
"""


def adopt_edges(name: str) -> str:
    """Stamp edges made or changed by others; of several of one relation one stays."""
    return f"""
UNWIND $rows AS row
MATCH (s:Node {{id: row.src}})-[r:{relation(name)}]->(d:Node {{id: row.dst}}) WHERE {_OURS}
WITH row, collect(r) AS found
FOREACH (double IN tail(found) | DELETE double)
WITH head(found) AS r
SET r.weight = CASE WHEN toFloat(r.weight) >= 0.0 AND toFloat(r.weight) < 1.0e300
      THEN toFloat(r.weight) ELSE 1.0 END,
    r.origin = coalesce(toString(r.origin), 'user'),
    r.status = CASE WHEN r.status IN ['asserted', 'proposed', 'rejected'] THEN r.status
      ELSE 'asserted' END,
    r.revision = $revision
SET r.stamp = {_STAMP}
"""


def wipe(limit: int = 10_000) -> str:
    """Remove some of all that is stored, migrations excepted; for tests and for starting anew."""
    return f"""
MATCH (n) WHERE NOT n:__Neo4jMigration
WITH n LIMIT {int(limit)} DETACH DELETE n RETURN count(*) AS n
"""


# --- migrations, in the layout of neo4j-migrations ----------------------------------------

APPLIED = """
MATCH (m:__Neo4jMigration) WHERE m.version <> 'BASELINE' AND m.migrationTarget IS NULL
RETURN m.version AS version, m.checksum AS checksum, m.description AS name ORDER BY m.version
"""
RECORD_MIGRATION = """
MERGE (l:__Meta {name: 'migrations'}) SET l.touched = true
WITH l WHERE NOT EXISTS { MATCH (:__Neo4jMigration {version: $version}) }
MERGE (p:__Neo4jMigration {version: $previous})
CREATE (m:__Neo4jMigration {version: $version, description: $description, type: 'CYPHER',
  source: $source, checksum: $checksum})
CREATE (p)-[:MIGRATED_TO {at: datetime({timezone: 'UTC'}), in: duration({milliseconds: $ms}),
  by: $by, connectedAs: $user}]->(m)
"""
AWAIT_INDEXES = "CALL db.awaitIndexes(300)"
INDEXES = "SHOW INDEXES YIELD name, type, state RETURN name, type, state"
