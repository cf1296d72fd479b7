-- What the user's commands said of a content. Keyed by content, so that a move or a copy asks nobody again.
-- version: what the user calls the command's version. line: digits of its command line; a failure is tried again with another.
-- redacted: it was asked without text and paths. again: it is to be asked again, its word counts until then.
-- said: a list of {"field", "values", "confidence"}.
CREATE TABLE command_answers (
    content_hash BLOB NOT NULL CHECK (length(content_hash) = 32),
    command      TEXT NOT NULL,
    version      TEXT NOT NULL,
    line         TEXT NOT NULL,
    redacted     INTEGER NOT NULL CHECK (redacted IN (0, 1)),
    again        INTEGER NOT NULL DEFAULT 0 CHECK (again IN (0, 1)),
    outcome      TEXT NOT NULL CHECK (outcome IN ('answered', 'failed')),
    said         TEXT NOT NULL DEFAULT '[]' CHECK (json_type(said) = 'array'),
    problem      TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (content_hash, command)
) STRICT, WITHOUT ROWID;

-- Documents about which commands may have to be asked. Empty where there is no command.
CREATE TABLE to_ask (
    document_id INTEGER PRIMARY KEY
) STRICT;

-- What may be told to a command changes with a document's privacy, whoever changes that. No OR IGNORE: the conflict clause of
-- the statement that fires a trigger overrides the trigger's own.
CREATE TRIGGER annotations_privacy_set AFTER INSERT ON annotations WHEN NEW.field = 'privacy'
BEGIN
    INSERT INTO to_ask (document_id) SELECT NEW.document_id
    WHERE NOT EXISTS (SELECT 1 FROM to_ask WHERE document_id = NEW.document_id);
END;

CREATE TRIGGER annotations_privacy_change AFTER UPDATE OF value ON annotations WHEN NEW.field = 'privacy'
BEGIN
    INSERT INTO to_ask (document_id) SELECT NEW.document_id
    WHERE NOT EXISTS (SELECT 1 FROM to_ask WHERE document_id = NEW.document_id);
END;

CREATE TRIGGER annotations_privacy_gone AFTER DELETE ON annotations WHEN OLD.field = 'privacy'
BEGIN
    INSERT INTO to_ask (document_id) SELECT OLD.document_id
    WHERE NOT EXISTS (SELECT 1 FROM to_ask WHERE document_id = OLD.document_id);
END;

-- For review: the least sure words first. What files say of themselves is sure, and not in it.
CREATE INDEX annotations_unsure ON annotations (confidence, document_id) WHERE confidence < 1;
