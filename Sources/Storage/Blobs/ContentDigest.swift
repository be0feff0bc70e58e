import Crypto

/// A SHA-256 digest: the name of every shard, file, manifest and record.
public struct ContentDigest: Hashable, Sendable {
    /// The 32 bytes as four big-endian words, so that comparing words compares bytes.
    private var words: SIMD4<UInt64>

    /// The size of a digest, in bytes.
    public static let byteCount = 32

    /// Creates a digest from its bytes; nil unless there are exactly 32.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        if let words = bytes.withContiguousStorageIfAvailable({ Self.words(UnsafeRawBufferPointer($0)) }) {
            self.words = words
        } else {
            words = Array(bytes).withUnsafeBytes(Self.words)
        }
    }

    /// The words of 32 bytes.
    private static func words(_ bytes: UnsafeRawBufferPointer) -> SIMD4<UInt64> {
        var words = SIMD4<UInt64>.zero
        for index in 0..<4 {
            words[index] = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
        }
        return words
    }

    /// Parses 64 hexadecimal digits, with or without `sha256:` before them; nil for any other text.
    public init?(hex: some StringProtocol) {
        let digits = hex.hasPrefix("sha256:") ? hex.dropFirst(7) : hex[...]
        guard digits.utf8.count == 2 * Self.byteCount else { return nil }
        self.init(digits: digits.utf8, areLowerCase: false)
    }

    /// Parses 64 hexadecimal digits, as they are in the name of a blob.
    package init?(lowerCase digits: UnsafeBufferPointer<UInt8>) {
        guard digits.count == 2 * Self.byteCount else { return nil }
        self.init(digits: digits, areLowerCase: true)
    }

    private init?(digits: some Sequence<UInt8>, areLowerCase: Bool) {
        words = .zero
        var word: UInt64 = 0
        var index = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): word = word << 4 | UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): word = word << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F") where !areLowerCase:
                word = word << 4 | UInt64(digit - UInt8(ascii: "A") + 10)
            default: return nil
            }
            index += 1
            if index % 16 == 0 {
                words[index / 16 - 1] = word
                word = 0
            }
        }
    }

    /// The digests that begin with the given hexadecimal digits.
    ///
    /// - Returns: nil if there are more than 64 digits, or other characters.
    package static func range(prefix: some StringProtocol) -> ClosedRange<ContentDigest>? {
        let rest = 2 * byteCount - prefix.utf8.count
        guard rest >= 0, let low = ContentDigest(hex: prefix + String(repeating: "0", count: rest)),
            let high = ContentDigest(hex: prefix + String(repeating: "f", count: rest))
        else { return nil }
        return low...high
    }

    package init(_ digest: SHA256.Digest) {
        words = digest.withUnsafeBytes(Self.words)
    }

    /// Computes the digest of bytes in memory.
    public init(of bytes: UnsafeRawBufferPointer) {
        var hasher = SHA256()
        hasher.update(bufferPointer: bytes)
        self.init(hasher.finalize())
    }

    /// The 32 bytes.
    public var bytes: [UInt8] { withBytes { Array($0) } }

    /// Calls `body` with the 32 bytes, which are valid during the call.
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        let big = SIMD4(words[0].bigEndian, words[1].bigEndian, words[2].bigEndian, words[3].bigEndian)
        return try withUnsafeBytes(of: big, body)
    }

    /// 64 lower-case hexadecimal digits.
    public var hex: String {
        String(unsafeUninitializedCapacity: 64) { buffer in
            for index in 0..<64 {
                let digit = UInt8(truncatingIfNeeded: words[index / 16] >> (60 - 4 * UInt64(index % 16)) & 15)
                buffer[index] = digit + (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
            }
            return 64
        }
    }

    /// The first 12 hexadecimal digits, for messages.
    public var short: String { String(hex.prefix(12)) }

    /// Adds the 32 bytes to the input of a hash.
    package func update(_ hasher: inout SHA256) {
        withBytes { hasher.update(bufferPointer: $0) }
    }

    /// 32 bytes of zero.
    package static let zero = ContentDigest(words: .zero)

    private init(words: SIMD4<UInt64>) { self.words = words }

    package var firstByte: Int { Int(words[0] >> 56) }

    /// The first eight bytes, for the column `shard.head`.
    package var head: Int64 { Int64(bitPattern: words[0]) }
}

extension ContentDigest: Comparable {
    /// Compares byte by byte, as SQLite compares BLOBs.
    public static func < (left: ContentDigest, right: ContentDigest) -> Bool {
        for index in 0..<4 where left.words[index] != right.words[index] {
            return left.words[index] < right.words[index]
        }
        return false
    }
}

extension ContentDigest: CustomStringConvertible, Codable {
    /// The same as `hex`.
    public var description: String { hex }

    /// Decodes the hexadecimal digits.
    ///
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` for any other text.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let digest = ContentDigest(hex: text) else {
            throw StorageError.invalid(what: "SHA-256", value: text, reason: "must be 64 hexadecimal digits")
        }
        self = digest
    }

    /// Encodes the hexadecimal digits.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(hex)
    }
}
