-- Largest first, which keeps the most shards.
SELECT shard_id, bytes
FROM candidate
ORDER BY bytes DESC, last_access, shard_id
