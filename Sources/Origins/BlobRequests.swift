import WeightStore

/// Requests to origins that store shards under their digests.
enum BlobRequests {
    /// The largest manifest that is accepted, in bytes.
    static let manifestBytes = 1 << 30

    /// Fetches a shard in parts.
    static func fetch(
        _ resource: Transport.Resource, _ request: ShardRequest, _ transport: Transport, _ work: Work,
        _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let start = request.start
        let parts = OrderedFetch.cut(request.bytes - start).map {
            OrderedFetch.Part(offset: start + $0.lowerBound, shardOffset: start + $0.lowerBound, length: $0.count)
        }
        try OrderedFetch.fetch(
            parts, work,
            { part, memory, work in
                try transport.fill(memory, from: resource, at: part.offset, work)
            }, body)
    }
}
