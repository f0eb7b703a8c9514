"""Places media come from: each file knows one layout or format."""
