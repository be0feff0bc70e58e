-- LFU with dynamic aging: the priority is the clock at the last use plus the uses, so formerly popular shards age.
-- Arlitt et al., Evaluating Content Management Techniques for Web Proxy Caches (SIGMETRICS PER 27, 2000).
SELECT shard_id, bytes, clock + access_count AS priority
FROM candidate
ORDER BY priority, last_access, shard_id
