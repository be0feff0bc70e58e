-- `shard.version`, the version of the model that brought a shard in, was written and never read.
ALTER TABLE shard DROP COLUMN version;
