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
    format        TEXT    NOT NULL
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
    -- quarantined: its bytes changed; missing: its file is gone. Either way, importing the same content heals it.
    state         TEXT    NOT NULL DEFAULT 'present' CHECK (state IN ('present', 'quarantined', 'missing')),
    -- The version of the model that brought it in.
    version       INTEGER,
    access_count  INTEGER NOT NULL DEFAULT 0,
    last_access   INTEGER NOT NULL,
    inserted_at   INTEGER NOT NULL,
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
CREATE INDEX shard_by_damage ON shard (state) WHERE state <> 'present';

-- The extents of a file cover each of its bytes once, in order of offset.
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
