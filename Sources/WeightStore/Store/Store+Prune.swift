import GRDB
import Storage
import Support

extension Store {
    /// Removes revisions by rule. Revisions that a ref names are not candidates, unless the rule includes them; the one
    /// that `main` names never is. Nor are others of the same commit: the ref means the fullest of them. Pinned revisions
    /// and revisions in use are skipped, and listed in ``RemovalSummary/kept``. Models stay, so that version numbers are
    /// not used twice.
    ///
    /// - Parameters:
    ///   - rule: which revisions to remove.
    ///   - dryRun: whether nothing is removed, and the summary says what would be.
    ///   - work: cancelling it ends the call before it removes anything, or between two slices.
    @discardableResult
    public func prune(_ rule: PruneRule, dryRun: Bool = false, work: Work = Work()) throws -> RemovalSummary {
        accesses.flush()
        return try prune(downTo: rule.downToBytes, dryRun: dryRun, work) { db in try self.candidates(rule, db) }
    }

    private func candidates(_ rule: PruneRule, _ db: Database) throws -> [RevisionRow] {
        try RevisionRow.all(
            where: """
                revision.version IS NOT NULL
                AND (:models IS NULL OR model.name GLOB :models)
                AND NOT EXISTS (
                      SELECT 1 FROM ref JOIN revision AS named ON named.id = ref.revision_id
                      WHERE ref.model_id = revision.model_id AND named.commit_id = revision.commit_id
                            AND (ref.name = 'main' OR NOT :referenced))
                AND (:before IS NULL OR max(revision.last_access, revision.created_at) < :before)
                AND (:keep IS NULL OR revision.version NOT IN (
                      SELECT newer.version FROM revision AS newer
                      WHERE newer.model_id = revision.model_id AND newer.version IS NOT NULL
                      ORDER BY newer.version DESC LIMIT :keep))
                ORDER BY revision.last_access, revision.id
                """,
            [
                "models": rule.models, "referenced": rule.includesReferenced,
                "before": rule.olderThanSeconds.map { StoreClock.now.subtracting(saturating: $0) },
                "keep": rule.keepLast,
            ], db)
    }
}
