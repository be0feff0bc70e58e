-- Shards inserted more than 7 days (604800 s) ago first, the oldest first; then the least recently used.
SELECT shard_id, bytes
FROM candidate
ORDER BY CASE WHEN inserted_at < :now - 604800 THEN inserted_at END NULLS LAST, last_access, shard_id
