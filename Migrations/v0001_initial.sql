-- The catalog: which models, revisions, files, tensors and shards a store holds.
--
-- Times are whole seconds since 1970. Sizes are bytes. Digests are SHA-256, 32 bytes.
-- Every column that a query looks up or orders by has an index that names the query.

CREATE TABLE model (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    -- The highest version ever given, so that a number is never used twice.
    last_version  INTEGER NOT NULL DEFAULT 0,
    -- The model's record: a blob with its revisions, refs, pins and origins, from which `rebuild` makes these rows again.
    record        BLOB    CHECK (length(record) = 32),
    -- Grows with every record written; the highest wins in a rebuild.
    sequence      INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE revision (
    id            INTEGER PRIMARY KEY,
    model_id      INTEGER NOT NULL REFERENCES model (id) ON DELETE CASCADE,
    -- The digest of the manifest blob.
    digest        BLOB    NOT NULL CHECK (length(digest) = 32),
    -- The digest that it had before all of its bytes had come; NULL for what came at once. Leases go by both.
    provisional   BLOB    CHECK (length(provisional) = 32),
    -- 1, 2, 3 … per model; NULL while `import --move` is still bringing files in.
    version       INTEGER CHECK (version > 0),
    -- 40 hexadecimal digits: the hub's commit, or the head of the digest for a local import.
    commit_id     TEXT    NOT NULL CHECK (length(commit_id) = 40),
    -- What the revision's files add up to. Immutable, so that listing models sums no extents.
    bytes         INTEGER NOT NULL,
    file_count    INTEGER NOT NULL,
    tensor_count  INTEGER NOT NULL,
    layer_count   INTEGER NOT NULL,
    -- Where it was imported from.
    source        TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    last_access   INTEGER NOT NULL,
    access_count  INTEGER NOT NULL DEFAULT 0,
    -- Whether the model's origins hold this revision: said by whoever brought it in.
    recoverable   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (model_id, digest),
    UNIQUE (model_id, version)
) STRICT;

-- Revision by digest or digest prefix; manifests known to the sweep.
CREATE INDEX revision_by_digest ON revision (digest);

CREATE TABLE ref (
    model_id      INTEGER NOT NULL REFERENCES model (id) ON DELETE CASCADE,
    name          TEXT    NOT NULL,
    revision_id   INTEGER NOT NULL REFERENCES revision (id) ON DELETE CASCADE,
    updated_at    INTEGER NOT NULL,
    PRIMARY KEY (model_id, name)
) STRICT, WITHOUT ROWID;

-- Refs of a revision (`ls`, `prune`), and the cascade from revision.
CREATE INDEX ref_by_revision ON ref (revision_id);

CREATE TABLE pin (
    revision_id   INTEGER PRIMARY KEY REFERENCES revision (id) ON DELETE CASCADE,
    note          TEXT    NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE origin (
    model_id      INTEGER NOT NULL REFERENCES model (id) ON DELETE CASCADE,
    -- 0 is the nearest.
    position      INTEGER NOT NULL,
    url           TEXT    NOT NULL,
    PRIMARY KEY (model_id, position)
) STRICT, WITHOUT ROWID;

-- One row for each distinct file content; revisions that carry the same bytes share it.
CREATE TABLE file (
    id            INTEGER PRIMARY KEY,
    digest        BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    bytes         INTEGER NOT NULL,
    format        TEXT    NOT NULL,
    -- 1 while not all bytes have come, or not been compared with the digest. What has not come has no extent.
    pending       INTEGER NOT NULL DEFAULT 0 CHECK (pending IN (0, 1))
) STRICT;

CREATE TABLE revision_file (
    revision_id   INTEGER NOT NULL REFERENCES revision (id) ON DELETE CASCADE,
    path          TEXT    NOT NULL,
    file_id       INTEGER NOT NULL REFERENCES file (id),
    PRIMARY KEY (revision_id, path)
) STRICT, WITHOUT ROWID;

-- "Does any revision still hold this file?"
CREATE INDEX revision_file_by_file ON revision_file (file_id);

CREATE TABLE shard (
    id            INTEGER PRIMARY KEY,
    digest        BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    bytes         INTEGER NOT NULL,
    kind          TEXT    NOT NULL CHECK (kind IN ('tensor', 'pack', 'file')),
    layer         INTEGER,
    -- The first 8 bytes of the SHA-256 of the first 4 MiB: with the size, it foretells a duplicate before it is written.
    head          INTEGER NOT NULL,
    -- evicted: an origin has it, and the next use fetches it. quarantined: its bytes changed; missing: its file is gone.
    -- In each case importing the same content brings it back.
    state         TEXT    NOT NULL DEFAULT 'present' CHECK (state IN ('present', 'evicted', 'quarantined', 'missing')),
    -- Present, held by an origin, and not in a pinned revision. Kept by the triggers below, by nobody else.
    evictable     INTEGER NOT NULL DEFAULT 0,
    -- The version of the model that brought it in.
    version       INTEGER,
    -- Uses since it came in, by import or fetch.
    access_count  INTEGER NOT NULL DEFAULT 0,
    last_access   INTEGER NOT NULL,
    -- Uses, each halved for every day that has passed since, as of last_access. It outlives eviction.
    heat          REAL    NOT NULL DEFAULT 0,
    -- The setting eviction.clock as it was when the shard was last used.
    clock         REAL    NOT NULL DEFAULT 0,
    -- When its bytes came in last.
    inserted_at   INTEGER NOT NULL,
    -- What the last fetch took; NULL before the first.
    fetch_seconds REAL,
    verified_at   INTEGER NOT NULL,
    -- Since when no file has referenced it; NULL while one does.
    orphaned_at   INTEGER
) STRICT;

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

-- The extents of a file cover each of its bytes once, in order of offset; of a pending file, those that have come.
CREATE TABLE extent (
    file_id       INTEGER NOT NULL REFERENCES file (id) ON DELETE CASCADE,
    offset        INTEGER NOT NULL,
    length        INTEGER NOT NULL CHECK (length > 0),
    shard_id      INTEGER NOT NULL REFERENCES shard (id),
    shard_offset  INTEGER NOT NULL,
    PRIMARY KEY (file_id, offset)
) STRICT, WITHOUT ROWID;

-- "Does any file still reference this shard?", and which models a damaged shard hits.
CREATE INDEX extent_by_shard ON extent (shard_id);

-- A tensor of one byte or more starts an extent of its own: (file_id, offset) finds its shard.
CREATE TABLE tensor (
    file_id       INTEGER NOT NULL REFERENCES file (id) ON DELETE CASCADE,
    name          TEXT    NOT NULL,
    dtype         TEXT    NOT NULL,
    -- JSON, as the file gives it: [4096,1024]
    shape         TEXT    NOT NULL,
    offset        INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    stack         TEXT,
    layer         INTEGER,
    expert        INTEGER,
    PRIMARY KEY (file_id, name)
) STRICT, WITHOUT ROWID;

-- A layer of a revision.
CREATE INDEX tensor_by_layer ON tensor (file_id, layer);

-- What an unfinished import needs although no file references it yet. A claim counts while its process lives.
CREATE TABLE claim (
    shard_id      INTEGER NOT NULL REFERENCES shard (id) ON DELETE CASCADE,
    lease         TEXT    NOT NULL,
    PRIMARY KEY (shard_id, lease)
) STRICT, WITHOUT ROWID;

CREATE INDEX claim_by_lease ON claim (lease);

-- Files on disk that were hashed before, told apart as make and git do: same inode, size and times, same bytes.
CREATE TABLE source (
    id            INTEGER PRIMARY KEY,
    device        INTEGER NOT NULL,
    inode         INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    modified_ns   INTEGER NOT NULL,
    changed_ns    INTEGER NOT NULL,
    -- NULL while only some of its shards are safe.
    digest        BLOB    CHECK (length(digest) = 32),
    seen_at       INTEGER NOT NULL,
    UNIQUE (device, inode)
) STRICT;

-- gc: forget sources that nobody has imported for a long time.
CREATE INDEX source_by_seen_at ON source (seen_at);

-- The shards of a source that are safe already, by their number in the file's plan.
CREATE TABLE source_shard (
    source_id     INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    ordinal       INTEGER NOT NULL,
    shard_id      INTEGER NOT NULL REFERENCES shard (id) ON DELETE CASCADE,
    PRIMARY KEY (source_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE INDEX source_shard_by_shard ON source_shard (shard_id);

-- What an operator has set, and what must outlive a process: quota, watermarks, policy, the eviction's clock.
CREATE TABLE setting (
    name          TEXT    PRIMARY KEY,
    value         ANY     NOT NULL
) STRICT, WITHOUT ROWID;

-- The shards that are present, counted along: a quota is asked for before every write.
CREATE TABLE tally (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    shards        INTEGER NOT NULL,
    bytes         INTEGER NOT NULL
) STRICT;

INSERT INTO tally (id, shards, bytes) VALUES (1, 0, 0);

CREATE TRIGGER tally_insert AFTER INSERT ON shard WHEN NEW.state = 'present'
BEGIN
    UPDATE tally SET shards = shards + 1, bytes = bytes + NEW.bytes;
END;

CREATE TRIGGER tally_delete AFTER DELETE ON shard WHEN OLD.state = 'present'
BEGIN
    UPDATE tally SET shards = shards - 1, bytes = bytes - OLD.bytes;
END;

CREATE TRIGGER tally_update AFTER UPDATE OF state ON shard WHEN (OLD.state = 'present') <> (NEW.state = 'present')
BEGIN
    UPDATE tally
    SET shards = shards + iif(NEW.state = 'present', 1, -1),
        bytes = bytes + iif(NEW.state = 'present', NEW.bytes, -OLD.bytes);
END;

-- What shard.evictable must be.
CREATE VIEW standing AS
SELECT shard.id AS shard_id,
       shard.state = 'present'
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

-- Each change that may change it looks at the shards it concerns.

CREATE TRIGGER standing_state AFTER UPDATE OF state ON shard WHEN OLD.state <> NEW.state
BEGIN
    UPDATE shard SET evictable = (SELECT evictable FROM standing WHERE shard_id = NEW.id) WHERE id = NEW.id;
END;

CREATE TRIGGER standing_file_linked AFTER INSERT ON revision_file
BEGIN
    UPDATE shard SET evictable = (SELECT standing.evictable FROM standing WHERE standing.shard_id = shard.id)
    WHERE id IN (SELECT extent.shard_id FROM extent WHERE extent.file_id = NEW.file_id);
END;

-- A shard has come of a file that was known before.
CREATE TRIGGER standing_extent AFTER INSERT ON extent
WHEN EXISTS (SELECT 1 FROM revision_file WHERE file_id = NEW.file_id)
BEGIN
    UPDATE shard SET evictable = (SELECT standing.evictable FROM standing WHERE standing.shard_id = shard.id)
    WHERE id = NEW.shard_id;
END;

CREATE TRIGGER standing_file_unlinked AFTER DELETE ON revision_file
BEGIN
    UPDATE shard SET evictable = (SELECT standing.evictable FROM standing WHERE standing.shard_id = shard.id)
    WHERE id IN (SELECT extent.shard_id FROM extent WHERE extent.file_id = OLD.file_id);
END;

CREATE TRIGGER standing_pinned AFTER INSERT ON pin
BEGIN
    UPDATE shard SET evictable = 0
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision_file.revision_id = NEW.revision_id);
END;

CREATE TRIGGER standing_unpinned AFTER DELETE ON pin
BEGIN
    UPDATE shard SET evictable = (SELECT standing.evictable FROM standing WHERE standing.shard_id = shard.id)
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision_file.revision_id = OLD.revision_id);
END;

CREATE TRIGGER standing_recoverable AFTER UPDATE OF recoverable ON revision WHEN OLD.recoverable <> NEW.recoverable
BEGIN
    UPDATE shard SET evictable = (SELECT standing.evictable FROM standing WHERE standing.shard_id = shard.id)
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision_file.revision_id = NEW.id);
END;

CREATE TRIGGER standing_first_origin AFTER INSERT ON origin
WHEN (SELECT count(*) FROM origin WHERE model_id = NEW.model_id) = 1
BEGIN
    UPDATE shard SET evictable = (SELECT standing.evictable FROM standing WHERE standing.shard_id = shard.id)
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision
      JOIN revision_file ON revision_file.revision_id = revision.id
      JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision.model_id = NEW.model_id);
END;

CREATE TRIGGER standing_last_origin AFTER DELETE ON origin
WHEN NOT EXISTS (SELECT 1 FROM origin WHERE model_id = OLD.model_id)
BEGIN
    UPDATE shard SET evictable = (SELECT standing.evictable FROM standing WHERE standing.shard_id = shard.id)
    WHERE id IN (
      SELECT extent.shard_id
      FROM revision
      JOIN revision_file ON revision_file.revision_id = revision.id
      JOIN extent ON extent.file_id = revision_file.file_id
      WHERE revision.model_id = OLD.model_id);
END;
