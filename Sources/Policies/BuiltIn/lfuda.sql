-- LFU with dynamic ageing: what was popular once does not stay for ever, because each new use starts from the clock.
-- Arlitt et al., Evaluating Content Management Techniques for Web Proxy Caches (SIGMETRICS PER 27, 2000).
SELECT shard_id, bytes, clock + access_count AS priority
FROM candidate
ORDER BY priority, last_access, shard_id
