-- How a file is cut into shards: the number of the rule (`ShardPlan`), which its manifest records. Files of older versions are
-- cut by the first rule; they stay as they are.
ALTER TABLE file ADD COLUMN rule INTEGER NOT NULL DEFAULT 1 CHECK (rule >= 1);

-- Imports: may the store hold this file, cut by another rule?
CREATE INDEX file_by_bytes ON file (bytes, format);
