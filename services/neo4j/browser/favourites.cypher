// Categories and how they lie in one another
MATCH p = (:Category)-[:SUBCATEGORY_OF]->(:Category) RETURN p LIMIT 200;

// One picture with all that is linked to it
MATCH (i:Image) WHERE toLower(i.title) CONTAINS toLower('tiger')
WITH i LIMIT 1 MATCH p = (i)-[r]-(:Node) WHERE r.derived IS NULL RETURN p LIMIT 100;

// The shortest paths between two items
MATCH (a:Image {title: 'tiger'}), (b:Image {title: 'lion'})
WITH a, b LIMIT 1 MATCH p = allShortestPaths((a)-[*..4]-(b))
WHERE all(r IN relationships(p) WHERE r.derived IS NULL) RETURN p LIMIT 25;

// Words in any language
CALL db.index.fulltext.queryNodes('words', '老虎') YIELD node, score
RETURN node.caption AS caption, node.lang AS lang, labels(node) AS labels, score LIMIT 25;

// Links that were proposed and wait for a decision
MATCH p = (:Node)-[r]->(:Node) WHERE r.status = 'proposed' RETURN p LIMIT 100;

// Thumbnails to click on, while `graphretrieval serve` runs
MATCH (i:Image) WHERE i.thumbnail IS NOT NULL RETURN i.caption AS picture, i.thumbnail AS open LIMIT 25;

// What there is
MATCH (n:Node) RETURN n.modality AS modality, count(*) AS n ORDER BY n DESC;

// Spaces of vectors, and the one in use
MATCH (s:__Space) OPTIONAL MATCH (m:__Meta {space: s.name})
RETURN s.name AS space, s.dim AS dimensions, s.signature AS made_by, m IS NOT NULL AS in_use;

// What is like one picture, by the vectors of the model that was written back last
MATCH (i:Image) WHERE toLower(i.title) CONTAINS toLower('tiger')
WITH i LIMIT 1 MATCH p = (i)-[:SIMILAR_TO]-(:Image) RETURN p LIMIT 25;
