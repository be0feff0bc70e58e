-- Imports: which source files a move may still remove, the plan that remembered shards belong to, and whether the bytes of
-- a file were hashed in this store.

-- A file is no longer unique by its digest: the same bytes may be stored as two formats, and a manifest from elsewhere may
-- name other shards for a digest. A constraint cannot be dropped in place, so the table is made anew (see v0002_kv.sql).
PRAGMA legacy_alter_table = ON;

CREATE TABLE new_file (
    id            INTEGER PRIMARY KEY,
    digest        BLOB    NOT NULL CHECK (length(digest) = 32),
    bytes         INTEGER NOT NULL,
    format        TEXT    NOT NULL,
    -- 1 while bytes are missing or were not compared with the digest. A missing byte has no extent.
    pending       INTEGER NOT NULL DEFAULT 0 CHECK (pending IN (0, 1)),
    -- 1 if the bytes of its extents were hashed in this store and have the digest. 0 if the digest is only what a manifest
    -- says: an import then does not reuse the row.
    is_hashed     INTEGER NOT NULL DEFAULT 0 CHECK (is_hashed IN (0, 1))
) STRICT;

-- Of the files of older catalogs it is not known, so the next import of the same file reads it once more.
INSERT INTO new_file (id, digest, bytes, format, pending) SELECT id, digest, bytes, format, pending FROM file;

DROP TABLE file;
ALTER TABLE new_file RENAME TO file;
PRAGMA legacy_alter_table = OFF;

-- Import and pull: is this file stored?
CREATE INDEX file_by_digest ON file (digest, format);

-- The digest of the plan that the shards in source_shard belong to; NULL if an older version remembered them.
ALTER TABLE source ADD COLUMN plan BLOB CHECK (length(plan) = 32);

-- An `import --move` whose source files are not all removed: of a directory, a file or a snapshot, into a revision.
CREATE TABLE move (
    id            INTEGER PRIMARY KEY,
    -- The revision that holds the files that were stored so far.
    revision_id   INTEGER NOT NULL REFERENCES revision (id) ON DELETE CASCADE,
    -- The directory, file or snapshot, with links resolved.
    source        TEXT    NOT NULL,
    UNIQUE (revision_id, source)
) STRICT;

-- Import: what remains to be removed of this source?
CREATE INDEX move_by_source ON move (source);

-- Of the moves that an older version began, the remaining files are not known: they have no rows.
INSERT INTO move (revision_id, source) SELECT id, source FROM revision WHERE version IS NULL;

-- The files of a move that were not yet removed. A row is deleted once the removal is durable.
CREATE TABLE move_file (
    move_id       INTEGER NOT NULL REFERENCES move (id) ON DELETE CASCADE,
    -- The path on disk: of a file, of a link, or of the target of links.
    location      TEXT    NOT NULL,
    -- The state of the file (of a link, not of its target) when it was read. The file is removed only in this state. There
    -- is no device: its number may change with a restart.
    inode         INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    modified_ns   INTEGER NOT NULL,
    changed_ns    INTEGER NOT NULL,
    -- The digest by which the revision holds the bytes; NULL while it does not hold them.
    digest        BLOB    CHECK (length(digest) = 32),
    PRIMARY KEY (move_id, location)
) STRICT, WITHOUT ROWID;
