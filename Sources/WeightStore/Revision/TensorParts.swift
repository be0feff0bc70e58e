import Storage
import Support

/// Parts of a tensor's bytes, all of one size and at equal distances: rows, a range of columns, an expert.
public struct TensorParts: Sendable, Equatable {
    /// The position of the first part in the tensor, in bytes.
    public var offset: Int
    /// The size of each part, in bytes.
    public var bytes: Int
    /// The distance from the beginning of a part to that of the next one, in bytes; at least ``bytes``.
    public var stride: Int
    /// The number of parts.
    public var count: Int

    /// The parts with these properties.
    public init(offset: Int, bytes: Int, stride: Int, count: Int) {
        self.offset = offset
        self.bytes = bytes
        self.stride = stride
        self.count = count
    }

    /// One part.
    public init(_ range: Range<Int>) {
        self.init(offset: range.lowerBound, bytes: range.count, stride: range.count, count: 1)
    }

    /// The size of all parts, in bytes.
    public var totalBytes: Int { bytes.multiplied(saturating: count) }

    /// Stored parts of at least this size are read alone: less is not faster than reading on.
    static let leastStoredBytes = 64 << 10
    /// Parts at an origin of at least this size are requested alone.
    static let leastRemoteBytes = 1 << 20

    /// The bytes that are read at once to find small parts among them.
    private static let scratchBytes = 4 << 20

    /// - Throws: ``StorageError/invalid(what:value:reason:)`` if the parts overlap, or do not lie in the tensor.
    func check(_ tensor: TensorEntry) throws {
        guard offset >= 0, bytes >= 0, count >= 0, count <= 1 || stride >= bytes,
            totalBytes == 0
                || (count - 1).multiplied(saturating: stride).adding(saturating: offset).adding(saturating: bytes)
                    <= tensor.bytes
        else {
            throw StorageError.invalid(
                what: "parts of tensor", value: tensor.name,
                reason:
                    "\(count) parts of \(bytes) bytes from \(offset) on, at distances of \(stride): must lie in its "
                    + "\(tensor.bytes) bytes, and must not overlap")
        }
    }

    /// Fills a buffer with the parts, one behind the other.
    ///
    /// - Parameters:
    ///   - leastBytes: parts of this size are read alone. Smaller ones are read together with what lies between them, in
    ///     runs of at most 4 MiB.
    ///   - source: fills its buffer with the tensor's bytes from a position on.
    func read(
        into buffer: UnsafeMutableRawBufferPointer, leastBytes: Int,
        from source: (Int, UnsafeMutableRawBufferPointer) throws -> Void
    ) throws {
        if totalBytes == 0 { return }
        if count == 1 || stride == bytes {
            return try source(offset, UnsafeMutableRawBufferPointer(rebasing: buffer[..<totalBytes]))
        }
        let atOnce = bytes >= leastBytes ? 1 : min(count, max(1, Self.scratchBytes / stride))
        let scratch = Buffer(bytes: atOnce == 1 ? 1 : (atOnce - 1) * stride + bytes)
        var first = 0
        while first < count {
            let parts = min(atOnce, count - first)
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[first * bytes..<(first + parts) * bytes])
            if parts == 1 {
                try source(offset + first * stride, target)
            } else {
                let run = scratch.writableBytes((parts - 1) * stride + bytes)
                try source(offset + first * stride, run)
                copyParts(of: UnsafeRawBufferPointer(run), to: target)
            }
            first += parts
        }
    }

    /// Copies the parts out of a run that begins with one.
    ///
    /// Not inlined, because of a compiler bug: see `FileMapping.copy`.
    @inline(never)
    private func copyParts(of run: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer) {
        for part in 0..<target.count / bytes {
            UnsafeMutableRawBufferPointer(rebasing: target[part * bytes..<(part + 1) * bytes]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: run[part * stride..<part * stride + bytes]))
        }
    }
}
