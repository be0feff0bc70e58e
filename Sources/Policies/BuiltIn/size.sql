-- Largest first: keeps as many shards as possible.
SELECT shard_id, bytes
FROM candidate
ORDER BY bytes DESC, last_access, shard_id
