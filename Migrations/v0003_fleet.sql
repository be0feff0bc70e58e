-- What a node knows of its fleet (DESIGN.md, "Many nodes"). All of it can be read anew from the object store and etcd: a
-- rebuild leaves these tables empty, and nothing is lost.

-- How far a fleet's events were applied. A fleet is named by its bucket's URL.
CREATE TABLE fleet (
    origin        TEXT    PRIMARY KEY,
    -- The id of the etcd cluster that `revision` counts in; NULL before the first event, and without etcd.
    cluster       TEXT,
    -- The last revision whose events were applied, set in the transaction that applied them.
    revision      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- The version map, as far as this node has heard.
CREATE TABLE fleet_model (
    origin        TEXT    NOT NULL REFERENCES fleet (origin) ON DELETE CASCADE,
    model         TEXT    NOT NULL,
    -- Grows by one with each change of the model's versions or refs; what is older than this is not applied.
    generation    INTEGER NOT NULL,
    -- The versions and refs, in JSON, as the bucket has them.
    versions      TEXT    NOT NULL,
    PRIMARY KEY (origin, model)
) STRICT, WITHOUT ROWID;

-- The other nodes, for processes of this machine that are not the node: whom to ask before the object store.
CREATE TABLE fleet_peer (
    origin        TEXT    NOT NULL REFERENCES fleet (origin) ON DELETE CASCADE,
    name          TEXT    NOT NULL,
    url           TEXT    NOT NULL,
    -- The models that it follows, in JSON.
    follows       TEXT    NOT NULL,
    PRIMARY KEY (origin, name)
) STRICT, WITHOUT ROWID;
