-- Lowest heat × fetch seconds ÷ bytes first. Heat is the number of uses, each halved per day, including uses before the
-- last eviction.
SELECT shard_id, bytes
FROM candidate
ORDER BY heat * fetch_seconds / bytes, last_access, shard_id
