-- Least frequently used since insertion first; ties: least recently used first.
SELECT shard_id, bytes
FROM candidate
ORDER BY access_count, last_access, shard_id
