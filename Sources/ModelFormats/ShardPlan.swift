/// How a file is cut into shards: tensor boundaries are the chunk boundaries of weights.
///
/// A tensor of 1 MiB or more is a shard of its own. The smaller ones of one layer (of one expert of it) are packed,
/// sorted by name, each aligned to 64 bytes. What belongs to no tensor is one shard, in file order. The plan depends
/// on the header alone, so that the same file is always cut alike.
package struct ShardPlan: Sendable {
    /// What a shard of a file holds.
    package enum Kind: Sendable {
        /// One tensor.
        case tensor
        /// The smaller tensors of one layer.
        case pack
        /// Bytes of no tensor.
        case file
    }

    package struct Shard: Sendable {
        package var kind: Kind
        package var bytes: Int
        package var layer: Int?
    }

    /// From this many bytes on, a tensor is a shard of its own.
    package static let tensorBytes = 1 << 20
    /// A pack is closed before it grows beyond this, so that models with unknown names make no endless packs.
    static let packBytes = 16 << 20
    static let packAlignment = 64

    package private(set) var shards: [Shard] = []
    /// In file order, covering every byte.
    package private(set) var extents: [Extent] = []

    /// The extents, and where each begins in the file.
    package var places: [(offset: Int, extent: Extent)] {
        var offset = 0
        return extents.map { extent in
            defer { offset += extent.length }
            return (offset, extent)
        }
    }

    package init(_ layout: FileLayout) {
        var packs: [TensorPlace: [Int]] = [:]
        var packOrder: [TensorPlace] = []
        var gap: Int?
        var cursor = 0

        func addGap(to end: Int) {
            guard end > cursor else { return }
            let shard = gap ?? shards.count
            if gap == nil {
                gap = shard
                shards.append(Shard(kind: .file, bytes: 0))
            }
            extents.append(Extent(shard: shard, shardOffset: shards[shard].bytes, length: end - cursor))
            shards[shard].bytes += end - cursor
            cursor = end
        }

        var names: [Int: String] = [:]
        for tensor in layout.tensors where tensor.bytes > 0 {
            addGap(to: tensor.offset)
            let place = TensorPlace(tensorName: tensor.name)
            if tensor.bytes >= Self.tensorBytes {
                extents.append(Extent(shard: shards.count, shardOffset: 0, length: tensor.bytes))
                shards.append(Shard(kind: .tensor, bytes: tensor.bytes, layer: place.layer))
            } else {
                if packs[place] == nil { packOrder.append(place) }
                packs[place, default: []].append(extents.count)
                names[extents.count] = tensor.name
                extents.append(Extent(shard: -1, shardOffset: 0, length: tensor.bytes))
            }
            cursor = tensor.offset + tensor.bytes
        }
        addGap(to: layout.bytes)

        for place in packOrder {
            var open = -1
            for index in packs[place]!.sorted(by: { names[$0]! < names[$1]! }) {
                let length = extents[index].length
                var offset = open < 0 ? 0 : shards[open].bytes.roundedUp(to: Self.packAlignment)
                if open < 0 || offset + length > Self.packBytes {
                    open = shards.count
                    offset = 0
                    shards.append(Shard(kind: .pack, bytes: 0, layer: place.layer))
                }
                extents[index].shard = open
                extents[index].shardOffset = offset
                shards[open].bytes = offset + length
            }
        }
    }
}

extension Int {
    func roundedUp(to alignment: Int) -> Int {
        (self + alignment - 1) / alignment * alignment
    }
}
