import ModelFormats
import Support

/// A file of an origin as a source for the format readers, which read any part of it in any order.
///
/// Most formats begin with their directory. Reads at the front are fetched with some read-ahead and kept as `prefix`,
/// so that these bytes are not fetched again with the shards. Reads elsewhere, such as of a directory at the end of the
/// file, are fetched in pieces, of which the last few are kept. A source that holds many bytes waits for the others of its
/// pull that do (`HeaderBudget`).
final class RemoteSource: ByteSource {
    /// Large enough for nearly every directory, so that one request is enough.
    static let readAhead = 256 << 10
    /// More than the longest header that the safetensors library reads. A longer one is read at once, and not kept.
    static let maximumPrefix = 128 << 20
    /// The maximal size of a piece. Pieces grow while reads are sequential. Longer reads are not kept.
    static let maximumPiece = 4 << 20
    static let maximumPieces = 4

    private struct Piece {
        let offset: Int
        let bytes: [UInt8]
        var end: Int { offset + bytes.count }
    }

    var name: String { file.name }
    var count: Int { file.bytes }
    /// The fetched bytes at the front.
    private(set) var prefix: [UInt8] = []
    /// Least recently used first.
    private var pieces: [Piece] = []

    private let file: RemoteFile
    private let origin: any ModelOrigin
    private let work: Work
    private let budget: HeaderBudget
    private var permit: HeaderBudget.Permit?

    init(_ file: RemoteFile, _ origin: any ModelOrigin, _ work: Work, _ budget: HeaderBudget = HeaderBudget()) {
        self.file = file
        self.origin = origin
        self.work = work
        self.budget = budget
    }

    /// Blocks while another source of the pull holds many bytes, if this read makes this source such a one.
    ///
    /// - Throws: `CancellationError` when the work is cancelled; `FormatError` for bytes beyond the file; errors of the
    ///   origin.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        try work.check()
        try check(at: offset, count: buffer.count)
        let end = offset + buffer.count
        try reserve(buffer.count)
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

    /// Whether a read is within reach of the next extension of the prefix.
    private func continuesPrefix(_ offset: Int, _ end: Int) -> Bool {
        offset <= max(prefix.count * 2, Self.readAhead) && end <= Self.maximumPrefix
    }

    /// Extends the prefix. Steps double, for long headers that are read to the end (GGUF).
    private func extend(to end: Int) throws {
        let step = prefix.isEmpty ? Self.readAhead : min(prefix.count * 2, Self.maximumPrefix)
        let next = min(max(end, step), count)
        try reserve(next)
        prefix += try fetch(prefix.count..<next)
    }

    /// Waits for the permit to hold so many bytes. It stays until the source is released.
    private func reserve(_ bytes: Int) throws {
        if bytes > budget.smallBytes, permit == nil { permit = try budget.permit(work) }
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
        // At the end of the file, the piece extends to the front of the range, because those bytes are read next.
        let start = min(range.lowerBound, max(count - bytes, 0))
        return Piece(offset: start, bytes: try fetch(start..<min(start + bytes, count)))
    }

    private func fetch(_ range: Range<Int>) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: range.count) { buffer, initialized in
            try origin.read(file, at: range.lowerBound, into: UnsafeMutableRawBufferPointer(buffer), work)
            initialized = range.count
        }
    }

    /// Not inlined, because of a compiler bug: see `MemorySource`.
    @inline(never)
    private func copy(_ bytes: [UInt8], at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        bytes.withUnsafeBytes { all in
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: all[offset..<offset + buffer.count]))
        }
    }
}
