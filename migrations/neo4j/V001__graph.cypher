// Ids are the project's own; a database's internal ids are never used.
CREATE CONSTRAINT node_id IF NOT EXISTS FOR (n:Node) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT file_uri IF NOT EXISTS FOR (f:__File) REQUIRE f.uri IS UNIQUE;
CREATE CONSTRAINT meta_name IF NOT EXISTS FOR (m:__Meta) REQUIRE m.name IS UNIQUE;
CREATE CONSTRAINT space_name IF NOT EXISTS FOR (s:__Space) REQUIRE s.name IS UNIQUE;

// What changed since a revision is read by these, and by one index for each relation.
CREATE RANGE INDEX node_revision IF NOT EXISTS FOR (n:Node) ON (n.revision);
CREATE RANGE INDEX tombstone_revision IF NOT EXISTS FOR (t:__Tombstone) ON (t.revision);

// People and filters look for these.
CREATE RANGE INDEX node_modality IF NOT EXISTS FOR (n:Node) ON (n.modality, n.id);
CREATE RANGE INDEX node_title IF NOT EXISTS FOR (n:Node) ON (n.title);
