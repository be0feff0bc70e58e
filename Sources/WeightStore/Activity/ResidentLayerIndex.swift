import Storage
import Synchronization
import Tiers

/// Finds the layers of the revisions in use that are resident in the memory tiers of this process.
///
/// The shards of a revision are read from the catalog once, while it is in use and a tier has bytes. A tier is compared with
/// them only if shards were loaded or evicted since the last call, or another revision is in use.
final class ResidentLayerIndex: Sendable {
    typealias Use = LeaseDirectory.Use

    /// A tier at the time of its last comparison. It keeps the tier, so that no other one has the same identity.
    private struct Known {
        let tier: MemoryTier
        let contents: MemoryTier.Contents
        let layers: [Use: ResidentLayers]
    }

    private struct State {
        var revisions: [Use: RevisionLayers] = [:]
        /// By the name of the tier.
        var tiers: [String: Known] = [:]
    }

    /// The most revisions that are read in one call. The others are read in the next ones.
    private static let mostReads = 16

    private let catalog: Catalog
    private let state = Mutex(State())

    init(_ catalog: Catalog) { self.catalog = catalog }

    /// The resident layers of each revision, by the name of the tier, without tiers that have none. A revision that was not
    /// read yet, or cannot be read, has no entry.
    ///
    /// Concurrent calls may compare the same tier twice; each of their results is right.
    func layers(of used: Set<Use>, in tiers: [MemoryTier]) -> [Use: [String: ResidentLayers]] {
        let before = state.withLock { $0 }
        var next = State()
        var result: [Use: [String: ResidentLayers]] = [:]
        let contents = tiers.map(\.contents)
        if contents.allSatisfy({ $0.resident == 0 }) {
            for use in used { result[use] = [:] }
        } else {
            let isUnchanged = zip(tiers, contents).allSatisfy { tier, contents in
                before.tiers["\(tier.tier)"].map { $0.tier === tier && $0.contents == contents } ?? false
            }
            next.revisions = revisions(of: used, before.revisions, isUnchanged: isUnchanged)
            for use in next.revisions.keys { result[use] = [:] }
            for tier in tiers {
                let name = "\(tier.tier)"
                let known = compare(tier, with: next.revisions, before.tiers[name])
                next.tiers[name] = known
                for (use, layers) in known.layers where !layers.isEmpty { result[use]?[name] = layers }
            }
        }
        state.withLock { $0 = next }
        return result
    }

    /// Compares a tier with the revisions, unless the last comparison is still right.
    private func compare(_ tier: MemoryTier, with revisions: [Use: RevisionLayers], _ last: Known?) -> Known {
        let last = last.flatMap { $0.tier === tier && Set($0.layers.keys) == Set(revisions.keys) ? $0 : nil }
        guard let ready = tier.readyShards(unless: last?.contents) else {
            // Only a known comparison has the same contents.
            return last ?? Known(tier: tier, contents: tier.contents, layers: [:])
        }
        return Known(
            tier: tier, contents: ready.contents, layers: revisions.mapValues { $0.resident(in: ready.digests) })
    }

    /// Reads the revisions that are not known, and, if something was loaded, those of which bytes were never fetched.
    private func revisions(
        of used: Set<Use>, _ known: [Use: RevisionLayers], isUnchanged: Bool
    ) -> [Use: RevisionLayers] {
        var all = known.filter { used.contains($0.key) && (isUnchanged || !$0.value.isPending) }
        let unknown = used.filter { all[$0] == nil }.prefix(Self.mostReads)
        if unknown.isEmpty { return all }
        // An unreadable catalog is reported by those who need it. The next second is another attempt.
        let read = try? catalog.read { db in try unknown.map { ($0, try RevisionLayers(of: $0, db)) } }
        for (use, layers) in read ?? [] { all[use] = layers }
        return all
    }
}
