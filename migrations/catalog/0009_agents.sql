-- Several commands may say something of one field: each word is kept with who said it. An agent is the name of a command;
-- of people and of what was read out of path or file there is one word a field, and no name.
CREATE TABLE annotations_new (
    document_id INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    field       TEXT NOT NULL,
    source      TEXT NOT NULL CHECK (source IN ('path', 'extractor', 'command', 'person')),
    agent       TEXT NOT NULL DEFAULT '',
    value       TEXT NOT NULL CHECK (json_type(value) = 'array'),
    confidence  REAL NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (document_id, field, source, agent)
) STRICT, WITHOUT ROWID;

INSERT INTO annotations_new (document_id, field, source, value, confidence, updated_at)
SELECT document_id, field, source, value, confidence, updated_at FROM annotations;

DROP TABLE annotations;
ALTER TABLE annotations_new RENAME TO annotations;

CREATE TRIGGER annotations_touch AFTER UPDATE OF value ON annotations WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE annotations SET updated_at = max(OLD.updated_at + 1, CAST(unixepoch('subsec') * 1000 AS INTEGER))
    WHERE document_id = NEW.document_id AND field = NEW.field AND source = NEW.source AND agent = NEW.agent;
END;
