-- Some stores name their objects themselves: `remote_id` is then the key that travels beside the object, by which a lost
-- answer is looked for, and `server_id` what the store calls it. Some forget objects by themselves after a time.
ALTER TABLE remote_objects ADD COLUMN server_id TEXT;
ALTER TABLE remote_objects ADD COLUMN remote_expires_at INTEGER;
CREATE INDEX remote_objects_by_server_id ON remote_objects (store_id, server_id) WHERE server_id IS NOT NULL;
CREATE INDEX remote_objects_expiring ON remote_objects (store_id, remote_expires_at) WHERE remote_expires_at IS NOT NULL;
