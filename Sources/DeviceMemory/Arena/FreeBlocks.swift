/// The free pieces of an arena: found by size, joined by address.
///
/// Best fit: the smallest piece that is large enough, the lowest address among equals. Shards of a model have few
/// sizes, so what one leaves the next of its kind fills exactly.
///
/// The order by size is a sorted array: a search is O(log n), an insertion moves 16 bytes for each larger piece. With
/// 4 000 free pieces an allocation or a return takes 0.8 µs; with 30 000, more than a model has shards, it takes 9 µs,
/// and the copy of a MiB that it is for takes twenty and more.
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
    /// The largest piece, in bytes.
    var largest: Int { bySize.last?.bytes ?? 0 }
    var count: Int { bySize.count }

    /// The size of the piece that begins at `start`.
    func bytes(at start: UInt64) -> Int? { bytesByStart[start] }

    /// Takes `bytes` from the front of the piece that fits best.
    ///
    /// - Returns: nil if no piece is large enough.
    mutating func take(_ bytes: Int) -> UInt64? {
        let place = place(of: Block(bytes: bytes, start: 0))
        guard place < bySize.count else { return nil }
        let block = bySize[place]
        remove(block.start)
        if block.bytes > bytes { insert(Block(bytes: block.bytes - bytes, start: block.start + UInt64(bytes))) }
        return block.start
    }

    /// Makes a piece free, and one with the free pieces on either side.
    ///
    /// - Parameter isEdge: whether a slab begins at an address: pieces of two slabs stay two, even where they touch.
    mutating func give(_ start: UInt64, bytes: Int, isEdge: (UInt64) -> Bool) {
        var block = Block(bytes: bytes, start: start)
        let end = start + UInt64(bytes)
        if !isEdge(start), let left = startByEnd[start] {
            block.start = left
            block.bytes += remove(left)
        }
        if !isEdge(end), bytesByStart[end] != nil { block.bytes += remove(end) }
        insert(block)
    }

    /// Takes out the piece that begins at `start`.
    ///
    /// - Returns: its size.
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

    /// Where `block` is, or would be, in the order by size.
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
