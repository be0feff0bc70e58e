import Foundation
import WeightStore

/// The token that a client must send. Only its digest is kept, so that it cannot be logged, and the duration of a
/// comparison does not reveal it.
public struct AccessToken: Sendable {
    private let digest: ContentDigest

    /// - Parameters:
    ///   - text: the token; surrounding white space is ignored.
    ///   - source: the file or variable that it was read from, for the error.
    /// - Throws: ``ServerError/token(source:reason:)``.
    public init(_ text: String, source: String) throws(ServerError) {
        let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !text.isEmpty else { throw .token(source: source, reason: "must not be empty") }
        guard text.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) else {
            throw .token(source: source, reason: "must consist of printable ASCII characters without spaces")
        }
        digest = Self.digest(text)
    }

    /// Whether the field `Authorization` contains the token: as `Bearer`, or as the password of `Basic`, for which
    /// browsers prompt.
    func isShown(by field: String) -> Bool {
        let parts = field.split(separator: " ", maxSplits: 1)
        guard parts.count == 2 else { return false }
        let value = parts[1].trimmingCharacters(in: .whitespaces)
        switch parts[0].lowercased() {
        case "bearer": return Self.digest(value) == digest
        case "basic":
            guard let decoded = Data(base64Encoded: value),
                let password = String(decoding: decoded, as: UTF8.self)
                    .split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).last
            else { return false }
            return Self.digest(String(password)) == digest
        default: return false
        }
    }

    private static func digest(_ text: String) -> ContentDigest {
        var text = text
        return text.withUTF8 { ContentDigest(of: UnsafeRawBufferPointer($0)) }
    }
}
