-- Common prompts: token sequences that many requests to a model begin with, so that their KV blocks can be warmed.
CREATE TABLE prompt (
    id            INTEGER PRIMARY KEY,
    model_id      INTEGER NOT NULL REFERENCES model (id) ON DELETE CASCADE,
    name          TEXT    NOT NULL,
    -- The SHA-256 of the tokens.
    digest        BLOB    NOT NULL CHECK (length(digest) = 32),
    -- 32-bit numbers, the low byte first.
    tokens        BLOB    NOT NULL CHECK (length(tokens) > 0 AND length(tokens) % 4 = 0),
    created_at    INTEGER NOT NULL,
    -- Requests that began with it, since it was registered.
    access_count  INTEGER NOT NULL DEFAULT 0,
    last_access   INTEGER NOT NULL,
    -- Uses, each halved for every day that has passed since, as of last_access. Registering it counts as one.
    heat          REAL    NOT NULL DEFAULT 1,
    UNIQUE (model_id, name),
    UNIQUE (model_id, digest)
) STRICT;
