-- Names that a reader knows: `standing` becomes `shard_evictability`, `tally` and `kv_tally` become `shard_totals` and
-- `kv_totals`, `revision.recoverable` becomes `has_origin`. No row changes. SQLite renames tables and columns inside of
-- triggers, but no view, so the view and its triggers are made anew.

DROP TRIGGER kv_tally_delete;
DROP TRIGGER kv_tally_insert;
DROP TRIGGER kv_tally_update;
DROP TRIGGER standing_extent;
DROP TRIGGER standing_file_linked;
DROP TRIGGER standing_file_unlinked;
DROP TRIGGER standing_first_origin;
DROP TRIGGER standing_last_origin;
DROP TRIGGER standing_pinned;
DROP TRIGGER standing_recoverable;
DROP TRIGGER standing_state;
DROP TRIGGER standing_unpinned;
DROP TRIGGER tally_delete;
DROP TRIGGER tally_insert;
DROP TRIGGER tally_update;

DROP VIEW standing;

ALTER TABLE tally RENAME TO shard_totals;
ALTER TABLE kv_tally RENAME TO kv_totals;
ALTER TABLE revision RENAME COLUMN recoverable TO has_origin;

-- Whether a shard may be evicted: present, held by an origin, not in a pinned revision, and no KV block.
CREATE VIEW shard_evictability AS
SELECT shard.id AS shard_id,
       shard.state = 'present' AND shard.kind <> 'kv'
       AND EXISTS (
         SELECT 1
         FROM extent
         JOIN revision_file ON revision_file.file_id = extent.file_id
         JOIN revision ON revision.id = revision_file.revision_id
         JOIN origin ON origin.model_id = revision.model_id
         WHERE extent.shard_id = shard.id AND revision.has_origin)
       AND NOT EXISTS (
         SELECT 1
         FROM extent
         JOIN revision_file ON revision_file.file_id = extent.file_id
         JOIN pin ON pin.revision_id = revision_file.revision_id
         WHERE extent.shard_id = shard.id) AS evictable
FROM shard;

-- `shard.evictable` follows the view.
CREATE TRIGGER evictability_extent AFTER INSERT ON extent
WHEN EXISTS (SELECT 1 FROM revision_file WHERE file_id = NEW.file_id)
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id = NEW.shard_id;
END;

CREATE TRIGGER evictability_file_linked AFTER INSERT ON revision_file
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id IN (SELECT extent.shard_id FROM extent WHERE extent.file_id = NEW.file_id);
END;

CREATE TRIGGER evictability_file_unlinked AFTER DELETE ON revision_file
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id IN (SELECT extent.shard_id FROM extent WHERE extent.file_id = OLD.file_id);
END;

CREATE TRIGGER evictability_first_origin AFTER INSERT ON origin
WHEN (SELECT count(*) FROM origin WHERE model_id = NEW.model_id) = 1
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision
      JOIN revision_file ON revision_file.revision_id = revision.id
      JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision.model_id = NEW.model_id);
END;

CREATE TRIGGER evictability_last_origin AFTER DELETE ON origin
WHEN NOT EXISTS (SELECT 1 FROM origin WHERE model_id = OLD.model_id)
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision
      JOIN revision_file ON revision_file.revision_id = revision.id
      JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision.model_id = OLD.model_id);
END;

CREATE TRIGGER evictability_pinned AFTER INSERT ON pin
BEGIN
    UPDATE shard SET evictable = 0
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision_file.revision_id = NEW.revision_id);
END;

CREATE TRIGGER evictability_has_origin AFTER UPDATE OF has_origin ON revision
WHEN OLD.has_origin <> NEW.has_origin
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision_file.revision_id = NEW.id);
END;

CREATE TRIGGER evictability_state AFTER UPDATE OF state, kind ON shard
WHEN OLD.state <> NEW.state OR OLD.kind <> NEW.kind
BEGIN
    UPDATE shard SET evictable = (
      SELECT evictable FROM shard_evictability WHERE shard_id = NEW.id)
    WHERE id = NEW.id;
END;

CREATE TRIGGER evictability_unpinned AFTER DELETE ON pin
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision_file.revision_id = OLD.revision_id);
END;

-- The totals follow `shard`: a quota is compared with them before every write.
CREATE TRIGGER kv_totals_delete AFTER DELETE ON shard WHEN OLD.state = 'present' AND OLD.kind = 'kv'
BEGIN
    UPDATE kv_totals SET shards = shards - 1, bytes = bytes - OLD.bytes;
END;

CREATE TRIGGER kv_totals_insert AFTER INSERT ON shard WHEN NEW.state = 'present' AND NEW.kind = 'kv'
BEGIN
    UPDATE kv_totals SET shards = shards + 1, bytes = bytes + NEW.bytes;
END;

CREATE TRIGGER kv_totals_update AFTER UPDATE OF state, kind ON shard
WHEN (OLD.state = 'present' AND OLD.kind = 'kv') <> (NEW.state = 'present' AND NEW.kind = 'kv')
BEGIN
    UPDATE kv_totals
    SET shards = shards + iif(NEW.state = 'present' AND NEW.kind = 'kv', 1, -1),
        bytes = bytes + iif(NEW.state = 'present' AND NEW.kind = 'kv', NEW.bytes, -OLD.bytes);
END;

CREATE TRIGGER shard_totals_delete AFTER DELETE ON shard WHEN OLD.state = 'present' AND OLD.kind <> 'kv'
BEGIN
    UPDATE shard_totals SET shards = shards - 1, bytes = bytes - OLD.bytes;
END;

CREATE TRIGGER shard_totals_insert AFTER INSERT ON shard WHEN NEW.state = 'present' AND NEW.kind <> 'kv'
BEGIN
    UPDATE shard_totals SET shards = shards + 1, bytes = bytes + NEW.bytes;
END;

CREATE TRIGGER shard_totals_update AFTER UPDATE OF state, kind ON shard
WHEN (OLD.state = 'present' AND OLD.kind <> 'kv') <> (NEW.state = 'present' AND NEW.kind <> 'kv')
BEGIN
    UPDATE shard_totals
    SET shards = shards + iif(NEW.state = 'present' AND NEW.kind <> 'kv', 1, -1),
        bytes = bytes + iif(NEW.state = 'present' AND NEW.kind <> 'kv', NEW.bytes, -OLD.bytes);
END;
