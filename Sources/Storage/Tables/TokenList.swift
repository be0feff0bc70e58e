import Foundation

/// Tokens as the catalog and a model's record keep them: 32-bit numbers, the low byte first.
package struct TokenList {
    package let tokens: [UInt32]

    /// More than any model's context; a record that holds some of them is still written in no time.
    package static let most = 1 << 20

    package init(_ tokens: [UInt32]) { self.tokens = tokens }

    package init(_ data: Data) {
        tokens = stride(from: 0, to: data.count - 3, by: 4).map { offset in
            (0..<4).reduce(0) { $0 | UInt32(data[data.startIndex + offset + $1]) << (8 * UInt32($1)) }
        }
    }

    package var data: Data {
        var data = Data(capacity: 4 * tokens.count)
        for token in tokens {
            withUnsafeBytes(of: token.littleEndian) { data.append(contentsOf: $0) }
        }
        return data
    }

    package var digest: ContentDigest { data.withUnsafeBytes { ContentDigest(of: $0) } }
}
