-- A renamed directory is known by its inode number, and with it, unread, what is in it. Null where the number means nothing
-- or was not seen yet. Few rows: an index of the files' own numbers would cost every first scan a page for each file.
-- Not called as the files' own is: the two tables are joined everywhere.
ALTER TABLE dirs ADD COLUMN dir_inode INTEGER;
CREATE INDEX dirs_by_inode ON dirs (library_id, dir_inode) WHERE dir_inode IS NOT NULL;

-- What stood at a file's place before something else did, until a scan of the whole library has drawn its conclusions: it
-- may stand elsewhere by now. Kept here and not in memory, for a scan that is cut off is made good by the next.
CREATE TABLE replaced (
    file_id      INTEGER PRIMARY KEY REFERENCES files ON DELETE CASCADE,
    scan_id      INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    size         INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    ctime_ns     INTEGER NOT NULL,
    inode        INTEGER NOT NULL,
    content_hash BLOB,
    link_target  BLOB,
    document_id  INTEGER REFERENCES documents ON DELETE SET NULL
) STRICT;
CREATE INDEX replaced_by_content ON replaced (content_hash) WHERE content_hash IS NOT NULL;
CREATE INDEX replaced_by_document ON replaced (document_id) WHERE document_id IS NOT NULL;
