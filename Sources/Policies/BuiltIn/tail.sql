-- The tail of a prefix before its head: least recently used first, where each block that comes before a block counts as two
-- seconds since its last use. (A head serves all that begin alike, a tail only who repeats all of it.)
SELECT shard_id, bytes
FROM candidate
ORDER BY last_access - 2 * depth, depth DESC, shard_id
