-- Origins belong to revisions: `revision_origin` replaces the table `origin` and the column `revision.has_origin`. A shard
-- may be evicted only if every revision that holds it has an origin that was seen to hold that revision.
--
-- A revision with `has_origin` gets the origins of its model, unchecked. So no shard is evictable until an origin of each
-- of its holders was checked; the next eviction does so.

DROP TRIGGER evictability_extent;
DROP TRIGGER evictability_file_linked;
DROP TRIGGER evictability_file_unlinked;
DROP TRIGGER evictability_first_origin;
DROP TRIGGER evictability_has_origin;
DROP TRIGGER evictability_last_origin;
DROP TRIGGER evictability_pinned;
DROP TRIGGER evictability_state;
DROP TRIGGER evictability_unpinned;

DROP VIEW shard_evictability;

CREATE TABLE revision_origin (
    revision_id   INTEGER NOT NULL REFERENCES revision (id) ON DELETE CASCADE,
    url           TEXT    NOT NULL,
    -- The lowest is the nearest.
    position      INTEGER NOT NULL,
    -- When the origin was last seen to hold the revision; NULL if it never was, or was seen to lack it since.
    checked_at    INTEGER,
    -- When the origin was last seen to lack the revision; NULL if it never was, or was seen to hold it since.
    absent_at     INTEGER,
    PRIMARY KEY (revision_id, url)
) STRICT, WITHOUT ROWID;

-- An eviction checks these first: they are few.
CREATE INDEX revision_origin_unchecked ON revision_origin (revision_id) WHERE checked_at IS NULL;

INSERT INTO revision_origin (revision_id, url, position)
SELECT revision.id, origin.url, min(origin.position)
FROM revision JOIN origin ON origin.model_id = revision.model_id
WHERE revision.has_origin
GROUP BY revision.id, origin.url;

DROP TABLE origin;
ALTER TABLE revision DROP COLUMN has_origin;

-- No origin is checked yet. Without the indexes, the change of many rows takes a fraction of the time.
DROP INDEX candidate_by_last_access;
DROP INDEX candidate_by_access_count;
DROP INDEX candidate_by_bytes;

UPDATE shard SET evictable = 0 WHERE evictable = 1;

CREATE INDEX candidate_by_last_access
    ON shard (last_access, id, bytes, access_count, heat, clock, inserted_at, fetch_seconds, layer, kind, evictable)
    WHERE evictable = 1;
CREATE INDEX candidate_by_access_count
    ON shard (access_count, last_access, id, bytes, heat, clock, inserted_at, fetch_seconds, layer, kind, evictable)
    WHERE evictable = 1;
CREATE INDEX candidate_by_bytes
    ON shard (bytes DESC, last_access, id, access_count, heat, clock, inserted_at, fetch_seconds, layer, kind, evictable)
    WHERE evictable = 1;

-- Whether a shard may be evicted: present, no KV block, held by a revision, and each revision that holds it has a checked
-- origin and no pin.
CREATE VIEW shard_evictability AS
SELECT shard.id AS shard_id,
       CASE
         WHEN shard.state = 'present' AND shard.kind <> 'kv'
         THEN EXISTS (
                SELECT 1
                FROM extent JOIN revision_file ON revision_file.file_id = extent.file_id
                WHERE extent.shard_id = shard.id)
              AND NOT EXISTS (
                SELECT 1
                FROM extent JOIN revision_file ON revision_file.file_id = extent.file_id
                WHERE extent.shard_id = shard.id
                      AND (NOT EXISTS (
                             SELECT 1
                             FROM revision_origin
                             WHERE revision_origin.revision_id = revision_file.revision_id
                                   AND revision_origin.checked_at IS NOT NULL)
                           OR EXISTS (SELECT 1 FROM pin WHERE pin.revision_id = revision_file.revision_id)))
         ELSE 0
       END AS evictable
FROM shard;

-- `shard.evictable` follows the view. An evaluation of the view reads holders of the shard until one keeps it, so a trigger does
-- that only where the change can make the shard evictable and its other holders decide. A revision "keeps" its shards if it has
-- no checked origin, or a pin. The plus sign before `evictable` keeps the query planner from the indexes of candidates.

-- The first extent of a shard in a file that revisions link: the file is a new holder.
CREATE TRIGGER evictability_extent AFTER INSERT ON extent
WHEN EXISTS (SELECT 1 FROM revision_file WHERE file_id = NEW.file_id)
     AND NOT EXISTS (
       SELECT 1 FROM extent WHERE shard_id = NEW.shard_id AND file_id = NEW.file_id AND offset <> NEW.offset)
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id = NEW.shard_id;
END;

-- The last extent of a shard in a file that revisions link.
CREATE TRIGGER evictability_extent_removed AFTER DELETE ON extent
WHEN EXISTS (SELECT 1 FROM revision_file WHERE file_id = OLD.file_id)
     AND NOT EXISTS (SELECT 1 FROM extent WHERE shard_id = OLD.shard_id AND file_id = OLD.file_id)
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id = OLD.shard_id;
END;

-- A new holder that keeps its shards.
CREATE TRIGGER evictability_linked_kept AFTER INSERT ON revision_file
WHEN NOT EXISTS (SELECT 1 FROM revision_origin WHERE revision_id = NEW.revision_id AND checked_at IS NOT NULL)
     OR EXISTS (SELECT 1 FROM pin WHERE revision_id = NEW.revision_id)
BEGIN
    UPDATE shard SET evictable = 0
    WHERE +evictable = 1 AND id IN (SELECT extent.shard_id FROM extent WHERE extent.file_id = NEW.file_id);
END;

-- A new holder that does not keep its shards makes those evictable that have no other holder. With other holders, a shard
-- is as evictable as before.
CREATE TRIGGER evictability_linked AFTER INSERT ON revision_file
WHEN EXISTS (SELECT 1 FROM revision_origin WHERE revision_id = NEW.revision_id AND checked_at IS NOT NULL)
     AND NOT EXISTS (SELECT 1 FROM pin WHERE revision_id = NEW.revision_id)
BEGIN
    UPDATE shard SET evictable = 1
    WHERE +evictable = 0 AND state = 'present' AND kind <> 'kv'
          AND id IN (SELECT extent.shard_id FROM extent WHERE extent.file_id = NEW.file_id)
          AND NOT EXISTS (
            SELECT 1
            FROM extent JOIN revision_file ON revision_file.file_id = extent.file_id
            WHERE extent.shard_id = shard.id
                  AND NOT (revision_file.revision_id = NEW.revision_id AND revision_file.path = NEW.path));
END;

-- A holder that kept its shards is gone: the others decide.
CREATE TRIGGER evictability_unlinked_kept AFTER DELETE ON revision_file
WHEN NOT EXISTS (SELECT 1 FROM revision_origin WHERE revision_id = OLD.revision_id AND checked_at IS NOT NULL)
     OR EXISTS (SELECT 1 FROM pin WHERE revision_id = OLD.revision_id)
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id IN (SELECT extent.shard_id FROM extent WHERE extent.file_id = OLD.file_id);
END;

-- A holder that did not keep its shards is gone: a shard changes only if it was the last one.
CREATE TRIGGER evictability_unlinked AFTER DELETE ON revision_file
WHEN EXISTS (SELECT 1 FROM revision_origin WHERE revision_id = OLD.revision_id AND checked_at IS NOT NULL)
     AND NOT EXISTS (SELECT 1 FROM pin WHERE revision_id = OLD.revision_id)
BEGIN
    UPDATE shard SET evictable = 0
    WHERE +evictable = 1
          AND id IN (SELECT extent.shard_id FROM extent WHERE extent.file_id = OLD.file_id)
          AND NOT EXISTS (
            SELECT 1
            FROM extent JOIN revision_file ON revision_file.file_id = extent.file_id
            WHERE extent.shard_id = shard.id);
END;

-- The first checked origin of a revision.
CREATE TRIGGER evictability_origin_added AFTER INSERT ON revision_origin
WHEN NEW.checked_at IS NOT NULL
     AND NOT EXISTS (
       SELECT 1 FROM revision_origin
       WHERE revision_id = NEW.revision_id AND url <> NEW.url AND checked_at IS NOT NULL)
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision_file.revision_id = NEW.revision_id);
END;

CREATE TRIGGER evictability_origin_checked AFTER UPDATE OF checked_at ON revision_origin
WHEN OLD.checked_at IS NULL AND NEW.checked_at IS NOT NULL
     AND NOT EXISTS (
       SELECT 1 FROM revision_origin
       WHERE revision_id = NEW.revision_id AND url <> NEW.url AND checked_at IS NOT NULL)
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision_file.revision_id = NEW.revision_id);
END;

-- The last checked origin of a revision is gone, or was seen to lack it.
CREATE TRIGGER evictability_origin_removed AFTER DELETE ON revision_origin
WHEN OLD.checked_at IS NOT NULL
     AND NOT EXISTS (SELECT 1 FROM revision_origin WHERE revision_id = OLD.revision_id AND checked_at IS NOT NULL)
BEGIN
    UPDATE shard SET evictable = 0
    WHERE +evictable = 1 AND id IN (
      SELECT extent.shard_id
      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision_file.revision_id = OLD.revision_id);
END;

CREATE TRIGGER evictability_origin_unchecked AFTER UPDATE OF checked_at ON revision_origin
WHEN OLD.checked_at IS NOT NULL AND NEW.checked_at IS NULL
     AND NOT EXISTS (SELECT 1 FROM revision_origin WHERE revision_id = NEW.revision_id AND checked_at IS NOT NULL)
BEGIN
    UPDATE shard SET evictable = 0
    WHERE +evictable = 1 AND id IN (
      SELECT extent.shard_id
      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision_file.revision_id = NEW.revision_id);
END;

CREATE TRIGGER evictability_pinned AFTER INSERT ON pin
BEGIN
    UPDATE shard SET evictable = 0
    WHERE +evictable = 1 AND id IN (
      SELECT extent.shard_id
      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision_file.revision_id = NEW.revision_id);
END;

CREATE TRIGGER evictability_unpinned AFTER DELETE ON pin
WHEN EXISTS (SELECT 1 FROM revision_origin WHERE revision_id = OLD.revision_id AND checked_at IS NOT NULL)
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = shard.id)
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision_file.revision_id = OLD.revision_id);
END;

CREATE TRIGGER evictability_state AFTER UPDATE OF state, kind ON shard
WHEN OLD.state <> NEW.state OR OLD.kind <> NEW.kind
BEGIN
    UPDATE shard SET evictable = (
      SELECT shard_evictability.evictable FROM shard_evictability WHERE shard_evictability.shard_id = NEW.id)
    WHERE id = NEW.id;
END;
