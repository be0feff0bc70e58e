-- Tails of prefixes before their heads: least recently used first, where each preceding block adds 2 seconds to the age
-- of a block. (A head serves every request with the same beginning, a tail only requests with the whole prefix.)
SELECT shard_id, bytes
FROM candidate
ORDER BY last_access - 2 * depth, depth DESC, shard_id
