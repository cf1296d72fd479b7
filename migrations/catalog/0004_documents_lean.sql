-- A first scan writes a row here for every file. Two of the table's five indexes were not worth their share of it:
-- that of ULIDs, which nobody looks a document up by (128 bits, 80 of them random, need no index to be unique), and one of
-- the two partial ones of what waits: nearly always a document waits for both or for neither.
-- UNIQUE cannot be taken from a column: the table is made anew, as in 0002, foreign keys switched off by the runner.

CREATE TABLE documents_new (
    document_id  INTEGER PRIMARY KEY,
    ulid         TEXT NOT NULL,
    content_hash BLOB CHECK (length(content_hash) = 32),
    size         INTEGER NOT NULL,
    origin_id    INTEGER REFERENCES documents,
    copyless_since INTEGER,
    enrich_stale INTEGER NOT NULL DEFAULT 1 CHECK (enrich_stale IN (0, 1)),
    search_stale INTEGER NOT NULL DEFAULT 1 CHECK (search_stale IN (0, 1)),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;

INSERT INTO documents_new
    (document_id, ulid, content_hash, size, origin_id, copyless_since, enrich_stale, search_stale, created_at, updated_at)
SELECT document_id, ulid, content_hash, size, origin_id, copyless_since, enrich_stale, search_stale, created_at, updated_at
FROM documents;

DROP TABLE documents;
ALTER TABLE documents_new RENAME TO documents;

CREATE INDEX documents_by_content ON documents (substr(content_hash, 1, 8));
CREATE INDEX documents_without_copy ON documents (copyless_since) WHERE copyless_since IS NOT NULL;
-- A query that asks for one of the two by = 1 is served by it.
CREATE INDEX documents_stale ON documents (document_id) WHERE enrich_stale = 1 OR search_stale = 1;

CREATE TRIGGER documents_touch AFTER UPDATE OF content_hash, origin_id ON documents WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE documents SET updated_at = max(OLD.updated_at + 1, CAST(unixepoch('subsec') * 1000 AS INTEGER)) WHERE document_id = NEW.document_id;
END;
