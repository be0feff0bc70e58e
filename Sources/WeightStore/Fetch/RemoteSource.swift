import ModelFormats
import Support

/// A file behind an origin, as the format readers see it: any part of it, in any order.
///
/// Most formats begin with their directory. What is read at the front is fetched with some read-ahead and kept as
/// `prefix`, so that it is not fetched again with the shards. What is read elsewhere, such as a directory at the end of
/// the file, is fetched in pieces, of which the last few are kept.
final class RemoteSource: ByteSource {
    /// What nearly every directory fits into, so that one request is enough.
    static let readAhead = 256 << 10
    /// More than the longest header of safetensors.
    static let maximumPrefix = 128 << 20
    /// Pieces grow up to this while reads continue where the piece before ended. Longer reads are not kept.
    static let maximumPiece = 4 << 20
    static let maximumPieces = 4

    private struct Piece {
        let offset: Int
        let bytes: [UInt8]
        var end: Int { offset + bytes.count }
    }

    var name: String { file.name }
    var count: Int { file.bytes }
    /// The bytes at the front that are here.
    private(set) var prefix: [UInt8] = []
    /// The one that was used last is the last.
    private var pieces: [Piece] = []

    private let file: RemoteFile
    private let origin: any ModelOrigin
    private let work: Work

    init(_ file: RemoteFile, _ origin: any ModelOrigin, _ work: Work) {
        self.file = file
        self.origin = origin
        self.work = work
    }

    /// - Throws: `CancellationError` once the work is cancelled; `FormatError` outside of the file; errors of the origin.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        try work.check()
        try check(at: offset, count: buffer.count)
        let end = offset + buffer.count
        if end > prefix.count, continuesPrefix(offset, end) { try extend(to: end) }
        if end <= prefix.count {
            copy(prefix, at: offset, into: buffer)
        } else if buffer.count > Self.maximumPiece {
            try origin.read(file, at: offset, into: buffer, work)
        } else {
            let piece = try piece(offset..<end)
            copy(piece.bytes, at: offset - piece.offset, into: buffer)
        }
    }

    /// Whether a read is at the front, or so near that the next extension would reach it.
    private func continuesPrefix(_ offset: Int, _ end: Int) -> Bool {
        offset <= max(prefix.count * 2, Self.readAhead) && end <= Self.maximumPrefix
    }

    /// A reader that continues to the end of a long header (GGUF's) gets steps that grow.
    private func extend(to end: Int) throws {
        let step = prefix.isEmpty ? Self.readAhead : min(prefix.count * 2, Self.maximumPrefix)
        prefix += try fetch(prefix.count..<min(max(end, step), count))
    }

    private func piece(_ range: Range<Int>) throws -> Piece {
        let known = pieces.lastIndex { $0.offset <= range.lowerBound && range.upperBound <= $0.end }
        let piece = try known.map { pieces.remove(at: $0) } ?? fetchPiece(range)
        pieces.append(piece)
        if pieces.count > Self.maximumPieces { pieces.removeFirst() }
        return piece
    }

    private func fetchPiece(_ range: Range<Int>) throws -> Piece {
        let before = pieces.last { $0.offset <= range.lowerBound && range.lowerBound <= $0.end }
        let bytes = max(range.count, before.map { min($0.bytes.count * 2, Self.maximumPiece) } ?? Self.readAhead)
        // At the end of the file there is nothing to read ahead: what is before the range is read next.
        let start = min(range.lowerBound, max(count - bytes, 0))
        return Piece(offset: start, bytes: try fetch(start..<min(start + bytes, count)))
    }

    private func fetch(_ range: Range<Int>) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: range.count) { buffer, initialized in
            try origin.read(file, at: range.lowerBound, into: UnsafeMutableRawBufferPointer(buffer), work)
            initialized = range.count
        }
    }

    /// Not at the end of a function that throws: see `MemorySource`.
    @inline(never)
    private func copy(_ bytes: [UInt8], at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        bytes.withUnsafeBytes { all in
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: all[offset..<offset + buffer.count]))
        }
    }
}
