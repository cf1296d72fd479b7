-- A lease asks for one kind: deletions among a hundred thousand changes were looked for in all of them, at every batch.
DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (channel_id, kind, seq) WHERE state = 'pending';
