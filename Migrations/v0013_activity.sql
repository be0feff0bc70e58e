-- What happens in the store, and how much: events, and counts of reads and evictions per minute.

-- The newest events; EventTable removes older ones.
CREATE TABLE event (
    -- Ascending, and never used twice: the newest event always stays.
    id            INTEGER PRIMARY KEY,
    -- Seconds since 1970.
    at            INTEGER NOT NULL,
    kind          TEXT    NOT NULL,
    -- The model, revision, ref, shard or origin that the event is about; '' if it is the store.
    subject       TEXT    NOT NULL,
    -- The process that did it, and its user.
    program       TEXT    NOT NULL,
    pid           INTEGER NOT NULL,
    user          TEXT    NOT NULL,
    -- NULL if the event is not about a size or a number.
    bytes         INTEGER,
    count         INTEGER,
    detail        TEXT    NOT NULL
) STRICT;

-- The counts of all processes: what was added in each of the last minutes, and the totals since the catalog was made.
-- ActivityTable adds them with the counts of accesses.
CREATE TABLE activity (
    -- Minutes since 1970; 0 for the totals.
    minute        INTEGER NOT NULL CHECK (minute >= 0),
    metric        TEXT    NOT NULL,
    -- The tier, or the kind of the source; '' if there is none.
    place         TEXT    NOT NULL,
    -- The bucket of a histogram, the policy of an eviction, the reason of a failure; '' if there is none.
    part          TEXT    NOT NULL,
    value         REAL    NOT NULL,
    PRIMARY KEY (minute, metric, place, part)
) STRICT, WITHOUT ROWID;
