-- KV blocks: the keys and values that an engine computed for the tokens of a prefix, kept as shards of kind `kv`.
--
-- `shard` gets a further kind and a column; a CHECK can't be changed in place, so the table is made anew, as SQLite's
-- documentation of ALTER TABLE prescribes: foreign keys off (the migrator sees to that, and checks them in the end), a
-- new table, the rows, the old one dropped, the new one renamed, indexes and triggers made again. legacy_alter_table
-- keeps the renaming from looking at views and triggers that speak of `shard` while there is none.
PRAGMA legacy_alter_table = ON;

CREATE TABLE new_shard (
    id            INTEGER PRIMARY KEY,
    digest        BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    bytes         INTEGER NOT NULL,
    kind          TEXT    NOT NULL CHECK (kind IN ('tensor', 'pack', 'file', 'kv')),
    layer         INTEGER,
    -- Of a KV block: how many blocks come before it. NULL for other shards.
    depth         INTEGER,
    -- The first 8 bytes of the SHA-256 of the first 4 MiB: with the size, it foretells a duplicate before it is written.
    -- 0 for KV blocks, which no import brings in.
    head          INTEGER NOT NULL,
    -- evicted: an origin has it, and the next use fetches it. quarantined: its bytes changed; missing: its file is gone.
    -- In each case importing the same content brings it back. A KV block is present, or has no row.
    state         TEXT    NOT NULL DEFAULT 'present' CHECK (state IN ('present', 'evicted', 'quarantined', 'missing')),
    -- Present, held by an origin, not in a pinned revision, and no KV block. Kept by the triggers, by nobody else.
    evictable     INTEGER NOT NULL DEFAULT 0,
    -- The version of the model that brought it in.
    version       INTEGER,
    -- Uses since it came in, by import or fetch.
    access_count  INTEGER NOT NULL DEFAULT 0,
    last_access   INTEGER NOT NULL,
    -- Uses, each halved for every day that has passed since, as of last_access. It outlives eviction.
    heat          REAL    NOT NULL DEFAULT 0,
    -- The setting eviction.clock as it was when the shard was last used; eviction.kv.clock for KV blocks.
    clock         REAL    NOT NULL DEFAULT 0,
    -- When its bytes came in last.
    inserted_at   INTEGER NOT NULL,
    -- What the last fetch took, or computing a KV block; NULL before the first, and where it was not said.
    fetch_seconds REAL,
    verified_at   INTEGER NOT NULL,
    -- Since when nothing has referenced it; NULL while something does.
    orphaned_at   INTEGER
) STRICT;

INSERT INTO new_shard
  (id, digest, bytes, kind, layer, head, state, evictable, version, access_count, last_access, heat, clock, inserted_at,
   fetch_seconds, verified_at, orphaned_at)
SELECT id, digest, bytes, kind, layer, head, state, evictable, version, access_count, last_access, heat, clock, inserted_at,
       fetch_seconds, verified_at, orphaned_at
FROM shard;

DROP VIEW standing;
DROP TABLE shard;
ALTER TABLE new_shard RENAME TO shard;
PRAGMA legacy_alter_table = OFF;

-- Import: is there a shard of this size that begins alike?
CREATE INDEX shard_by_head ON shard (bytes, head);
-- gc: only orphans are looked at, and they are few.
CREATE INDEX shard_by_orphaned_at ON shard (orphaned_at) WHERE orphaned_at IS NOT NULL;
-- verify --older-than, and the oldest first within a sample.
CREATE INDEX shard_by_verified_at ON shard (verified_at);
-- Reports of damage: damaged shards are few.
CREATE INDEX shard_by_damage ON shard (state) WHERE state IN ('quarantined', 'missing');
-- Eviction by lru, by lfu, by size: each is read from its beginning, until enough is found. They hold every column of
-- `candidate`, so that a policy with an order of its own reads one of them through, and no rows of the table.
CREATE INDEX candidate_by_last_access
    ON shard (last_access, id, bytes, access_count, heat, clock, inserted_at, fetch_seconds, layer, kind, evictable)
    WHERE evictable = 1;
CREATE INDEX candidate_by_access_count
    ON shard (access_count, last_access, id, bytes, heat, clock, inserted_at, fetch_seconds, layer, kind, evictable)
    WHERE evictable = 1;
CREATE INDEX candidate_by_bytes
    ON shard (bytes DESC, last_access, id, access_count, heat, clock, inserted_at, fetch_seconds, layer, kind, evictable)
    WHERE evictable = 1;
-- The same for KV blocks: by tail, by lru, by lfu. There are fewer of them, and other orders may sort them.
CREATE INDEX kv_by_tail ON shard (last_access - 2 * depth, depth DESC, id, bytes, orphaned_at) WHERE kind = 'kv';
CREATE INDEX kv_by_last_access ON shard (last_access, id, bytes, orphaned_at) WHERE kind = 'kv';
CREATE INDEX kv_by_access_count ON shard (access_count, last_access, id, bytes, orphaned_at) WHERE kind = 'kv';

-- Blocks that can follow each other: one revision, one layout of the bytes, one tenant, one length.
CREATE TABLE kv_space (
    id            INTEGER PRIMARY KEY,
    -- What every key of the space is made from.
    digest        BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    revision_id   INTEGER NOT NULL REFERENCES revision (id) ON DELETE CASCADE,
    format        TEXT    NOT NULL,
    -- SHA-256 of the tenant's salt; the salt itself is not kept.
    tenant        BLOB    NOT NULL CHECK (length(tenant) = 32),
    block_tokens  INTEGER NOT NULL CHECK (block_tokens > 0),
    created_at    INTEGER NOT NULL
) STRICT;

-- The spaces of a revision, and the cascade from it.
CREATE INDEX kv_space_by_revision ON kv_space (revision_id);

-- A block is here only as long as the block before it is: that `parent_id` has no action on deletion sees to that, too.
CREATE TABLE kv_block (
    shard_id      INTEGER PRIMARY KEY REFERENCES shard (id),
    -- SHA-256 over the space's digest, the key of the block before it, and the block's tokens.
    key           BLOB    NOT NULL UNIQUE CHECK (length(key) = 32),
    space_id      INTEGER NOT NULL REFERENCES kv_space (id) ON DELETE CASCADE,
    -- The block before it; NULL for the first.
    parent_id     INTEGER REFERENCES kv_block (shard_id)
) STRICT;

-- What builds on a block.
CREATE INDEX kv_block_by_parent ON kv_block (parent_id);
-- The blocks of a space, and the cascade from it.
CREATE INDEX kv_block_by_space ON kv_block (space_id);

-- Whatever takes a block's row, by cascade from its revision too: its shard is an orphan that no grace period keeps; or,
-- if a file has come to hold the very same bytes, the file's.
CREATE TRIGGER kv_block_gone AFTER DELETE ON kv_block
BEGIN
    UPDATE shard SET orphaned_at = 0 WHERE id = OLD.shard_id;
    UPDATE shard
    SET kind = 'file', depth = NULL,
        orphaned_at = iif(EXISTS (SELECT 1 FROM extent WHERE extent.shard_id = shard.id), NULL, unixepoch())
    WHERE id = OLD.shard_id
          AND (EXISTS (SELECT 1 FROM extent WHERE extent.shard_id = shard.id)
               OR EXISTS (SELECT 1 FROM claim WHERE claim.shard_id = shard.id));
END;

-- `tally` counts what the weights' quota is for, this what the KV blocks' is for.
CREATE TABLE kv_tally (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    shards        INTEGER NOT NULL,
    bytes         INTEGER NOT NULL
) STRICT;

INSERT INTO kv_tally (id, shards, bytes) VALUES (1, 0, 0);

CREATE TRIGGER tally_insert AFTER INSERT ON shard WHEN NEW.state = 'present' AND NEW.kind <> 'kv'
BEGIN
    UPDATE tally SET shards = shards + 1, bytes = bytes + NEW.bytes;
END;

CREATE TRIGGER tally_delete AFTER DELETE ON shard WHEN OLD.state = 'present' AND OLD.kind <> 'kv'
BEGIN
    UPDATE tally SET shards = shards - 1, bytes = bytes - OLD.bytes;
END;

CREATE TRIGGER tally_update AFTER UPDATE OF state, kind ON shard
WHEN (OLD.state = 'present' AND OLD.kind <> 'kv') <> (NEW.state = 'present' AND NEW.kind <> 'kv')
BEGIN
    UPDATE tally
    SET shards = shards + iif(NEW.state = 'present' AND NEW.kind <> 'kv', 1, -1),
        bytes = bytes + iif(NEW.state = 'present' AND NEW.kind <> 'kv', NEW.bytes, -OLD.bytes);
END;

CREATE TRIGGER kv_tally_insert AFTER INSERT ON shard WHEN NEW.state = 'present' AND NEW.kind = 'kv'
BEGIN
    UPDATE kv_tally SET shards = shards + 1, bytes = bytes + NEW.bytes;
END;

CREATE TRIGGER kv_tally_delete AFTER DELETE ON shard WHEN OLD.state = 'present' AND OLD.kind = 'kv'
BEGIN
    UPDATE kv_tally SET shards = shards - 1, bytes = bytes - OLD.bytes;
END;

CREATE TRIGGER kv_tally_update AFTER UPDATE OF state, kind ON shard
WHEN (OLD.state = 'present' AND OLD.kind = 'kv') <> (NEW.state = 'present' AND NEW.kind = 'kv')
BEGIN
    UPDATE kv_tally
    SET shards = shards + iif(NEW.state = 'present' AND NEW.kind = 'kv', 1, -1),
        bytes = bytes + iif(NEW.state = 'present' AND NEW.kind = 'kv', NEW.bytes, -OLD.bytes);
END;

-- What shard.evictable must be.
CREATE VIEW standing AS
SELECT shard.id AS shard_id,
       shard.state = 'present' AND shard.kind <> 'kv'
       AND EXISTS (
         SELECT 1
         FROM extent
         JOIN revision_file ON revision_file.file_id = extent.file_id
         JOIN revision ON revision.id = revision_file.revision_id
         JOIN origin ON origin.model_id = revision.model_id
         WHERE extent.shard_id = shard.id AND revision.recoverable)
       AND NOT EXISTS (
         SELECT 1
         FROM extent
         JOIN revision_file ON revision_file.file_id = extent.file_id
         JOIN pin ON pin.revision_id = revision_file.revision_id
         WHERE extent.shard_id = shard.id) AS evictable
FROM shard;

CREATE TRIGGER standing_state AFTER UPDATE OF state, kind ON shard WHEN OLD.state <> NEW.state OR OLD.kind <> NEW.kind
BEGIN
    UPDATE shard SET evictable = (SELECT evictable FROM standing WHERE shard_id = NEW.id) WHERE id = NEW.id;
END;
