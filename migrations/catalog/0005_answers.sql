-- What `explain` and `history` need beyond the first shape. First scans pay nothing for it: no trigger fires when a file
-- is inserted, and a document's first operation, which comes with the document itself, is no event of its own.

-- Why the file was read again the last time: words of model::LookCause, comma between them; null where it never was.
ALTER TABLE files ADD COLUMN looked_because TEXT;

CREATE INDEX documents_by_origin ON documents (origin_id) WHERE origin_id IS NOT NULL;

-- Of an event about a whole library. Of one about a store: the store's name then, since operations are forgotten in time.
ALTER TABLE events ADD COLUMN library_id INTEGER;
ALTER TABLE events ADD COLUMN channel TEXT;
CREATE INDEX events_of_library ON events (library_id, event_id) WHERE library_id IS NOT NULL;
CREATE INDEX events_of_stores ON events (event_id) WHERE what = 'store';

-- Numbers are given again after their row is gone: its events must not become another's.
CREATE TRIGGER files_gone_event AFTER DELETE ON files
BEGIN
    UPDATE events SET file_id = NULL WHERE file_id = OLD.file_id;
END;

CREATE TRIGGER libraries_gone_event AFTER DELETE ON libraries
BEGIN
    DELETE FROM events WHERE library_id = OLD.library_id;
END;

-- How a root stood when somebody concluded something from it.
CREATE TRIGGER libraries_availability_event AFTER UPDATE OF availability, reason ON libraries
WHEN OLD.availability <> NEW.availability OR OLD.reason IS NOT NEW.reason
BEGIN
    INSERT INTO events (at, library_id, what, before, after)
    VALUES (NEW.updated_at, NEW.library_id, 'availability',
            OLD.availability || coalesce('(' || OLD.reason || ')', ''), NEW.availability || coalesce('(' || NEW.reason || ')', ''));
END;

-- L15: a copy that was edited apart, or became a copy of something else. Before and after are numbers of documents; where one
-- is deleted, because its file turned out to be another document's, what was told of it is told of that one (documents.rs).
CREATE TRIGGER files_document_event AFTER UPDATE OF document_id ON files
WHEN OLD.document_id IS NOT NEW.document_id AND OLD.document_id IS NOT NULL
BEGIN
    INSERT INTO events (at, file_id, document_id, what, before, after, cause)
    VALUES (NEW.updated_at, NEW.file_id, NEW.document_id, 'document',
            OLD.document_id, NEW.document_id,
            CASE WHEN NEW.document_id IS NULL THEN 'no file any more'
                 WHEN (SELECT origin_id FROM documents WHERE document_id = NEW.document_id) = OLD.document_id THEN 'edited apart'
                 ELSE 'same content' END);
END;

-- hex() of NULL is an empty text, not NULL: a first content looked like a change.
DROP TRIGGER files_content_event;
CREATE TRIGGER files_content_event AFTER UPDATE OF content_hash ON files WHEN OLD.content_hash IS NOT NEW.content_hash
BEGIN
    INSERT INTO events (at, file_id, document_id, what, before, after, cause)
    VALUES (NEW.updated_at, NEW.file_id, NEW.document_id, 'content',
            nullif(lower(hex(OLD.content_hash)), ''), nullif(lower(hex(NEW.content_hash)), ''), NULL);
END;
UPDATE events SET before = nullif(before, ''), after = nullif(after, '') WHERE what = 'content' AND '' IN (before, after);

-- Status error, and its end.
CREATE TRIGGER file_problems_event AFTER INSERT ON file_problems WHEN NEW.file_id IS NOT NULL
BEGIN
    INSERT INTO events (at, file_id, document_id, what, before, after, cause)
    VALUES (NEW.updated_at, NEW.file_id, (SELECT document_id FROM files WHERE file_id = NEW.file_id), 'problem', NULL, NEW.kind, NEW.message);
END;

CREATE TRIGGER file_problems_change_event AFTER UPDATE ON file_problems
WHEN NEW.file_id IS NOT NULL AND (OLD.file_id IS NOT NEW.file_id OR OLD.kind <> NEW.kind OR OLD.message <> NEW.message)
BEGIN
    INSERT INTO events (at, file_id, document_id, what, before, after, cause)
    VALUES (NEW.updated_at, NEW.file_id, (SELECT document_id FROM files WHERE file_id = NEW.file_id), 'problem', OLD.kind, NEW.kind, NEW.message);
END;

-- A row that goes has no time of its own.
CREATE TRIGGER file_problems_over_event AFTER DELETE ON file_problems WHEN OLD.file_id IS NOT NULL
BEGIN
    INSERT INTO events (at, file_id, document_id, what, before, after, cause)
    SELECT max(OLD.updated_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)), file_id, document_id, 'problem', OLD.kind, NULL, NULL
    FROM files WHERE file_id = OLD.file_id;
END;

CREATE TRIGGER enrichments_event AFTER INSERT ON enrichments WHEN NEW.outcome = 'failed'
BEGIN
    INSERT INTO events (at, document_id, what, before, after, cause)
    SELECT NEW.updated_at, document_id, 'text', NULL, NEW.outcome, NEW.problem_message FROM documents
    WHERE substr(content_hash, 1, 8) = substr(NEW.content_hash, 1, 8) AND content_hash = NEW.content_hash;
END;

CREATE TRIGGER enrichments_change_event AFTER UPDATE OF outcome ON enrichments
WHEN OLD.outcome <> NEW.outcome AND (NEW.outcome = 'failed' OR OLD.outcome = 'failed')
BEGIN
    INSERT INTO events (at, document_id, what, before, after, cause)
    SELECT NEW.updated_at, document_id, 'text', OLD.outcome, NEW.outcome, NEW.problem_message FROM documents
    WHERE substr(content_hash, 1, 8) = substr(NEW.content_hash, 1, 8) AND content_hash = NEW.content_hash;
END;

-- One event stands for all documents that a new store puts in line, and for all objects that are forgotten with one.
CREATE TRIGGER stores_event AFTER INSERT ON stores
BEGIN
    INSERT INTO events (at, what, after, channel)
    VALUES (NEW.created_at, 'store', 'added', (SELECT name FROM channels WHERE channel_id = NEW.store_id));
END;

-- On channels: a store goes with its channel, whose name is gone by then. remove() has no time to give.
CREATE TRIGGER stores_gone_event BEFORE DELETE ON channels WHEN OLD.kind = 'store'
BEGIN
    INSERT INTO events (at, what, before, channel)
    VALUES (max(OLD.updated_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)), 'store', 'added', OLD.name);
END;

CREATE TRIGGER outbox_pending_event AFTER INSERT ON outbox
WHEN NEW.kind = 'mirror' AND (SELECT created_at FROM documents WHERE document_id = NEW.document_id) < NEW.created_at
     AND (SELECT created_at FROM stores WHERE store_id = NEW.channel_id) < NEW.created_at
BEGIN
    INSERT INTO events (at, document_id, what, before, after, channel)
    VALUES (NEW.created_at, NEW.document_id, NEW.kind || ' ' || NEW.op_id, NULL, NEW.state,
            (SELECT name FROM channels WHERE channel_id = NEW.channel_id));
END;

-- Every change of an operation's state is one of its document's status. What was sent and is done says so itself: its
-- object became current.
DROP TRIGGER outbox_event;
CREATE TRIGGER outbox_event AFTER UPDATE OF state ON outbox
WHEN OLD.state <> NEW.state AND (NEW.state IN ('dead', 'superseded', 'discarded')
     OR (NEW.kind = 'mirror' AND (NEW.state <> 'done' OR NEW.note IS NOT NULL)))
BEGIN
    INSERT INTO events (at, document_id, what, before, after, cause, channel)
    VALUES (CASE WHEN NEW.updated_at = OLD.updated_at THEN max(OLD.updated_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)) ELSE NEW.updated_at END,
            NEW.document_id, NEW.kind || ' ' || NEW.op_id, OLD.state, NEW.state,
            CASE WHEN NEW.state IN ('done', 'discarded') THEN NEW.note ELSE NEW.error_text END,
            (SELECT name FROM channels WHERE channel_id = NEW.channel_id));
END;

DROP TRIGGER remote_objects_event;
CREATE TRIGGER remote_objects_event AFTER UPDATE OF state ON remote_objects WHEN OLD.state <> NEW.state
BEGIN
    INSERT INTO events (at, document_id, what, before, after, cause, channel)
    VALUES (NEW.updated_at, NEW.document_id, NEW.payload || ' ' || NEW.object_id, OLD.state, NEW.state, NEW.cause,
            (SELECT name FROM channels WHERE channel_id = NEW.store_id));
END;
