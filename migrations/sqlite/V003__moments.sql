-- Which write made the newest revision, and in which life of the store: revisions begin again when it
-- is cleared. Files that went different ways from one backup may share a revision, but never a write.
INSERT INTO meta VALUES ('write', random()), ('life', random());
