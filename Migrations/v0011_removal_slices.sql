-- Removals in slices: the transaction that removes a revision unlinks its files and no more. What depends on them follows in
-- short transactions, and a crash in between leaves rows that the next collection finds.

-- How many links to the file were removed since the shards of the file were last visited; -1 while the file's rows are being
-- removed in slices, so that no lookup by digest finds it.
ALTER TABLE file ADD COLUMN unlinked INTEGER NOT NULL DEFAULT 0 CHECK (unlinked >= -1);

-- Collections and evictions: few files are to be visited.
CREATE INDEX file_by_unlinked ON file (unlinked) WHERE unlinked <> 0;

UPDATE file SET unlinked = 1
WHERE NOT EXISTS (SELECT 1 FROM revision_file WHERE revision_file.file_id = file.id);

-- Removals: which shards that another revision needs are not stored?
CREATE INDEX shard_absent ON shard (id) WHERE state <> 'present';

-- Until the file is visited, `shard.evictable` of its shards may be 0 where the view `shard_evictability` has 1, and 1 for
-- shards that no revision holds. It is never 1 for a shard of a revision that keeps its shards: a new holder that keeps them
-- sets it to 0.
DROP TRIGGER evictability_unlinked;
DROP TRIGGER evictability_unlinked_kept;

-- A holder that did not keep its shards is gone: they change only if it was the last one.
CREATE TRIGGER file_unlinked AFTER DELETE ON revision_file
WHEN NOT EXISTS (SELECT 1 FROM revision_file WHERE file_id = OLD.file_id)
     OR NOT EXISTS (SELECT 1 FROM revision_origin WHERE revision_id = OLD.revision_id AND checked_at IS NOT NULL)
     OR EXISTS (SELECT 1 FROM pin WHERE revision_id = OLD.revision_id)
BEGIN
    UPDATE file SET unlinked = unlinked + 1 WHERE id = OLD.file_id AND unlinked >= 0;
END;

-- A space whose revision is removed has no revision until its blocks are dropped in slices (or the revision is imported
-- again). A constraint cannot be changed in place, so the table is made anew (see v0002_kv.sql).
PRAGMA legacy_alter_table = ON;

CREATE TABLE new_kv_space (
    id            INTEGER PRIMARY KEY,
    -- What every key of the space is made from.
    digest        BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    -- NULL for a space whose blocks are being dropped.
    revision_id   INTEGER REFERENCES revision (id) ON DELETE SET NULL,
    format        TEXT    NOT NULL,
    -- SHA-256 of the tenant's salt; the salt itself is not kept.
    tenant        BLOB    NOT NULL CHECK (length(tenant) = 32),
    block_tokens  INTEGER NOT NULL CHECK (block_tokens > 0),
    created_at    INTEGER NOT NULL
) STRICT;

INSERT INTO new_kv_space (id, digest, revision_id, format, tenant, block_tokens, created_at)
SELECT id, digest, revision_id, format, tenant, block_tokens, created_at
FROM kv_space;

DROP TABLE kv_space;
ALTER TABLE new_kv_space RENAME TO kv_space;
PRAGMA legacy_alter_table = OFF;

-- The spaces of a revision, its removal, and the spaces that have none.
CREATE INDEX kv_space_by_revision ON kv_space (revision_id);
