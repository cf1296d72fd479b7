-- What became stricter is taken back from the stores (S8).
-- recalled_at: since when a store is to delete the object at once, without the clean-up's grace.
-- was_current: it was the document's current object then, and is as good as it was for as long as nobody touches it.
ALTER TABLE remote_objects ADD COLUMN recalled_at INTEGER;
ALTER TABLE remote_objects ADD COLUMN was_current INTEGER NOT NULL DEFAULT 0 CHECK (was_current IN (0, 1));
CREATE INDEX remote_objects_recalled ON remote_objects (store_id) WHERE recalled_at IS NOT NULL;

-- Taken back while it was being sent: whoever sends it finds that out only afterwards. From here it goes nowhere but away,
-- whatever step its sender believes it is at.
CREATE TRIGGER remote_objects_recalled_stays BEFORE UPDATE OF state ON remote_objects
WHEN OLD.recalled_at IS NOT NULL AND NEW.recalled_at IS NOT NULL AND NEW.state <> 'deleted'
BEGIN
    SELECT RAISE(IGNORE);
END;

-- How far documents may leave, by the word on the card and by the rules together; one that may leave as it is has no row.
CREATE TABLE withheld (
    document_id INTEGER PRIMARY KEY,
    privacy     TEXT NOT NULL CHECK (privacy IN ('redacted', 'local_only'))
) STRICT;

-- Documents of which that has to be found out anew: another place, another kind of source, other rules.
CREATE TABLE to_settle (
    document_id INTEGER PRIMARY KEY
) STRICT;

-- Documents that a rule holds back, of which stores have something. decision_id: the decision that this waits for.
CREATE TABLE recalls (
    document_id INTEGER PRIMARY KEY,
    library_id  INTEGER NOT NULL,
    privacy     TEXT NOT NULL CHECK (privacy IN ('redacted', 'local_only')),
    decision_id INTEGER REFERENCES decisions ON DELETE CASCADE
) STRICT;
CREATE INDEX recalls_by_decision ON recalls (decision_id);

-- Only where there are rules: without them a place says nothing about privacy. What is new is marked by files.rs: a trigger
-- there would cost every first scan.
CREATE TRIGGER files_place_privacy AFTER UPDATE OF dir_id, name, document_id ON files
WHEN (OLD.dir_id <> NEW.dir_id OR OLD.name <> NEW.name OR OLD.document_id IS NOT NEW.document_id)
     AND EXISTS (SELECT 1 FROM settings WHERE key = 'privacy.rules')
BEGIN
    INSERT INTO to_settle (document_id) SELECT OLD.document_id WHERE OLD.document_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM to_settle WHERE document_id = OLD.document_id);
    INSERT INTO to_settle (document_id) SELECT NEW.document_id WHERE NEW.document_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM to_settle WHERE document_id = NEW.document_id);
END;

CREATE TRIGGER files_gone_privacy AFTER DELETE ON files
WHEN OLD.document_id IS NOT NULL AND EXISTS (SELECT 1 FROM settings WHERE key = 'privacy.rules')
BEGIN
    INSERT INTO to_settle (document_id) SELECT OLD.document_id
    WHERE NOT EXISTS (SELECT 1 FROM to_settle WHERE document_id = OLD.document_id);
END;

CREATE TRIGGER annotations_type_set AFTER INSERT ON annotations
WHEN NEW.field IN ('source_type', 'privacy')
BEGIN
    INSERT INTO to_settle (document_id) SELECT NEW.document_id
    WHERE NOT EXISTS (SELECT 1 FROM to_settle WHERE document_id = NEW.document_id);
END;

CREATE TRIGGER annotations_type_change AFTER UPDATE OF value, confidence ON annotations
WHEN NEW.field IN ('source_type', 'privacy')
BEGIN
    INSERT INTO to_settle (document_id) SELECT NEW.document_id
    WHERE NOT EXISTS (SELECT 1 FROM to_settle WHERE document_id = NEW.document_id);
END;

CREATE TRIGGER annotations_type_gone AFTER DELETE ON annotations
WHEN OLD.field IN ('source_type', 'privacy')
BEGIN
    INSERT INTO to_settle (document_id) SELECT OLD.document_id
    WHERE NOT EXISTS (SELECT 1 FROM to_settle WHERE document_id = OLD.document_id);
END;

-- What was written on cards so far stopped things from leaving and took nothing back.
INSERT INTO to_settle (document_id) SELECT DISTINCT document_id FROM annotations WHERE field = 'privacy';

-- One more kind of decision. As in 0002: SQLite cannot change a CHECK constraint, and foreign keys are off around this.
CREATE TABLE decisions_new (
    decision_id INTEGER PRIMARY KEY,
    library_id  INTEGER NOT NULL REFERENCES libraries ON DELETE CASCADE,
    kind        TEXT NOT NULL CHECK (kind IN ('mass-missing', 'mass-change', 'mass-recall')),
    state       TEXT NOT NULL CHECK (state IN ('open', 'approved', 'rejected', 'settled')),
    facts       TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
INSERT INTO decisions_new (decision_id, library_id, kind, state, facts, created_at, updated_at)
SELECT decision_id, library_id, kind, state, facts, created_at, updated_at FROM decisions;
DROP TABLE decisions;
ALTER TABLE decisions_new RENAME TO decisions;
CREATE UNIQUE INDEX decisions_one_open ON decisions (library_id, kind) WHERE state = 'open';
