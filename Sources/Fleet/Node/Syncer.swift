import Foundation
import Logging
import Origins
import WeightStore

/// What a sync brought.
public struct SyncSummary: Sendable, Codable {
    public struct Move: Sendable, Codable {
        public let model: String
        public let ref: String
        public let version: Int
        public let digest: ContentDigest
    }

    /// Refs that name other versions than before.
    public internal(set) var moved: [Move] = []
    public internal(set) var shards = 0
    public internal(set) var bytes = 0
    public internal(set) var fromPeers = 0
    public internal(set) var fromOrigin = 0
}

/// Brings a store to the versions that the map says it should have: the shards that differ, then the refs.
///
/// A ref moves when every byte of what it is to name is here, and all refs of a model move in one transaction. So a load
/// gets one version, whole, whatever comes in meanwhile; and what loads hold stays as long as they hold it.
///
/// Shards come in the order of their depth in the trees of `PeerBook`: first those that this node reads from the object
/// store for others, then those that others must have first. So those who wait for each other are never all there are.
struct Syncer: Sendable {
    let store: Store
    let fleet: Fleet
    let book: PeerBook
    let board: ArrivalBoard

    private struct Change {
        let versions: ModelVersions
        /// The followed refs that name something else here.
        let refs: [String: ContentDigest]
    }

    /// - Parameters:
    ///   - versions: of the models that are followed.
    ///   - isStale: whether something newer was heard of, so that it is better to begin anew.
    /// - Throws: `CancellationError` if it was stale; what has come stays.
    @discardableResult
    func sync(
        _ versions: [ModelVersions], following follows: [Follow], work: Work = Work(),
        isStale: @escaping @Sendable () -> Bool = { false }
    ) throws -> SyncSummary {
        var summary = SyncSummary()
        let before = book.bytes
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
        work.expect(wanted.reduce(0) { $0 + $1.bytes })
        let ordered = wanted.map { (depth: book.depth(of: $0.digest, model: $0.model), shard: $0) }
            .sorted { ($0.depth, $0.shard.digest) < ($1.depth, $1.shard.digest) }
        board.expect(seen)
        defer { board.forget(seen) }
        try Lanes.run(ordered.map(\.shard)) { [store, board] shard in
            if isStale() { throw CancellationError() }
            try work.check()
            try store.bringBack(shard.digest, work: work)
            board.arrived(shard.digest)
            work.advance(shard.bytes)
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
        summary.bytes = wanted.reduce(0) { $0 + $1.bytes }
        summary.fromPeers = book.bytes.fromPeers - before.fromPeers
        summary.fromOrigin = book.bytes.fromOrigin - before.fromOrigin
        return summary
    }

    /// What a store has of what is followed. With `countsMissing`, says how many bytes have still to come, as far as that is
    /// known here.
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

    /// Makes a revision known here, and says what its shards are.
    private func known(_ digest: ContentDigest, _ versions: ModelVersions, _ work: Work) throws -> RevisionShards {
        if let known = try store.shards(of: digest) { return known }
        board.expect([digest])
        defer { board.forget([digest]) }
        let shards =
            try book.manifest(digest, model: versions.model, work)
            ?? RevisionShards(try S3Origin(fleet.bucket).manifest(digest, work), digest: digest, origin: fleet.origin)
        try store.expect(
            shards, model: versions.model, version: versions.version(digest)?.version, origin: fleet.origin)
        board.arrived(digest)
        return shards
    }
}
