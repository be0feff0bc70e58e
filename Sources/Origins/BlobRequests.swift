import Support
import Synchronization
import WeightStore

/// Requests to origins that store shards under their digests.
enum BlobRequests {
    /// The largest manifest that is accepted, in bytes.
    static let manifestBytes = Manifest.maximumBytes

    /// Fetches a shard, from the start to the end of the request, in parts.
    static func fetch(
        _ resource: Transport.Resource, _ request: ShardRequest, _ transport: Transport, _ work: Work,
        _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let start = request.start
        let parts = OrderedFetch.cut(request.end - start).map {
            OrderedFetch.Part(offset: start + $0.lowerBound, length: $0.count)
        }
        try OrderedFetch.fetch(
            parts, work,
            { part, memory, work in
                try transport.fill(memory, from: resource, at: part.offset, work)
            }
        ) { number, bytes in try body(parts[number].offset, bytes) }
    }

    /// The most shards that a sample looks for.
    private static let samples = 32

    /// Looks for the shards of a revision.
    ///
    /// - Parameters:
    ///   - samples: whether a sample is sufficient, because the origin has the manifest.
    ///   - bytes: the size of a shard at the origin; nil if it is not there, negative if the origin does not say.
    static func check(
        _ request: OriginCheckRequest, samples: Bool, _ work: Work,
        _ bytes: @escaping @Sendable (OriginCheckRequest.Shard) throws -> Int?
    ) throws -> OriginCheckResult {
        let step = samples ? max(request.shards.count / Self.samples, 1) : 1
        let shards = stride(from: 0, to: request.shards.count, by: step).map { request.shards[$0] }
        let lacking = Mutex<String?>(nil)
        try ParallelWork.run(shards) { shard in
            try work.check()
            if lacking.withLock({ $0 }) != nil { return }
            let found = try bytes(shard)
            if let found, found < 0 || found == shard.bytes { return }
            lacking.withLock {
                $0 =
                    found.map { "shard \(shard.digest.short) has \($0) bytes there, expected \(shard.bytes)" }
                    ?? "it has no shard \(shard.digest.short)"
            }
        }
        if let reason = lacking.withLock({ $0 }) { return .lacks(reason: reason) }
        return .holds
    }
}
