import Foundation

/// The encoding of tokens in the catalog and in a model's record: 32-bit little-endian numbers.
package struct TokenList {
    package let tokens: [UInt32]

    /// The longest list: longer than any model's context, and short enough to be written quickly in a record.
    package static let maximumCount = 1 << 20

    package init(_ tokens: [UInt32]) { self.tokens = tokens }

    /// Decodes tokens; ignores an incomplete one at the end.
    package init(_ data: Data) {
        tokens = stride(from: 0, to: data.count - 3, by: 4).map { offset in
            (0..<4).reduce(0) { $0 | UInt32(data[data.startIndex + offset + $1]) << (8 * UInt32($1)) }
        }
    }

    /// The encoded tokens.
    package var data: Data {
        var data = Data(capacity: 4 * tokens.count)
        for token in tokens {
            withUnsafeBytes(of: token.littleEndian) { data.append(contentsOf: $0) }
        }
        return data
    }

    /// The SHA-256 of the encoded tokens.
    package var digest: ContentDigest { data.withUnsafeBytes { ContentDigest(of: $0) } }
}
