-- How a store stands with the documents of a library, as it was counted last: `status` is asked again and again, and to
-- count a million objects takes a second. What was kept goes with every change of what it counts; a change of the
-- library's files takes it along, too (query.rs, forget_counts).
CREATE TABLE kept_store_counts (
    store_id   INTEGER NOT NULL REFERENCES stores ON DELETE CASCADE,
    library_id INTEGER NOT NULL REFERENCES libraries ON DELETE CASCADE,
    counts     TEXT NOT NULL,
    PRIMARY KEY (store_id, library_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER remote_objects_insert_count AFTER INSERT ON remote_objects
BEGIN
    DELETE FROM kept_store_counts WHERE store_id = NEW.store_id;
END;

CREATE TRIGGER remote_objects_update_count AFTER UPDATE OF state, document_id ON remote_objects
BEGIN
    DELETE FROM kept_store_counts WHERE store_id = NEW.store_id;
END;

CREATE TRIGGER remote_objects_delete_count AFTER DELETE ON remote_objects
BEGIN
    DELETE FROM kept_store_counts WHERE store_id = OLD.store_id;
END;

CREATE TRIGGER outbox_insert_count AFTER INSERT ON outbox
BEGIN
    DELETE FROM kept_store_counts WHERE store_id = NEW.channel_id;
END;

CREATE TRIGGER outbox_update_count AFTER UPDATE OF state, document_id ON outbox
BEGIN
    DELETE FROM kept_store_counts WHERE store_id = NEW.channel_id;
END;

CREATE TRIGGER outbox_delete_count AFTER DELETE ON outbox
BEGIN
    DELETE FROM kept_store_counts WHERE store_id = OLD.channel_id;
END;
