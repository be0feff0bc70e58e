-- The identity of the store, which the marker `blobs/.store` repeats, and the number of commits, which `write.lock`
-- repeats: deletions need both to agree. `store.marked` is 1 once the marker has been written.
INSERT OR IGNORE INTO setting (name, value) VALUES ('store.id', lower(hex(randomblob(16))));
INSERT OR IGNORE INTO setting (name, value) VALUES ('store.commits', 0);
INSERT OR IGNORE INTO setting (name, value) VALUES ('store.marked', 0);

-- DeletionAuthority: does a model have this record?
CREATE INDEX model_by_record ON model (record);
