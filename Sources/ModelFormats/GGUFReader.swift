/// Reads the little-endian fields of a GGUF header in order, through a window over the file.
///
/// Lengths and counts in the file are checked against its size before anything is read or skipped. At most one
/// window is in memory.
struct GGUFReader {
    private static let windowBytes = 1 << 20

    private let source: any ByteSource
    /// The furthest allowed end of the header, in bytes from the start of the file.
    private let limit: Int
    private var window: [UInt8] = []
    private var windowStart = 0
    /// The position of the next field, in bytes from the start of the file.
    package private(set) var position = 0

    /// - Parameters:
    ///   - source: The bytes of the file.
    ///   - limit: The longest header to read, in bytes.
    init(source: any ByteSource, limit: Int) {
        self.source = source
        self.limit = min(limit, source.count)
    }

    /// The most bytes that the rest of the header can have.
    var remaining: Int { limit - position }

    /// An error of this file.
    ///
    /// - Parameter offset: In bytes from the start of the file; the position of the next field if nil.
    package func error(_ problem: FormatError.Problem, tensor: String? = nil, at offset: Int? = nil) -> FormatError {
        FormatError(file: source.name, tensor: tensor, offset: offset ?? position, problem: problem)
    }

    /// The next integer.
    package mutating func integer<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type = Value.self
    ) throws -> Value {
        let start = try advance(MemoryLayout<Value>.size)
        return window.withUnsafeBytes { bytes in
            Value(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: Value.self))
        }
    }

    /// The next name: a length of 8 bytes, then that many bytes of UTF-8.
    package mutating func name() throws -> String {
        let start = position
        let length = try integer(UInt64.self)
        guard length <= GGUF.maximumNameBytes else {
            throw error(.stringTooLong(bytes: length, limit: GGUF.maximumNameBytes), at: start)
        }
        let first = try advance(Int(length))
        guard let name = String(validating: window[first..<first + Int(length)], as: UTF8.self) else {
            throw error(.invalidUTF8, at: start)
        }
        return name
    }

    /// The next string, of any length; truncated after `limit` bytes and then ended with "…". Bytes that are not
    /// UTF-8 become U+FFFD.
    package mutating func text(limit: Int) throws -> String {
        let length = try integer(UInt64.self)
        guard length <= remaining else { throw pastEnd(needed: length) }
        let kept = min(Int(length), limit)
        let first = try advance(kept)
        var text = String(decoding: window[first..<first + kept], as: UTF8.self)
        if length > kept {
            try skip(length - UInt64(kept))
            // The last character may be truncated.
            while text.unicodeScalars.last == "\u{FFFD}" { text.unicodeScalars.removeLast() }
            text += "…"
        }
        return text
    }

    /// The next `count` bytes.
    mutating func bytes(_ count: UInt64) throws -> [UInt8] {
        guard count <= remaining else { throw pastEnd(needed: count) }
        let count = Int(count)
        if count > Self.windowBytes {
            defer { position += count }
            return try source.bytes(at: position, count: count)
        }
        let first = try advance(count)
        return Array(window[first..<first + count])
    }

    /// Appends the bytes of the next string, of any length.
    mutating func appendString(to bytes: inout [UInt8]) throws {
        let length = try integer(UInt64.self)
        guard length <= Self.windowBytes else { return bytes += try self.bytes(length) }
        let first = try advance(Int(length))
        bytes += window[first..<first + Int(length)]
    }

    mutating func skipString() throws { try skip(integer()) }

    /// Skips `count` bytes without reading them.
    package mutating func skip(_ count: UInt64) throws {
        guard count <= remaining else { throw pastEnd(needed: count) }
        position += Int(count)
    }

    /// Advances over `count` bytes and returns their position in `window`.
    private mutating func advance(_ count: Int) throws -> Int {
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
