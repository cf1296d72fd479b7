-- The first shape of the catalogue. Times are milliseconds since 1970-01-01 UTC unless a name ends in _ns.
-- Application code sets updated_at itself; the *_touch triggers are there for every other hand.

CREATE TABLE settings (
    key        TEXT PRIMARY KEY,
    value      TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- counts: how many files stand how, as the last scan left them; null where somebody has changed that since.
CREATE TABLE libraries (
    library_id         INTEGER PRIMARY KEY,
    ulid               TEXT NOT NULL UNIQUE,
    name               TEXT NOT NULL UNIQUE,
    root               BLOB NOT NULL,
    has_marker         INTEGER NOT NULL CHECK (has_marker IN (0, 1)),
    marker_generation  INTEGER NOT NULL,
    identity           TEXT NOT NULL,
    availability       TEXT NOT NULL CHECK (availability IN ('available', 'degraded', 'unavailable')),
    reason             TEXT,
    availability_since INTEGER NOT NULL,
    last_seen          INTEGER,
    last_complete_scan INTEGER,
    counts             TEXT,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL
) STRICT;

CREATE TABLE scans (
    scan_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    library_id INTEGER NOT NULL REFERENCES libraries ON DELETE CASCADE,
    scope      BLOB NOT NULL,
    outcome    TEXT NOT NULL CHECK (outcome IN ('running', 'complete', 'partial', 'interrupted', 'root-lost', 'abandoned')),
    report     TEXT,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT;
CREATE INDEX scans_of_library ON scans (library_id, scan_id);

-- A directory keeps its number while anything was ever known in it.
-- listed: its last listing was complete. frozen: could not be listed since frozen_since, nothing below is concluded.
-- gone: proved absent. excluded: a rule of the user leaves it out.
CREATE TABLE dirs (
    dir_id       INTEGER PRIMARY KEY,
    library_id   INTEGER NOT NULL REFERENCES libraries ON DELETE CASCADE,
    parent_id    INTEGER REFERENCES dirs,
    path         BLOB NOT NULL,
    state        TEXT NOT NULL DEFAULT 'listed' CHECK (state IN ('listed', 'frozen', 'gone', 'excluded')),
    frozen_since INTEGER,
    UNIQUE (library_id, path)
) STRICT;
CREATE INDEX dirs_by_parent ON dirs (parent_id);

CREATE TABLE documents (
    document_id  INTEGER PRIMARY KEY,
    ulid         TEXT NOT NULL UNIQUE,
    content_hash BLOB CHECK (length(content_hash) = 32),
    size         INTEGER NOT NULL,
    origin_id    INTEGER REFERENCES documents,
    copyless_since INTEGER,
    enrich_stale INTEGER NOT NULL DEFAULT 1 CHECK (enrich_stale IN (0, 1)),
    search_stale INTEGER NOT NULL DEFAULT 1 CHECK (search_stale IN (0, 1)),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;
-- Eight bytes of a hash tell a million documents apart; the whole hash in the index would make it three times as large,
-- and every insert goes to another page of it. Whoever asks compares the whole hash as well.
CREATE INDEX documents_by_content ON documents (substr(content_hash, 1, 8));
CREATE INDEX documents_without_copy ON documents (copyless_since) WHERE copyless_since IS NOT NULL;
CREATE INDEX documents_to_enrich ON documents (document_id) WHERE enrich_stale = 1;
CREATE INDEX documents_to_index ON documents (document_id) WHERE search_stale = 1;

-- nfc_key and fold_key are null where they equal the name, which is nearly always.
CREATE TABLE files (
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
    presence      TEXT NOT NULL CHECK (presence IN ('present', 'missing')),
    evidence      TEXT,
    missing_since INTEGER,
    missing_scans INTEGER NOT NULL DEFAULT 0,
    appeared_scan INTEGER NOT NULL,
    first_seen    INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    hashed_at     INTEGER,
    updated_at    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX files_by_place ON files (dir_id, name);
CREATE INDEX files_by_document ON files (document_id);
CREATE INDEX files_not_present ON files (presence) WHERE presence <> 'present';

CREATE TABLE file_problems (
    problem_id INTEGER PRIMARY KEY,
    library_id INTEGER NOT NULL REFERENCES libraries ON DELETE CASCADE,
    file_id    INTEGER REFERENCES files ON DELETE CASCADE,
    path       BLOB NOT NULL,
    kind       TEXT NOT NULL,
    message    TEXT NOT NULL,
    scan_id    INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (library_id, path)
) STRICT;

CREATE TABLE annotations (
    document_id INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    field       TEXT NOT NULL,
    source      TEXT NOT NULL CHECK (source IN ('path', 'extractor', 'command', 'person')),
    value       TEXT NOT NULL CHECK (json_type(value) = 'array'),
    confidence  REAL NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (document_id, field, source)
) STRICT, WITHOUT ROWID;

-- Keyed by content, so that a move, a copy or a remount costs nothing.
CREATE TABLE enrichments (
    content_hash      BLOB PRIMARY KEY CHECK (length(content_hash) = 32),
    version           TEXT NOT NULL,
    outcome           TEXT NOT NULL CHECK (outcome IN ('extracted', 'unsupported', 'failed')),
    mime              TEXT,
    extractor         TEXT,
    extractor_version INTEGER,
    fields            TEXT NOT NULL DEFAULT '{}',
    truncated         INTEGER NOT NULL DEFAULT 0 CHECK (truncated IN (0, 1)),
    problem_kind      TEXT,
    problem_message   TEXT,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX enrichments_failed ON enrichments (content_hash) WHERE outcome = 'failed';

-- Apart from enrichments, so that reading those does not page through the texts.
CREATE TABLE texts (
    content_hash BLOB PRIMARY KEY REFERENCES enrichments ON DELETE CASCADE,
    text         TEXT NOT NULL
) STRICT;

-- The way to one store or hub, with its own back-off.
CREATE TABLE channels (
    channel_id    INTEGER PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('store', 'hub')),
    name          TEXT NOT NULL UNIQUE,
    state         TEXT NOT NULL DEFAULT 'unknown' CHECK (state IN ('unknown', 'online', 'offline')),
    paused        INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    failures      INTEGER NOT NULL DEFAULT 0,
    not_before    INTEGER NOT NULL DEFAULT 0,
    last_ok       INTEGER,
    offline_since INTEGER,
    error_code    TEXT,
    error_text    TEXT,
    updated_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE stores (
    store_id     INTEGER PRIMARY KEY REFERENCES channels ON DELETE CASCADE,
    url          TEXT NOT NULL UNIQUE,
    payload      TEXT NOT NULL CHECK (payload IN ('original', 'enriched', 'both')),
    remote_store TEXT NOT NULL,
    generation   TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;

-- The ledger: what a store holds for a document.
CREATE TABLE remote_objects (
    object_id    INTEGER PRIMARY KEY,
    store_id     INTEGER NOT NULL REFERENCES stores ON DELETE CASCADE,
    document_id  INTEGER NOT NULL REFERENCES documents,
    payload      TEXT NOT NULL CHECK (payload IN ('original', 'enriched')),
    remote_id    TEXT NOT NULL,
    upload_hash  BLOB NOT NULL CHECK (length(upload_hash) = 32),
    bytes        INTEGER NOT NULL,
    content_hash BLOB NOT NULL CHECK (length(content_hash) = 32),
    state        TEXT NOT NULL CHECK (state IN ('planned', 'uploading', 'uploaded', 'verified', 'searchable', 'current', 'orphaned', 'deleted')),
    cause        TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    uploaded_at  INTEGER,
    orphaned_at  INTEGER,
    deleted_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX remote_objects_one_current ON remote_objects (store_id, document_id, payload) WHERE state = 'current';
CREATE INDEX remote_objects_by_document ON remote_objects (document_id);
CREATE INDEX remote_objects_by_remote_id ON remote_objects (store_id, remote_id);
CREATE INDEX remote_objects_orphaned ON remote_objects (store_id, orphaned_at) WHERE state = 'orphaned';

CREATE TABLE decisions (
    decision_id INTEGER PRIMARY KEY,
    library_id  INTEGER NOT NULL REFERENCES libraries ON DELETE CASCADE,
    kind        TEXT NOT NULL CHECK (kind IN ('mass-missing', 'mass-change')),
    state       TEXT NOT NULL CHECK (state IN ('open', 'approved', 'rejected', 'settled')),
    facts       TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX decisions_one_open ON decisions (library_id, kind) WHERE state = 'open';

CREATE TABLE decision_files (
    decision_id INTEGER NOT NULL REFERENCES decisions ON DELETE CASCADE,
    file_id     INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
    PRIMARY KEY (decision_id, file_id)
) STRICT, WITHOUT ROWID;

-- A change on its way. Its bytes are fixed by its first lease (payload_hash); until then a newer change of the same
-- document needs no row of its own, because the bytes are rendered at the lease.
CREATE TABLE outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    op_id        TEXT NOT NULL UNIQUE,
    channel_id   INTEGER NOT NULL REFERENCES channels ON DELETE CASCADE,
    document_id  INTEGER NOT NULL REFERENCES documents,
    kind         TEXT NOT NULL CHECK (kind IN ('mirror', 'delete')),
    object_id    INTEGER REFERENCES remote_objects,
    payload_hash BLOB CHECK (length(payload_hash) = 32),
    bytes        INTEGER,
    state        TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'leased', 'done', 'dead', 'superseded', 'discarded')),
    held_by      INTEGER REFERENCES decisions,
    attempts     INTEGER NOT NULL DEFAULT 0,
    leases       INTEGER NOT NULL DEFAULT 0,
    not_before   INTEGER NOT NULL DEFAULT 0,
    lease_owner  TEXT,
    lease_token  TEXT,
    lease_until  INTEGER,
    error_class  TEXT,
    error_code   TEXT,
    error_text   TEXT,
    note         TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX outbox_coalesced ON outbox (channel_id, document_id, kind) WHERE state = 'pending' AND leases = 0 AND kind = 'mirror';
CREATE UNIQUE INDEX outbox_one_delete ON outbox (object_id) WHERE kind = 'delete' AND state IN ('pending', 'leased');
CREATE INDEX outbox_due ON outbox (channel_id, seq) WHERE state = 'pending';
CREATE INDEX outbox_leased ON outbox (lease_until) WHERE state = 'leased';
CREATE INDEX outbox_dead ON outbox (channel_id) WHERE state = 'dead';
CREATE INDEX outbox_by_document ON outbox (document_id, state);

-- The log of statuses, written by triggers so that no path can forget it.
CREATE TABLE events (
    event_id    INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    file_id     INTEGER,
    document_id INTEGER,
    what        TEXT NOT NULL,
    before      TEXT,
    after       TEXT,
    cause       TEXT
) STRICT;
CREATE INDEX events_of_file ON events (file_id, event_id) WHERE file_id IS NOT NULL;
CREATE INDEX events_of_document ON events (document_id, event_id) WHERE document_id IS NOT NULL;

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

CREATE TRIGGER remote_objects_event AFTER UPDATE OF state ON remote_objects WHEN OLD.state <> NEW.state
BEGIN
    INSERT INTO events (at, document_id, what, before, after, cause)
    VALUES (NEW.updated_at, NEW.document_id, 'object ' || NEW.object_id, OLD.state, NEW.state, NEW.cause);
END;

CREATE TRIGGER outbox_event AFTER UPDATE OF state ON outbox WHEN NEW.state IN ('dead', 'superseded', 'discarded') AND OLD.state <> NEW.state
BEGIN
    INSERT INTO events (at, document_id, what, before, after, cause)
    VALUES (NEW.updated_at, NEW.document_id, 'operation ' || NEW.op_id, OLD.state, NEW.state, NEW.error_text);
END;

CREATE TRIGGER files_touch AFTER UPDATE ON files WHEN NEW.updated_at = OLD.updated_at AND NEW.presence <> OLD.presence
BEGIN
    UPDATE files SET updated_at = max(OLD.updated_at + 1, CAST(unixepoch('subsec') * 1000 AS INTEGER)) WHERE file_id = NEW.file_id;
END;

CREATE TRIGGER documents_touch AFTER UPDATE OF content_hash, origin_id ON documents WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE documents SET updated_at = max(OLD.updated_at + 1, CAST(unixepoch('subsec') * 1000 AS INTEGER)) WHERE document_id = NEW.document_id;
END;

CREATE TRIGGER settings_touch AFTER UPDATE OF value ON settings WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE settings SET updated_at = max(OLD.updated_at + 1, CAST(unixepoch('subsec') * 1000 AS INTEGER)) WHERE key = NEW.key;
END;

CREATE TRIGGER annotations_touch AFTER UPDATE OF value ON annotations WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE annotations SET updated_at = max(OLD.updated_at + 1, CAST(unixepoch('subsec') * 1000 AS INTEGER))
    WHERE document_id = NEW.document_id AND field = NEW.field AND source = NEW.source;
END;
