-- The store that this one is a copy of: one row, or none.
CREATE TABLE copied (identity TEXT NOT NULL);
