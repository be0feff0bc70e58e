-- Uses that fade (half of a use is left after a day), also those from before the last eviction, × seconds to fetch the
-- shard again ÷ bytes.
SELECT shard_id, bytes
FROM candidate
ORDER BY heat * fetch_seconds / bytes, last_access, shard_id
