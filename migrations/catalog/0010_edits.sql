-- What people changed on the cards of documents (E4). Each command is one edit, with what stood there before, so that it can be
-- taken back.
-- said: the command in words. undoes: the edit that this one takes back. undone_at: since when it is taken back itself.
CREATE TABLE edits (
    edit_id   INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    said      TEXT NOT NULL,
    undoes    INTEGER REFERENCES edits,
    undone_at INTEGER
) STRICT;

-- before, after: the person's word; null where there was none, or is none since. A document that is named here is never
-- discarded (documents.rs): its number would be given to another one.
CREATE TABLE edit_changes (
    edit_id     INTEGER NOT NULL REFERENCES edits,
    document_id INTEGER NOT NULL REFERENCES documents,
    field       TEXT NOT NULL,
    before      TEXT CHECK (json_type(before) = 'array'),
    after       TEXT CHECK (json_type(after) = 'array'),
    PRIMARY KEY (edit_id, document_id, field)
) STRICT, WITHOUT ROWID;
CREATE INDEX edit_changes_of_document ON edit_changes (document_id, edit_id);
