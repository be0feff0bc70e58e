import Foundation
import Logging
import Origins
import WeightStore

/// The result of a sync.
public struct SyncSummary: Sendable, Codable {
    /// A ref that names another version than before.
    public struct Move: Sendable, Codable {
        /// The model's name.
        public let model: String
        /// The ref's name.
        public let ref: String
        /// The number of the new version.
        public let version: Int
        /// The manifest's digest of the new version.
        public let digest: ContentDigest
    }

    /// The refs that name other versions than before.
    public internal(set) var moved: [Move] = []
    /// Number of shards that the store lacked.
    public internal(set) var shards = 0
    /// Size of these shards.
    public internal(set) var bytes = 0
    /// Bytes fetched from peers.
    public internal(set) var fromPeers = 0
    /// Bytes fetched from elsewhere.
    public internal(set) var fromOrigin = 0
}

/// Brings a store to the versions that the map names: first the shards that differ, then the refs.
///
/// A ref moves when every byte of its new version is stored, and all refs of a model move in one transaction. So a load
/// gets one complete version, even during a sync; and leased shards stay until they are released.
///
/// Shards are fetched in the order of their depth in the trees of `PeerSelector`: first those that this node reads from the
/// object store for others, then those that other nodes must fetch first. So the nodes never all wait for each other.
struct Syncer: Sendable {
    let store: Store
    let fleet: Fleet
    let selector: PeerSelector
    let inFlight: InFlightRegistry

    private struct Change {
        let versions: ModelVersions
        /// The followed refs that name another revision in this store.
        let refs: [String: ContentDigest]
    }

    /// - Parameters:
    ///   - versions: the entries of the followed models.
    ///   - isStale: whether newer versions were received, so that the sync should start again.
    /// - Throws: `CancellationError` if `isStale` returned true; shards fetched until then are kept.
    @discardableResult
    func sync(
        _ versions: [ModelVersions], following follows: [Follow], work: Work = Work(),
        isStale: @escaping @Sendable () -> Bool = { false }
    ) throws -> SyncSummary {
        var summary = SyncSummary()
        let before = selector.bytes
        let changes = try versions.compactMap { try change($0, follows) }
        var wanted: [(digest: ContentDigest, bytes: Int, model: String)] = []
        var seen: Set<ContentDigest> = []
        for item in changes {
            for digest in Set(item.refs.values) {
                let shards = try known(digest, item.versions, work)
                for (digest, bytes) in try store.missing(of: shards) where seen.insert(digest).inserted {
                    wanted.append((digest, bytes, item.versions.model))
                }
            }
        }
        work.expect(wanted.saturatingSum(\.bytes))
        let ordered = wanted.map { (depth: selector.depth(of: $0.digest, model: $0.model), shard: $0) }
            .sorted { ($0.depth, $0.shard.digest) < ($1.depth, $1.shard.digest) }
        inFlight.expect(seen)
        defer { inFlight.forget(seen) }
        let groups = ShardBatch.cut(ordered.map(\.shard), bytes: \.bytes)
        try ParallelWork.run(groups) { [store, inFlight] group in
            if isStale() { throw CancellationError() }
            let bytes = Dictionary(uniqueKeysWithValues: group.map { ($0.digest, $0.bytes) })
            try store.refetch(group: group.map(\.digest), onUse: false, work) { digest, result in
                try result.get()
                inFlight.arrived(digest)
                work.advance(bytes[digest] ?? 0)
            }
        }
        for item in changes {
            try store.setRefs(item.refs, of: item.versions.model)
            summary.moved += item.refs.sorted { $0.key < $1.key }.map {
                .init(
                    model: item.versions.model, ref: $0.key, version: item.versions.version($0.value)?.version ?? 0,
                    digest: $0.value)
            }
        }
        summary.shards = wanted.count
        summary.bytes = wanted.saturatingSum(\.bytes)
        summary.fromPeers = selector.bytes.fromPeers - before.fromPeers
        summary.fromOrigin = selector.bytes.fromOrigin - before.fromOrigin
        if !wanted.isEmpty {
            let models = Set(wanted.map(\.model)).sorted()
            store.record(
                StoreEvent(
                    .fetched, models.count == 1 ? models[0] : "", bytes: summary.bytes, count: summary.shards,
                    detail: "a sync: \(summary.fromPeers) bytes from peers"))
        }
        return summary
    }

    /// A store's state of the followed refs. Their missing bytes are exact if the store has the new version's manifest;
    /// otherwise the version's full size is reported.
    func holdings(_ versions: [ModelVersions], following follows: [Follow]) throws -> [NodeHoldings.Holding] {
        try versions.flatMap { versions in
            let here = try store.refs(of: versions.model)
            return try versions.targets(follows).sorted { $0.key < $1.key }.map { ref, target in
                let digest = here[ref]
                let missing =
                    digest == target.digest
                    ? 0
                    : try store.shards(of: target.digest).map { try store.missing(of: $0).values.reduce(0, +) }
                        ?? target.bytes
                return NodeHoldings.Holding(
                    model: versions.model, ref: ref, wanted: target.version,
                    held: digest.flatMap { versions.version($0)?.version }, digest: digest, missing: missing)
            }
        }
    }

    private func change(_ versions: ModelVersions, _ follows: [Follow]) throws -> Change? {
        let here = try store.refs(of: versions.model)
        let refs = versions.targets(follows).mapValues(\.digest).filter { here[$0.key] != $0.value }
        return refs.isEmpty ? nil : Change(versions: versions, refs: refs)
    }

    /// Adds a revision's manifest to the store if necessary, and returns its shards.
    private func known(_ digest: ContentDigest, _ versions: ModelVersions, _ work: Work) throws -> RevisionShards {
        if let known = try store.shards(of: digest) { return known }
        inFlight.expect([digest])
        defer { inFlight.forget([digest]) }
        let shards =
            try selector.manifest(digest, model: versions.model, work)
            ?? RevisionShards(try S3Origin(fleet.bucket).manifest(digest, work), digest: digest, origin: fleet.origin)
        try store.expect(
            shards, model: versions.model, version: versions.version(digest)?.version, origin: fleet.origin)
        inFlight.arrived(digest)
        return shards
    }
}
