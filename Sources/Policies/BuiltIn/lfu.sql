-- Least frequently used first; of those used equally often, the least recently used. Uses count from the shard's coming in.
SELECT shard_id, bytes
FROM candidate
ORDER BY access_count, last_access, shard_id
