-- Characters and pairs of them in runs of Chinese, which trigrams do not find; nothing of other texts.
CREATE VIRTUAL TABLE han USING fts5 (
  grams, tokenize = 'unicode61 remove_diacritics 0', detail = none
);
INSERT INTO han (rowid, grams)
  SELECT rowid, han_grams(folded) FROM words WHERE han_grams(folded) != '';
