-- Least recently used first; of what was used together, what the most builds on stays longest: the tail of a prefix goes
-- before its head.
SELECT shard_id, bytes
FROM candidate
ORDER BY last_access, depth DESC, shard_id
