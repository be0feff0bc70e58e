-- KV blocks are valid for every revision, of whatever model, that has the digest which their space was made from: the one
-- that the revision had when it became known. A space's row hangs on one of them, and stays until the last has gone.

-- The other revisions of a space.
CREATE INDEX revision_by_lasting_digest ON revision (coalesce(provisional, digest));

-- The revisions that the blocks of a space are valid for.
CREATE VIEW kv_space_revision AS
SELECT kv_space.id AS space_id, revision.id AS revision_id
FROM kv_space
JOIN revision AS owner ON owner.id = kv_space.revision_id
JOIN revision ON coalesce(revision.provisional, revision.digest) = coalesce(owner.provisional, owner.digest);

-- Before the cascade: whatever deletes a revision, its spaces go over to another one that they are valid for.
CREATE TRIGGER kv_space_inherited BEFORE DELETE ON revision
WHEN EXISTS (SELECT 1 FROM kv_space WHERE revision_id = OLD.id)
BEGIN
    UPDATE kv_space
    SET revision_id = coalesce(
      (SELECT id
       FROM revision
       WHERE coalesce(provisional, digest) = coalesce(OLD.provisional, OLD.digest) AND id <> OLD.id
       LIMIT 1),
      revision_id)
    WHERE revision_id = OLD.id;
END;
