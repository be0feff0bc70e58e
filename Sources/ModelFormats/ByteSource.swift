/// Random access to the bytes of one file: a file on disk, a range of an object behind HTTP, or
/// bytes in memory.
public protocol ByteSource {
    /// The file's name in errors: its path or URL.
    var name: String { get }

    /// The size of the file, in bytes.
    var count: Int { get }

    /// Fills the whole buffer with the bytes from `offset`.
    ///
    /// - Parameters:
    ///   - offset: The position of the first byte, in bytes from the start of the file.
    ///   - buffer: The destination. `offset + buffer.count` is at most `count`.
    /// - Throws: The error of the read. A short read is an error.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws
}

extension ByteSource {
    /// Reads `count` bytes from `offset`.
    ///
    /// - Throws: `FormatError` with `.cutShort` if the range is not inside the file; errors of `read` pass through.
    public func bytes(at offset: Int, count: Int) throws -> [UInt8] {
        try check(at: offset, count: count)
        return try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            try read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
            initialized = count
        }
    }

    /// Throws `FormatError` with `.cutShort` unless `count` bytes at `offset` are inside the file.
    package func check(at offset: Int, count: Int) throws(FormatError) {
        guard offset >= 0, count >= 0, offset <= self.count, count <= self.count - offset else {
            let found = max(0, self.count - max(0, offset))
            throw FormatError(file: name, offset: offset, problem: .cutShort(expected: count, found: found))
        }
    }
}

/// A file whose bytes are in memory.
public struct MemorySource: ByteSource, Sendable {
    /// The file's name in errors.
    public let name: String
    /// All bytes of the file.
    public let bytes: [UInt8]

    /// Creates a source from the bytes of a file.
    public init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }

    /// The size of the file, in bytes.
    public var count: Int { bytes.count }

    /// Copies bytes out of memory.
    ///
    /// - Throws: `FormatError` with `.cutShort` if the range is not inside the file.
    public func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        try check(at: offset, count: buffer.count)
        copy(at: offset, into: buffer)
    }

    /// Not inlined: at the end of a throwing function, an optimized build of Swift 6.3.1 makes the copy a tail call of
    /// `memmove` and does not restore the error register, so the caller catches an error that was never thrown
    /// (swiftlang/swift#90477).
    @inline(never)
    private func copy(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        bytes.withUnsafeBytes { all in
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: all[offset..<offset + buffer.count]))
        }
    }
}
