import WeightStore

/// What origins have in common that keep shards under their digests.
enum BlobRequests {
    /// A manifest larger than this is none.
    static let manifestBytes = 1 << 30

    /// A shard, in parts.
    static func fetch(
        _ resource: Transport.Resource, _ bytes: Int, _ transport: Transport,
        _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let parts = OrderedParts.cut(bytes).map {
            OrderedParts.Part(offset: $0.lowerBound, shardOffset: $0.lowerBound, length: $0.count)
        }
        try OrderedParts.fetch(parts, { part, memory, progress in
            try transport.fill(memory, from: resource, at: part.offset, progress)
        }, body)
    }
}
