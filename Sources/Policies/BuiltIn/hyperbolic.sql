-- Hyperbolic caching: lowest uses per second since insertion × fetch seconds ÷ bytes first.
-- Blankstein, Sen, Freedman, Hyperbolic Caching: Flexible Caching for Web Applications (USENIX ATC 2017).
SELECT shard_id, bytes
FROM candidate
ORDER BY access_count * fetch_seconds / (bytes * (:now - inserted_at + 1)), last_access, shard_id
