-- The directories of blobs/ that a collection has compared with the rows. One that has not changed since is skipped.
CREATE TABLE examined_directory (
    -- Its name: the first two digits of the digests.
    prefix        TEXT    PRIMARY KEY CHECK (length(prefix) = 2),
    -- The times of its last changes when the comparison began, in nanoseconds since 1970.
    modified_ns   INTEGER NOT NULL,
    changed_ns    INTEGER NOT NULL,
    -- 0 until the comparison has found that files and rows agree.
    in_order      INTEGER NOT NULL DEFAULT 0 CHECK (in_order IN (0, 1))
) STRICT, WITHOUT ROWID;

-- The file of a removed row is deleted after the commit. If the process dies in between, the directory has not
-- changed, but must be compared again. The file of a KV block is not durable when its row is: after a power cut it may be
-- missing in a directory that has not changed.
CREATE TRIGGER examined_block_added AFTER INSERT ON shard WHEN NEW.kind = 'kv'
BEGIN
    DELETE FROM examined_directory WHERE prefix = lower(hex(substr(NEW.digest, 1, 1)));
END;
CREATE TRIGGER examined_shard_removed AFTER DELETE ON shard
BEGIN
    DELETE FROM examined_directory WHERE prefix = lower(hex(substr(OLD.digest, 1, 1)));
END;
CREATE TRIGGER examined_shard_changed AFTER UPDATE OF state ON shard WHEN NEW.state <> OLD.state
BEGIN
    DELETE FROM examined_directory WHERE prefix = lower(hex(substr(OLD.digest, 1, 1)));
END;
CREATE TRIGGER examined_revision_removed AFTER DELETE ON revision
BEGIN
    DELETE FROM examined_directory WHERE prefix = lower(hex(substr(OLD.digest, 1, 1)));
END;
CREATE TRIGGER examined_revision_changed AFTER UPDATE OF digest ON revision WHEN NEW.digest <> OLD.digest
BEGIN
    DELETE FROM examined_directory WHERE prefix = lower(hex(substr(OLD.digest, 1, 1)));
END;
CREATE TRIGGER examined_model_removed AFTER DELETE ON model
BEGIN
    DELETE FROM examined_directory WHERE prefix = lower(hex(substr(OLD.record, 1, 1)));
END;
CREATE TRIGGER examined_model_changed AFTER UPDATE OF record ON model WHEN NEW.record IS NOT OLD.record
BEGIN
    DELETE FROM examined_directory WHERE prefix = lower(hex(substr(OLD.record, 1, 1)));
END;
