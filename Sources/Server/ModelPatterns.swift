import Glibc
import Support

/// Patterns of the names of models, of which one must match: `org/*`, `*/llama-*`.
///
/// `*` stands for any characters, a slash too, `?` for one, and `[…]` for one of several, as in the shell.
public struct ModelPatterns: Sendable, Equatable, CustomStringConvertible {
    /// The patterns.
    public let patterns: [String]

    /// The most bytes of a pattern. A name of a model is shorter.
    private static let patternBytes = 256

    /// - Parameters:
    ///   - text: the patterns, separated by commas.
    ///   - source: where it is from, for the error.
    /// - Throws: ``ServerError/token(source:reason:)`` for an empty pattern, and one with white space or other characters than
    ///   printable ASCII.
    public init(text: String, source: String) throws(ServerError) {
        try self.init(text.byteParts(",").map { String($0) }, source: source)
    }

    /// - Parameter patterns: at least one.
    /// - Throws: as ``init(text:source:)``.
    public init(_ patterns: [String], source: String) throws(ServerError) {
        let isValid = patterns.allSatisfy { pattern in
            1...Self.patternBytes ~= pattern.utf8.count
                && pattern.utf8.allSatisfy { 0x21...0x7E ~= $0 && $0 != UInt8(ascii: ",") }
        }
        guard isValid, !patterns.isEmpty else {
            throw .token(
                source: source,
                reason: "its patterns of models must have 1 to \(Self.patternBytes) printable ASCII characters each, "
                    + "without spaces, and be separated by commas")
        }
        self.patterns = patterns
    }

    /// Whether a pattern matches the name of a model.
    func contains(_ model: String) -> Bool { patterns.contains { fnmatch($0, model, 0) == 0 } }

    /// The patterns, separated by commas.
    public var description: String { patterns.joined(separator: ",") }
}
