-- Nodes and edges are the only truth; everything else can be made from them again.
CREATE TABLE nodes (
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  modality TEXT NOT NULL,
  uri TEXT, sha256 TEXT, media_type TEXT, title TEXT, text TEXT, lang TEXT,
  start REAL, "end" REAL, unit TEXT,
  width INTEGER, height INTEGER, duration REAL,
  license TEXT, collection TEXT,
  properties TEXT NOT NULL DEFAULT '{}',
  revision INTEGER NOT NULL
);
CREATE INDEX nodes_modality ON nodes (modality, id);
CREATE INDEX nodes_revision ON nodes (revision);
CREATE INDEX nodes_uri ON nodes (uri);

CREATE TABLE edges (
  src INTEGER NOT NULL REFERENCES nodes (key),
  type TEXT NOT NULL,
  dst INTEGER NOT NULL REFERENCES nodes (key),
  weight REAL NOT NULL,
  origin TEXT NOT NULL,
  status TEXT NOT NULL,
  revision INTEGER NOT NULL,
  PRIMARY KEY (src, type, dst)
) WITHOUT ROWID;
CREATE INDEX edges_in ON edges (dst, type, src);
CREATE INDEX edges_revision ON edges (revision);

CREATE TABLE files (
  uri TEXT PRIMARY KEY,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  refused TEXT
) WITHOUT ROWID;

-- What was deleted, without its content: node ids, and edges as JSON [src, type, dst].
CREATE TABLE tombstones (
  revision INTEGER NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL
);
CREATE INDEX tombstones_revision ON tombstones (revision);

CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('revision', 0), ('oldest_tombstone', 0);

-- Titles and texts folded (NFKC, case, simplified characters) for search in any language.
CREATE VIRTUAL TABLE words USING fts5 (folded, tokenize = 'trigram');
