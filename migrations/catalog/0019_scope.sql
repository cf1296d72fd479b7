-- What of everything is for a store (S1): {"include": [..], "exclude": [..]}; NULL where everything is.
-- scoped_seq: up to which operation it was asked whether its document is.
ALTER TABLE stores ADD COLUMN scope TEXT CHECK (scope IS NULL OR json_valid(scope));
ALTER TABLE stores ADD COLUMN scoped_seq INTEGER NOT NULL DEFAULT 0;

-- Documents of which that has to be found out anew: another place, one place less, another kind of source. Only where some
-- store has a scope. A new place is marked by files.rs: a trigger there would cost every first scan.
CREATE TABLE to_scope (
    document_id INTEGER PRIMARY KEY
) STRICT;

CREATE TRIGGER files_place_scope AFTER UPDATE OF dir_id, name, document_id ON files
WHEN (OLD.dir_id <> NEW.dir_id OR OLD.name <> NEW.name OR OLD.document_id IS NOT NEW.document_id)
     AND EXISTS (SELECT 1 FROM stores WHERE scope IS NOT NULL)
BEGIN
    INSERT INTO to_scope (document_id) SELECT OLD.document_id WHERE OLD.document_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM to_scope WHERE document_id = OLD.document_id);
    INSERT INTO to_scope (document_id) SELECT NEW.document_id WHERE NEW.document_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM to_scope WHERE document_id = NEW.document_id);
END;

CREATE TRIGGER files_gone_scope AFTER DELETE ON files
WHEN OLD.document_id IS NOT NULL AND EXISTS (SELECT 1 FROM stores WHERE scope IS NOT NULL)
BEGIN
    INSERT INTO to_scope (document_id) SELECT OLD.document_id
    WHERE NOT EXISTS (SELECT 1 FROM to_scope WHERE document_id = OLD.document_id);
END;

CREATE TRIGGER annotations_scope_set AFTER INSERT ON annotations
WHEN NEW.field = 'source_type' AND EXISTS (SELECT 1 FROM stores WHERE scope IS NOT NULL)
BEGIN
    INSERT INTO to_scope (document_id) SELECT NEW.document_id
    WHERE NOT EXISTS (SELECT 1 FROM to_scope WHERE document_id = NEW.document_id);
END;

CREATE TRIGGER annotations_scope_change AFTER UPDATE OF value, confidence ON annotations
WHEN NEW.field = 'source_type' AND EXISTS (SELECT 1 FROM stores WHERE scope IS NOT NULL)
BEGIN
    INSERT INTO to_scope (document_id) SELECT NEW.document_id
    WHERE NOT EXISTS (SELECT 1 FROM to_scope WHERE document_id = NEW.document_id);
END;

CREATE TRIGGER annotations_scope_gone AFTER DELETE ON annotations
WHEN OLD.field = 'source_type' AND EXISTS (SELECT 1 FROM stores WHERE scope IS NOT NULL)
BEGIN
    INSERT INTO to_scope (document_id) SELECT OLD.document_id
    WHERE NOT EXISTS (SELECT 1 FROM to_scope WHERE document_id = OLD.document_id);
END;
