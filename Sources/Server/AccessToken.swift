import Foundation
import WeightStore
import WireFormats

/// A token that a client must send. Only its digest is kept, so that it cannot be logged, and the duration of a
/// comparison does not reveal it.
///
/// A file of tokens has one on each line, in one of two forms:
///
///     s3cret                                     the token itself: it may read everything
///     sha256:<64 digits> name scope 1764150000   the digest of a token, its name and scope, and when it was made
///
/// The second form may end with patterns of names of models, separated by commas: the token reads these models alone.
public struct AccessToken: Sendable {
    /// What a token allows.
    public enum Scope: String, Sendable, Codable, CaseIterable {
        /// Everything that a server answers; it is read-only.
        case read
        /// The metrics and the state: `/metrics` and `/health`.
        case metrics
    }

    /// The name; nil for a token that is in its file, or in a variable, as it is.
    public let name: String?
    /// What the token allows.
    public let scope: Scope
    /// When it was made, in seconds since 1970; nil if that is not known.
    public let created: Int?
    /// The models that the token reads; nil for all.
    public let models: ModelPatterns?
    private let digest: ContentDigest

    /// The most bytes of a name.
    private static let nameBytes = 64
    /// The letters and digits of a token after `hf_`. llama.cpp sends tokens of `hf_` and 34 to 253 of them, and no others.
    private static let letters = 40
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)

    /// A token that may read everything.
    ///
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
        self.init(name: nil, scope: .read, created: nil, models: nil, digest: Self.digest(text))
    }

    /// A line of a file of tokens.
    ///
    /// - Parameters:
    ///   - line: the line, which is not empty.
    ///   - source: the file and the number of the line, for the error.
    /// - Throws: ``ServerError/token(source:reason:)``, which contains nothing of the line.
    public init(line: String, source: String) throws(ServerError) {
        let words = line.trimmingCharacters(in: .whitespacesAndNewlines).split(separator: " ").map(String.init)
        guard let first = words.first, first.hasBytePrefix("sha256:") else {
            try self.init(line, source: source)
            return
        }
        guard 3...5 ~= words.count, let digest = ContentDigest(hex: first) else {
            throw .token(source: source, reason: "must have the form \"sha256:<64 digits> name scope time models\"")
        }
        guard let scope = Scope(rawValue: words[2]) else {
            let known = Scope.allCases.map(\.rawValue).joined(separator: " and ")
            throw .token(source: source, reason: "its scope is unknown; \(known) are known")
        }
        let created = words.count > 3 ? Int(decimal: words[3]) : nil
        guard words.count == 3 || created != nil else {
            throw .token(source: source, reason: "its time must be a number of seconds since 1970")
        }
        let name = try Self.check(name: words[1], source: source)
        let models = words.count > 4 ? try ModelPatterns(text: words[4], source: source) : nil
        try Self.check(models, in: scope, source: source)
        self.init(name: name, scope: scope, created: created, models: models, digest: digest)
    }

    private init(name: String?, scope: Scope, created: Int?, models: ModelPatterns?, digest: ContentDigest) {
        self.name = name
        self.scope = scope
        self.created = created
        self.models = models
        self.digest = digest
    }

    private static func check(_ models: ModelPatterns?, in scope: Scope, source: String) throws(ServerError) {
        guard models == nil || scope == .read else {
            throw .token(source: source, reason: "only a token of the scope \"read\" has patterns of models")
        }
    }

    /// A new token with a random text: `hf_` with letters and digits, as clients of the Hugging Face Hub expect it.
    ///
    /// - Parameters:
    ///   - name: by which it is listed and removed: 1 to 64 letters, digits, `.`, `_`, `-` and `@`.
    ///   - scope: what it allows.
    ///   - models: patterns of the models that it reads; nil for all.
    ///   - created: the present time, in seconds since 1970.
    /// - Returns: the token, and its text, which is stored nowhere.
    /// - Throws: ``ServerError/token(source:reason:)`` if the name is not valid, or the scope has no models.
    public static func make(
        name: String, scope: Scope, models: ModelPatterns? = nil, created: Int
    ) throws(ServerError) -> (token: AccessToken, text: String) {
        let checked = try check(name: name, source: "token \(name)")
        try check(models, in: scope, source: "token \(name)")
        // The system's generator is suitable for secrets.
        var generator = SystemRandomNumberGenerator()
        var random: [UInt8] = []
        for _ in 0..<letters { random.append(alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]) }
        let text = "hf_" + String(decoding: random, as: UTF8.self)
        return (
            AccessToken(name: checked, scope: scope, created: created, models: models, digest: digest(text)), text
        )
    }

    /// The line of a file of tokens; nil for a token without a name, which has no other form than its text.
    public var line: String? {
        name.map { name in
            // The patterns follow the time, so a token with them always has one.
            let moment = created ?? models.map { _ in 0 }
            return "sha256:\(digest.hex) \(name) \(scope.rawValue)" + (moment.map { " \($0)" } ?? "")
                + (models.map { " \($0)" } ?? "")
        }
    }

    /// The tokens of a file.
    ///
    /// - Parameters:
    ///   - text: the contents of the file. Empty lines are ignored.
    ///   - source: its path, for the error.
    /// - Throws: ``ServerError/token(source:reason:)``.
    public static func all(in text: String, source: String) throws(ServerError) -> [AccessToken] {
        var tokens: [AccessToken] = []
        for (index, line) in text.byteParts("\n").enumerated() {
            if line.trimmingCharacters(in: .whitespacesAndNewlines).isEmpty { continue }
            tokens.append(try AccessToken(line: line, source: "\(source), line \(index + 1)"))
        }
        return tokens
    }

    private static func check(name: String, source: String) throws(ServerError) -> String {
        guard 1...nameBytes ~= name.utf8.count, name.isASCIIWord(and: "._-@"), !name.hasBytePrefix("-") else {
            throw .token(
                source: source,
                reason: "its name must have 1 to \(nameBytes) letters, digits, \".\", \"_\", \"-\" and \"@\", and not "
                    + "begin with \"-\"")
        }
        return name
    }

    /// The answer to a request for what the token does not allow; nil if it allows it. Other models do not exist for a token
    /// with patterns.
    func refusal(of content: Route.Content) -> HubError? {
        switch content {
        case .state: nil
        case .metrics: scope == .metrics || models == nil ? nil : .outOfScope
        case .client, .models, .blob, .manifest: scope == .read ? nil : .outOfScope
        case .store: scope == .read && models == nil ? nil : .outOfScope
        case .model(let name): scope != .read ? .outOfScope : reads(name) ? nil : .noModel
        }
    }

    /// Whether the token reads a model.
    func reads(_ model: String) -> Bool { models?.contains(model) ?? true }

    /// The token of a client that sends the field `Authorization`, for a response with this content.
    ///
    /// - Parameter tokens: those that the server accepts; nil if it requires none.
    /// - Returns: nil if none is required.
    /// - Throws: the refusal.
    static func client(
        _ field: String?, reading content: Route.Content, among tokens: [AccessToken]?
    ) throws(HubError) -> AccessToken? {
        guard let tokens, content != .state else { return nil }
        guard let field else { throw .unauthorized(isMissing: true) }
        guard let token = shown(by: field, of: tokens) else { throw .unauthorized(isMissing: false) }
        if let refusal = token.refusal(of: content) { throw refusal }
        return token
    }

    /// The token that the field `Authorization` contains: as `Bearer`, or as the password of `Basic`, for which browsers
    /// prompt.
    ///
    /// - Returns: nil if it is none of `tokens`.
    private static func shown(by field: String, of tokens: [AccessToken]) -> AccessToken? {
        let parts = field.split(separator: " ", maxSplits: 1)
        guard parts.count == 2 else { return nil }
        let value = parts[1].trimmingCharacters(in: .whitespaces)
        let digest: ContentDigest
        switch parts[0].lowercased() {
        case "bearer": digest = Self.digest(value)
        case "basic":
            guard let decoded = Data(base64Encoded: value),
                let password = String(decoding: decoded, as: UTF8.self)
                    .split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).last
            else { return nil }
            digest = Self.digest(String(password))
        default: return nil
        }
        return tokens.first { $0.digest == digest }
    }

    private static func digest(_ text: String) -> ContentDigest {
        var text = text
        return text.withUTF8 { ContentDigest(of: UnsafeRawBufferPointer($0)) }
    }
}
