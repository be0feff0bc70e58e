import ModelFormats
import Support

/// The front of a file behind an origin, as the format readers see it: what they ask for is fetched with some read-ahead,
/// and kept, so that it need not travel again.
final class RemoteSource: ByteSource {
    /// What nearly every header fits into, so that one request does.
    static let readAhead = 256 << 10

    var name: String { file.name }
    var count: Int { file.bytes }
    /// The bytes at the front that are here.
    private(set) var prefix: [UInt8] = []

    private let file: RemoteFile
    private let origin: any ModelOrigin
    private let work: Work

    init(_ file: RemoteFile, _ origin: any ModelOrigin, _ work: Work) {
        self.file = file
        self.origin = origin
        self.work = work
    }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        if offset + buffer.count > prefix.count { try extend(to: offset + buffer.count) }
        copy(at: offset, into: buffer)
    }

    /// A reader that goes on and on (GGUF's) gets steps that grow.
    private func extend(to end: Int) throws {
        let here = prefix.count
        let target = min(max(end, here == 0 ? Self.readAhead : here * 2), file.bytes)
        let more = try [UInt8](unsafeUninitializedCapacity: target - here) { room, initialized in
            try origin.read(file, at: here, into: UnsafeMutableRawBufferPointer(room), work)
            initialized = target - here
        }
        prefix += more
    }

    /// Not at the end of a function that throws: see `MemorySource`.
    @inline(never)
    private func copy(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        prefix.withUnsafeBytes { all in
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: all[offset..<offset + buffer.count]))
        }
    }
}
