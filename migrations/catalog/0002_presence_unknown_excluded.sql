-- A file may also be unknown (its directory could not be looked at) or excluded (a rule leaves it out).
-- SQLite cannot change a CHECK constraint: the table is made anew and takes rows, indexes, triggers and the foreign
-- keys of its children (file_problems, decision_files) along. The runner has switched foreign keys off: with them on,
-- DROP TABLE would silently delete the children's rows. https://www.sqlite.org/lang_altertable.html#otheralter

CREATE TABLE files_new (
    file_id       INTEGER PRIMARY KEY,
    dir_id        INTEGER NOT NULL REFERENCES dirs ON DELETE CASCADE,
    name          BLOB NOT NULL,
    nfc_key       BLOB,
    fold_key      BLOB,
    kind          TEXT NOT NULL CHECK (kind IN ('file', 'symlink')),
    size          INTEGER NOT NULL,
    mtime_ns      INTEGER NOT NULL,
    ctime_ns      INTEGER NOT NULL,
    inode         INTEGER NOT NULL,
    young         INTEGER NOT NULL CHECK (young IN (0, 1)),
    content_hash  BLOB CHECK (length(content_hash) = 32),
    link_target   BLOB,
    document_id   INTEGER REFERENCES documents,
    presence      TEXT NOT NULL CHECK (presence IN ('present', 'missing', 'unknown', 'excluded')),
    evidence      TEXT,
    missing_since INTEGER,
    missing_scans INTEGER NOT NULL DEFAULT 0,
    appeared_scan INTEGER NOT NULL,
    first_seen    INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    hashed_at     INTEGER,
    updated_at    INTEGER NOT NULL
) STRICT;

INSERT INTO files_new
    (file_id, dir_id, name, nfc_key, fold_key, kind, size, mtime_ns, ctime_ns, inode, young, content_hash, link_target,
     document_id, presence, evidence, missing_since, missing_scans, appeared_scan, first_seen, seen_at, hashed_at, updated_at)
SELECT
     file_id, dir_id, name, nfc_key, fold_key, kind, size, mtime_ns, ctime_ns, inode, young, content_hash, link_target,
     document_id, presence, evidence, missing_since, missing_scans, appeared_scan, first_seen, seen_at, hashed_at, updated_at
FROM files;

DROP TABLE files;
ALTER TABLE files_new RENAME TO files;

CREATE UNIQUE INDEX files_by_place ON files (dir_id, name);
CREATE INDEX files_by_document ON files (document_id);
CREATE INDEX files_not_present ON files (presence) WHERE presence <> 'present';

CREATE TRIGGER files_presence_event AFTER UPDATE OF presence ON files WHEN OLD.presence <> NEW.presence
BEGIN
    INSERT INTO events (at, file_id, document_id, what, before, after, cause)
    VALUES (NEW.updated_at, NEW.file_id, NEW.document_id, 'presence', OLD.presence, NEW.presence, NEW.evidence);
END;

CREATE TRIGGER files_content_event AFTER UPDATE OF content_hash ON files WHEN OLD.content_hash IS NOT NEW.content_hash
BEGIN
    INSERT INTO events (at, file_id, document_id, what, before, after, cause)
    VALUES (NEW.updated_at, NEW.file_id, NEW.document_id, 'content', lower(hex(OLD.content_hash)), lower(hex(NEW.content_hash)), NULL);
END;

CREATE TRIGGER files_place_event AFTER UPDATE OF dir_id, name ON files WHEN OLD.dir_id <> NEW.dir_id OR OLD.name <> NEW.name
BEGIN
    INSERT INTO events (at, file_id, document_id, what, before, after, cause)
    VALUES (NEW.updated_at, NEW.file_id, NEW.document_id, 'moved',
            lower(hex((SELECT path FROM dirs WHERE dir_id = OLD.dir_id) || x'2F' || OLD.name)),
            lower(hex((SELECT path FROM dirs WHERE dir_id = NEW.dir_id) || x'2F' || NEW.name)), 'same content');
END;

CREATE TRIGGER files_touch AFTER UPDATE ON files WHEN NEW.updated_at = OLD.updated_at AND NEW.presence <> OLD.presence
BEGIN
    UPDATE files SET updated_at = max(OLD.updated_at + 1, CAST(unixepoch('subsec') * 1000 AS INTEGER)) WHERE file_id = NEW.file_id;
END;
