-- GreedyDual-Size-Frequency: lowest uses × fetch seconds ÷ bytes first, aged by the clock.
-- Cherkasova, Improving WWW Proxies Performance with GreedyDual-Size-Frequency Caching Policy (HPL-98-69, 1998).
SELECT shard_id, bytes, clock + access_count * fetch_seconds / bytes AS priority
FROM candidate
ORDER BY priority, last_access, shard_id
