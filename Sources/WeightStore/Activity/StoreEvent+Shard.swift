import Storage

extension StoreEvent {
    /// A blob was found damaged or missing.
    ///
    /// - Parameter revisions: the revisions that hold the shard.
    static func damage(of digest: ContentDigest, _ detail: String, _ revisions: [String]) -> StoreEvent {
        about(digest, .damaged, detail, revisions)
    }

    /// A damaged or missing blob was restored.
    static func repair(of digest: ContentDigest, _ detail: String, _ revisions: [String]) -> StoreEvent {
        about(digest, .repaired, detail, revisions)
    }

    /// The subject is the first revision; the shard if no revision holds it.
    private static func about(
        _ digest: ContentDigest, _ kind: EventKind, _ detail: String, _ revisions: [String]
    ) -> StoreEvent {
        let others = revisions.dropFirst().joined(separator: ", ")
        return StoreEvent(
            kind, revisions.first ?? digest.short,
            detail: "shard \(digest.short): \(detail)" + (others.isEmpty ? "" : "; also of \(others)"))
    }
}
