/// Reads the little-endian fields of a GGUF header in order, through a window over the file.
///
/// Lengths and counts come from the file and are checked against its size before anything is read
/// or skipped. At most one window is in memory.
struct GGUFReader {
    private static let windowBytes = 1 << 20

    private let source: any ByteSource
    /// The header must end here, in bytes from the start of the file.
    private let limit: Int
    private var window: [UInt8] = []
    private var windowStart = 0
    /// Where the next field is, in bytes from the start of the file.
    package private(set) var position = 0

    /// - Parameters:
    ///   - source: The bytes of the file.
    ///   - limit: The longest header to read, in bytes.
    init(source: any ByteSource, limit: Int) {
        self.source = source
        self.limit = min(limit, source.count)
    }

    /// How many bytes the rest of the header can have.
    var remaining: Int { limit - position }

    /// - Parameter offset: In bytes from the start of the file; where the next field is if nil.
    package func error(_ problem: FormatError.Problem, tensor: String? = nil, at offset: Int? = nil) -> FormatError {
        FormatError(file: source.name, tensor: tensor, offset: offset ?? position, problem: problem)
    }

    package mutating func integer<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type = Value.self
    ) throws -> Value {
        let start = try take(MemoryLayout<Value>.size)
        return window.withUnsafeBytes { bytes in
            Value(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: Value.self))
        }
    }

    /// A name: a length of 8 bytes and that much UTF-8.
    package mutating func name() throws -> String {
        let start = position
        let length = try integer(UInt64.self)
        guard length <= GGUF.maximumNameBytes else {
            throw error(.stringTooLong(bytes: length, limit: GGUF.maximumNameBytes), at: start)
        }
        let first = try take(Int(length))
        guard let name = String(validating: window[first..<first + Int(length)], as: UTF8.self) else {
            throw error(.invalidUTF8, at: start)
        }
        return name
    }

    /// A string of any length, cut off after `limit` bytes and then ended with "…". Bytes that are
    /// not UTF-8 become U+FFFD.
    package mutating func text(limit: Int) throws -> String {
        let length = try integer(UInt64.self)
        guard length <= remaining else { throw pastEnd(needed: length) }
        let kept = min(Int(length), limit)
        let first = try take(kept)
        var text = String(decoding: window[first..<first + kept], as: UTF8.self)
        if length > kept {
            try skip(length - UInt64(kept))
            // The cut may have gone through a character.
            while text.unicodeScalars.last == "\u{FFFD}" { text.unicodeScalars.removeLast() }
            text += "…"
        }
        return text
    }

    mutating func skipString() throws { try skip(integer()) }

    /// Moves over `count` bytes without reading them.
    package mutating func skip(_ count: UInt64) throws {
        guard count <= remaining else { throw pastEnd(needed: count) }
        position += Int(count)
    }

    /// Moves over `count` bytes and returns where they begin in `window`.
    private mutating func take(_ count: Int) throws -> Int {
        guard count <= remaining else { throw pastEnd(needed: UInt64(count)) }
        if position < windowStart || position + count > windowStart + window.count {
            window = try source.bytes(at: position, count: min(Self.windowBytes, remaining))
            windowStart = position
        }
        defer { position += count }
        return position - windowStart
    }

    private func pastEnd(needed: UInt64) -> FormatError {
        let (end, overflow) = needed.addingReportingOverflow(UInt64(position))
        if limit < source.count {
            return error(.headerTooLong(bytes: overflow ? .max : end, limit: limit))
        }
        return error(.cutShort(expected: Int(clamping: needed), found: remaining))
    }
}
