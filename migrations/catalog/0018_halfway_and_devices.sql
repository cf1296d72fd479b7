-- Of a document that is sent as text and as original the text has gone ahead, because no disk with the original was here:
-- what is left waits for one.
ALTER TABLE outbox ADD COLUMN halfway INTEGER NOT NULL DEFAULT 0 CHECK (halfway IN (0, 1));

-- Who this is to others that keep objects in the same store. The column says under which name the store was told.
CREATE TABLE device (
    device_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
ALTER TABLE stores ADD COLUMN device_id TEXT;
