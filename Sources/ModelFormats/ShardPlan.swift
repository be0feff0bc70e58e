/// The division of a file into shards, at tensor boundaries.
///
/// A tensor of 1 MiB or more is a shard of its own. Smaller tensors of the same layer and expert are packed, sorted by
/// name, each aligned to 64 bytes. The bytes outside all tensors are one shard, in file order. The plan depends only on
/// the header, so the same file is always divided in the same way.
package struct ShardPlan: Sendable {
    /// The content of a shard.
    package enum Kind: Sendable {
        /// One tensor.
        case tensor
        /// The smaller tensors of one layer.
        case pack
        /// Bytes outside all tensors: headers, padding, files without tensors.
        case file
    }

    /// One planned shard.
    package struct Shard: Sendable {
        package var kind: Kind
        package var bytes: Int
        package var layer: Int?
    }

    /// The smallest tensor that is a shard of its own, in bytes.
    package static let tensorBytes = 1 << 20
    /// The largest pack, in bytes. It bounds the pack of a model whose tensor names give no layer.
    static let packBytes = 16 << 20
    static let packAlignment = 64

    /// The shards; extents refer to them by index.
    package private(set) var shards: [Shard] = []
    /// In file order, covering every byte.
    package private(set) var extents: [Extent] = []

    /// The extents, each with its offset in the file.
    package var places: [(offset: Int, extent: Extent)] {
        var offset = 0
        return extents.map { extent in
            defer { offset += extent.length }
            return (offset, extent)
        }
    }

    /// Plans the shards of a file.
    package init(_ layout: FileLayout) {
        /// The extents of each pack, with the names of their tensors.
        var packs: [TensorPlace: [(extent: Int, name: String)]] = [:]
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

        for tensor in layout.tensors where tensor.bytes > 0 {
            addGap(to: tensor.offset)
            let place = TensorPlace(tensorName: tensor.name)
            if tensor.bytes >= Self.tensorBytes {
                extents.append(Extent(shard: shards.count, shardOffset: 0, length: tensor.bytes))
                shards.append(Shard(kind: .tensor, bytes: tensor.bytes, layer: place.layer))
            } else {
                if packs[place] == nil { packOrder.append(place) }
                packs[place, default: []].append((extents.count, tensor.name))
                extents.append(Extent(shard: -1, shardOffset: 0, length: tensor.bytes))
            }
            cursor = tensor.offset + tensor.bytes
        }
        addGap(to: layout.bytes)

        for place in packOrder {
            var open = -1
            let members = packs[place, default: []].sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
            for index in members.map(\.extent) {
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
