// Titles and texts folded (NFKC, case, simplified characters); pairs of Chinese characters are
// indexed, and whole words of other scripts.
CREATE FULLTEXT INDEX words IF NOT EXISTS FOR (n:Node) ON EACH [n.folded]
OPTIONS {indexConfig: {`fulltext.analyzer`: 'cjk', `fulltext.eventually_consistent`: false}};
