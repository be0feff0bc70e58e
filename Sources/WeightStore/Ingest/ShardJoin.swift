import ModelFormats
import Support

/// Puts a shard together whose bytes are in several places of a file, while the file is read front to back.
///
/// The front of the shard (`ShardFacts.headBytes`, which decide whether the store seems to hold it) is gathered in
/// memory, in whatever order its tensors are in the file (`ShardPlan.hasFront`). Behind it, a tensor that is next in the shard passes through
/// the buffers of the pool; one whose place in the shard is not reached yet waits in memory.
/// `ShardPlan.scatteredShards` finds the shards for which this needs too much memory, which are read on their own.
struct ShardJoin {
    /// Reads bytes of the file into memory, and hashes them for the file.
    typealias Read = (_ offset: Int, _ room: UnsafeMutableRawBufferPointer) throws -> Void

    private let shard: ShardPlan.Shard
    private let extents: [Extent]
    /// The first bytes of the shard, until all of them are read.
    private var front: Buffer?
    private let frontBytes: Int
    private var missingFront: Int
    private var readFront = 0
    /// Parts of the front that were read before there was memory for all of it, by their offset in the shard.
    private var frontParts: [(offset: Int, bytes: [UInt8])] = []
    /// The bytes behind the front of tensors that wait, by their offset in the shard.
    private var early: [Int: Buffer] = [:]
    /// The number of bytes passed to the pipeline.
    private var passed = 0
    /// The number of the extent that is next.
    private var next = 0
    private(set) var stream: ShardPipeline?
    /// The memory that the shard has needed beside the buffers of the pool, in bytes.
    private(set) var memory = 0

    init(_ shard: ShardPlan.Shard, _ places: [ShardPlan.Place]) {
        self.shard = shard
        extents = places.map(\.extent)
        let frontBytes = min(shard.bytes, ShardFacts.headBytes)
        self.frontBytes = frontBytes
        missingFront = extents.reduce(0) {
            $0 + max(0, min($1.shardOffset + $1.length, frontBytes) - $1.shardOffset)
        }
    }

    /// Whether all bytes were passed to the pipeline.
    var isComplete: Bool { passed == shard.bytes }

    /// The memory that a tensor will need beside the buffers of the pool, in bytes.
    func memoryNeeded(for extent: Extent) -> Int {
        let end = extent.shardOffset + extent.length
        let frontEnd = max(extent.shardOffset, min(end, frontBytes))
        let inFront = frontEnd - extent.shardOffset
        let isStreamed =
            stream == nil
            ? inFront > 0 && inFront == missingFront : extents[next].shardOffset == extent.shardOffset
        return frontMemoryNeeded(inFront) + (isStreamed ? 0 : end - frontEnd)
    }

    private func frontMemoryNeeded(_ bytes: Int) -> Int {
        if bytes == 0 || front != nil { return 0 }
        return bytes == missingFront || ShardPlan.hasFront(readFront + bytes, of: frontBytes)
            ? frontBytes - readFront : bytes
    }

    /// Reads a tensor of the shard.
    ///
    /// - Parameters:
    ///   - offset: its offset in the file.
    ///   - pool: the buffers for bytes that need not wait.
    ///   - begin: makes the pipeline, before the first bytes are passed to it.
    ///   - willComplete: called before the last bytes are passed to it.
    mutating func add(
        _ extent: Extent, at offset: Int, _ pool: BufferPool, read: Read, begin: () throws -> ShardPipeline,
        willComplete: () -> Void
    ) throws {
        memory += memoryNeeded(for: extent)
        let end = extent.shardOffset + extent.length
        let frontEnd = max(extent.shardOffset, min(end, frontBytes))
        if frontEnd > extent.shardOffset {
            try readFront(extent.shardOffset..<frontEnd, offset, read)
            if missingFront == 0, let front {
                self.front = nil
                stream = try begin()
                pass(front, frontBytes, willComplete)
            }
        }
        if frontEnd == end {
            passEarly(willComplete)
            return
        }
        guard stream != nil, extents[next].shardOffset == extent.shardOffset else {
            let buffer = Buffer(bytes: end - frontEnd)
            try read(offset + frontEnd - extent.shardOffset, buffer.writableBytes(end - frontEnd))
            early[extent.shardOffset] = buffer
            return passEarly(willComplete)
        }
        var position = frontEnd
        while position < end {
            let buffer = pool.acquire()
            let padding = position - passed
            var count = min(buffer.capacity - padding, end - position)
            // Writes from an aligned offset need no copy in the page cache.
            let rest = passed % Buffer.alignment
            if rest > 0 { count = min(count, max(Buffer.alignment - rest - padding, 1)) }
            buffer.writableBytes(padding).initializeMemory(as: UInt8.self, repeating: 0)
            try read(offset + position - extent.shardOffset, buffer.writableBytes(at: padding, count))
            position += count
            pass(buffer, padding + count, willComplete)
        }
        passEarly(willComplete)
    }

    private mutating func readFront(_ range: Range<Int>, _ offset: Int, _ read: Read) throws {
        missingFront -= range.count
        readFront += range.count
        // The padding of small tensors may be most of the front.
        guard missingFront == 0 || ShardPlan.hasFront(readFront, of: frontBytes) else {
            let bytes = try [UInt8](unsafeUninitializedCapacity: range.count) { memory, count in
                try read(offset, UnsafeMutableRawBufferPointer(start: memory.baseAddress, count: range.count))
                count = range.count
            }
            return frontParts.append((range.lowerBound, bytes))
        }
        let front = front ?? makeFront()
        self.front = front
        for part in frontParts { front.writableBytes(at: part.offset, part.bytes.count).copyBytes(from: part.bytes) }
        frontParts = []
        try read(offset, front.writableBytes(at: range.lowerBound, range.count))
    }

    /// Memory for the front, in which the padding between tensors is zero.
    private func makeFront() -> Buffer {
        let front = Buffer(uninitialized: frontBytes)
        var end = 0
        func pad(to offset: Int) {
            guard offset > end else { return }
            front.writableBytes(at: end, offset - end).initializeMemory(as: UInt8.self, repeating: 0)
        }
        for extent in extents where extent.shardOffset < frontBytes {
            pad(to: extent.shardOffset)
            end = min(extent.shardOffset + extent.length, frontBytes)
        }
        pad(to: frontBytes)
        return front
    }

    /// Ends the shard with an error.
    func abandon(_ error: any Error) { stream?.abandon(error) }

    /// Passes bytes to the pipeline, and advances to the next extent if they end one.
    private mutating func pass(_ buffer: Buffer, _ count: Int, _ willComplete: () -> Void) {
        passed += count
        if isComplete { willComplete() }
        stream?.append(buffer, 0..<count)
        while next < extents.count, extents[next].shardOffset + extents[next].length <= passed { next += 1 }
    }

    private mutating func passEarly(_ willComplete: () -> Void) {
        while stream != nil, next < extents.count, let buffer = early.removeValue(forKey: extents[next].shardOffset) {
            let padding = max(extents[next].shardOffset - passed, 0)
            if padding > 0 { pass(Buffer(bytes: padding), padding, willComplete) }
            pass(buffer, buffer.capacity, willComplete)
        }
    }
}
