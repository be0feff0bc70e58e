import ModelFormats

/// A file in memory that records its reads, and may claim any size.
final class MeteredSource: ByteSource {
    let name = fileName
    let count: Int
    private let bytes: [UInt8]
    /// The largest single read, in bytes.
    private(set) var largestRead = 0
    private(set) var reads = 0

    /// - Parameter count: The size that the file claims to have. Bytes behind `bytes` are 0.
    init(_ bytes: [UInt8], count: Int? = nil) {
        self.bytes = bytes
        self.count = count ?? bytes.count
    }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        precondition(offset >= 0 && buffer.count <= count - offset, "a read outside of the file")
        largestRead = max(largestRead, buffer.count)
        reads += 1
        copy(at: offset, into: buffer)
    }

    /// Not inlined for the reason that `MemorySource` gives.
    @inline(never)
    private func copy(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        let end = min(bytes.count, offset + buffer.count)
        let known = max(0, end - offset)
        if known > 0 { buffer.copyBytes(from: bytes[offset..<end]) }
        UnsafeMutableRawBufferPointer(rebasing: buffer[known...]).initializeMemory(
            as: UInt8.self, repeating: 0)
    }
}
