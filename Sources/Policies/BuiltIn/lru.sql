-- Least recently used first.
SELECT shard_id, bytes
FROM candidate
ORDER BY last_access, shard_id
