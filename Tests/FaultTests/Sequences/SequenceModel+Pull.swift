import Storage

/// Revisions that are fetched from the hub. Such a revision is listed at once; until all of its bytes have arrived, it
/// has a provisional digest, and the shards that have arrived.
extension SequenceModel {
    /// Whether bytes of a revision have not arrived.
    func isPending(_ key: Key) -> Bool { bytes[key.digest]?.isPending == true }

    var hasPending: Bool { listing.revisions.keys.contains { isPending($0) } }
    var hasPendingBackup: Bool { backup?.revisions.keys.contains { isPending($0) } ?? false }

    /// Notes the shards of a pull under way. Those before the command count, too, until it has been checked.
    mutating func note(arrived shards: [ContentDigest: Int], of revision: ContentDigest) {
        arrived[revision] = shards
        let isListed = listing.revisions.keys.contains { $0.digest == revision }
        let before: [ContentDigest: Int] = isListed ? bytes[revision]?.shards ?? [:] : [:]
        bytes[revision]?.shards = before.merging(shards) { $1 }
    }

    /// Checks that a pull under way still has the shards that had arrived. A rebuild keeps only their blobs.
    mutating func settlePulls(_ command: SequenceCommand) throws {
        for (revision, shards) in arrived {
            let lost = Set((bytes[revision]?.shards ?? [:]).keys).subtracting(shards.keys)
            guard lost.isEmpty || command == .rebuild else {
                throw SequenceFailure(
                    "after \(command), the pull \(revision.short) lacks \(lost.count) shards that had arrived")
            }
            bytes[revision]?.shards = shards
        }
        arrived = [:]
    }

    /// A read or a pull completes a revision: it then has its final digest.
    mutating func completePulls(_ command: SequenceCommand, _ after: CatalogListing) {
        switch command {
        case .pull, .export: break
        default: return
        }
        for (key, revision) in listing.revisions where isPending(key) && after.revisions[key] == nil {
            let complete = after.keys(of: key.model).first { other in
                listing.revisions[other] == nil && after.revisions[other]?.version == revision.version
                    && !isPending(other) && bytes[other.digest]?.files == bytes[key.digest]?.files
            }
            guard let complete else { continue }
            listing.revisions[key] = nil
            listing.revisions[complete] = revision
            checked = Set(checked.map { $0.revision == key ? Pair(revision: complete, url: $0.url) : $0 })
            if held.remove(key) != nil { held.insert(complete) }
            // KV blocks belong to the first digest.
            if let prompts = possibleBlocks.removeValue(forKey: key.digest) {
                possibleBlocks[complete.digest, default: []].formUnion(prompts)
            }
            certainBlocks[key.digest] = nil
        }
    }

    /// Follows a pull: the hub's newest revision is `main`.
    ///
    /// - Parameter isDone: whether it succeeded; otherwise it has ended after it listed the revision.
    mutating func pulled(
        _ layers: Int?, isDone: Bool, _ after: CatalogListing, _ old: SequenceState, _ new: SequenceState
    ) throws {
        let model = SequenceHub.model
        guard let hub = old.hub, hub.isOpen, let files = hub.revisions.last else {
            throw SequenceFailure("a pull from a hub that does not answer, or has no revision, has changed the catalog")
        }
        guard let key = after.target(of: "main", in: model), bytes[key.digest]?.files == files else {
            throw SequenceFailure("after a pull, main of \(model) is not the hub's newest revision")
        }
        listing.models.insert(model)
        if listing.revisions[key] == nil {
            let version = after.revisions[key]?.version ?? 0
            guard version > listing.newestVersion(of: model) else {
                throw SequenceFailure("\(key) has version \(version), and there is a newer one already")
            }
            listing.revisions[key] = CatalogListing.Revision(version: version)
        }
        listing.move("main", to: key)
        listing.revisions[key]?.origins.insert(hub.url)
        checked.insert(Pair(revision: key, url: hub.url))
        removedAfterBackup.remove(key)
        guard isDone else { return }
        guard layers != nil || !isPending(key) else { throw SequenceFailure("a pull has not fetched all of \(key)") }
        for shard in (bytes[key.digest]?.shards ?? [:]).keys where !isObtainable(shard, in: after, new) {
            throw SequenceFailure("\(key) was pulled, and its shard \(shard.short) is nowhere")
        }
    }

    /// Whether the rules allow that a pull is refused with a status.
    func mayRefusePull(_ layer: Int?, _ status: Int32, _ old: SequenceState) -> Bool {
        let hasDirectory = listing.keys(of: SequenceHub.model).contains { key in
            listing.revisions[key]?.origins.contains { SequenceState.place(of: $0) != nil } ?? false
        }
        let hasWeights = old.hub?.revisions.last?.keys.contains(where: SequenceFiles.isWeights) ?? false
        let hasLayer = layer.map { hasWeights && $0 < SequenceFiles.layers }
        return switch status {
        case 2: old.hub?.isOpen == true && !(hasLayer ?? (old.hub?.revisions.isEmpty == false))
        case 5: quota != nil
        // A directory cannot list models.
        case 6: hasDirectory
        case 9: old.hub.map { !$0.isOpen } ?? false
        default: false
        }
    }
}
