/// The free blocks of an arena: found by size, merged by address.
///
/// Best fit: the smallest block that is large enough; of equal sizes, the one with the lowest address. Shards of a
/// model have few different sizes, so the next shard of the same kind fills a freed block exactly.
///
/// The order by size is a sorted array: a search is O(log n), an insertion moves 16 bytes per larger block. With 4,000
/// free blocks, an allocation or a release takes 0.8 µs. With 30,000, more than a model has shards, it takes 9 µs;
/// copying the MiB that it is for takes at least 20 µs.
struct FreeBlocks {
    private struct Block: Comparable {
        var bytes: Int
        var start: UInt64

        static func < (one: Block, other: Block) -> Bool {
            (one.bytes, one.start) < (other.bytes, other.start)
        }
    }

    private var bySize: [Block] = []
    private var bytesByStart: [UInt64: Int] = [:]
    private var startByEnd: [UInt64: UInt64] = [:]

    /// All free bytes.
    private(set) var bytes = 0
    /// Size of the largest block, in bytes.
    var largest: Int { bySize.last?.bytes ?? 0 }
    var count: Int { bySize.count }

    /// Size of the block that begins at `start`, in bytes.
    func bytes(at start: UInt64) -> Int? { bytesByStart[start] }

    /// Allocates `bytes` from the front of the block that fits best.
    ///
    /// - Returns: nil if no block is large enough.
    mutating func allocate(_ bytes: Int) -> UInt64? {
        let place = place(of: Block(bytes: bytes, start: 0))
        guard place < bySize.count else { return nil }
        let block = bySize[place]
        remove(block.start)
        if block.bytes > bytes { insert(Block(bytes: block.bytes - bytes, start: block.start + UInt64(bytes))) }
        return block.start
    }

    /// Allocates a block of exactly this size.
    ///
    /// - Returns: nil if there is none.
    mutating func allocateWhole(_ bytes: Int) -> UInt64? {
        let place = place(of: Block(bytes: bytes, start: 0))
        guard place < bySize.count, bySize[place].bytes == bytes else { return nil }
        let start = bySize[place].start
        remove(start)
        return start
    }

    /// Adds a free block, merged with its free neighbours.
    ///
    /// - Parameter isEdge: whether a slab begins at the given address: blocks of two slabs are never merged, even if
    ///   they are adjacent.
    /// - Returns: the start of the merged block.
    @discardableResult
    mutating func release(_ start: UInt64, bytes: Int, isEdge: (UInt64) -> Bool) -> UInt64 {
        var block = Block(bytes: bytes, start: start)
        let end = start + UInt64(bytes)
        if !isEdge(start), let left = startByEnd[start] {
            block.start = left
            block.bytes += remove(left)
        }
        if !isEdge(end), bytesByStart[end] != nil { block.bytes += remove(end) }
        insert(block)
        return block.start
    }

    /// Removes the block that begins at `start`.
    ///
    /// - Returns: its size in bytes.
    @discardableResult
    mutating func remove(_ start: UInt64) -> Int {
        let size = bytesByStart.removeValue(forKey: start)!
        startByEnd[start + UInt64(size)] = nil
        bySize.remove(at: place(of: Block(bytes: size, start: start)))
        bytes -= size
        return size
    }

    private mutating func insert(_ block: Block) {
        bytesByStart[block.start] = block.bytes
        startByEnd[block.start + UInt64(block.bytes)] = block.start
        bySize.insert(block, at: place(of: block))
        bytes += block.bytes
    }

    /// The index of `block` in the order by size, or the index at which it would be inserted.
    private func place(of block: Block) -> Int {
        var low = 0
        var high = bySize.count
        while low < high {
            let middle = (low + high) / 2
            if bySize[middle] < block { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
