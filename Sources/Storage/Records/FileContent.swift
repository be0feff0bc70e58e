import ModelFormats
import Support

/// The content of a file as shards: the extents, in order, cover every byte once.
package struct FileContent: Hashable, Sendable {
    package var digest: ContentDigest
    package var bytes: Int
    package var format: FileFormat
    package var shards: [ShardFacts]
    package var extents: [Extent]
    package var tensors: [TensorInfo]
    /// Whether bytes are missing. Then there are no shards and extents, only the published facts and those of the
    /// header.
    package var isPending = false
    /// Whether these bytes were hashed in this store and have the digest. A manifest alone proves nothing.
    package var isHashed = false
    /// The number of the rule by which the file is cut (`ShardPlan.rule`).
    package var rule: Int

    package init(
        digest: ContentDigest, bytes: Int, format: FileFormat, shards: [ShardFacts], extents: [Extent],
        tensors: [TensorInfo], rule: Int = ShardPlan.firstRule, isPending: Bool = false, isHashed: Bool = false
    ) {
        self.digest = digest
        self.bytes = bytes
        self.format = format
        self.shards = shards
        self.extents = extents
        self.tensors = tensors
        self.rule = rule
        self.isPending = isPending
        self.isHashed = isHashed
    }
}

extension FileContent {
    /// The canonical form, which is the same for every import of the same bytes, as manifests require: each shard once,
    /// in the order of its first use in the file.
    package func canonical() -> FileContent {
        var result = self
        var places: [ContentDigest: Int] = [:]
        result.shards = []
        for index in extents.indices {
            let facts = shards[extents[index].shard]
            let place: Int
            if let known = places[facts.digest] {
                place = known
            } else {
                place = result.shards.count
                places[facts.digest] = place
                result.shards.append(facts)
            }
            result.extents[index].shard = place
        }
        return result
    }

    /// The same shards with the tensors of a layout, for bytes that were stored without them: an older version read the
    /// tensors of a file only if its name had the extension.
    ///
    /// The shards stay as they are, usually one for the whole file, so nothing is stored twice; each tensor gets an extent
    /// of its own in them.
    ///
    /// - Returns: nil unless each tensor lies in one shard, in one place.
    package func described(by layout: FileLayout) -> FileContent? {
        guard layout.bytes == bytes else { return nil }
        var result = self
        result.format = layout.format
        result.tensors = layout.tensors
        result.extents = []
        let tensors = layout.tensors.filter { $0.bytes > 0 }
        let cuts = tensors.flatMap { [$0.offset, $0.offset + $0.bytes] }
        var lengths: [Int: Int] = [:]
        var next = 0
        var end = 0
        for extent in extents {
            let first = end
            var start = first
            end = end.adding(saturating: extent.length)
            func append(to place: Int) {
                guard place > start else { return }
                lengths[start] = place - start
                let shardOffset = extent.shardOffset + (start - first)
                result.extents.append(Extent(shard: extent.shard, shardOffset: shardOffset, length: place - start))
                start = place
            }
            while next < cuts.count, cuts[next] < end {
                append(to: cuts[next])
                next += 1
            }
            append(to: end)
        }
        return tensors.allSatisfy { lengths[$0.offset] == $0.bytes } ? result : nil
    }

    /// Derives the kind and layer of the shards from their tensors, as `ShardPlan` gives them.
    mutating func classifyShards() {
        var starts: [Int: Int] = [:]
        var offset = 0
        for extent in extents {
            starts[offset] = extent.shard
            offset += extent.length
        }
        for tensor in tensors where tensor.bytes > 0 {
            guard let shard = starts[tensor.offset] else { continue }
            let isWhole = tensor.bytes >= ShardPlan.tensorBytes && tensor.bytes == shards[shard].bytes
            shards[shard].kind = isWhole ? .tensor : .pack
            shards[shard].layer = TensorPlace(tensorName: tensor.name).layer
        }
    }
}
