-- Segmented LRU: shards used once before shards used again, whose segment holds at most 80 % of the bytes.
-- Karedla, Love, Wherry, Caching Strategies to Improve Disk System Performance (Computer 27(3), 1994).
WITH segmented AS (
    SELECT shard_id, bytes, last_access,
           access_count > 1
           AND sum(bytes) OVER (ORDER BY access_count > 1 DESC, last_access DESC, shard_id DESC)
               <= 0.8 * sum(bytes) OVER () AS protected
    FROM candidate
)
SELECT shard_id, bytes
FROM segmented
ORDER BY protected, last_access, shard_id
