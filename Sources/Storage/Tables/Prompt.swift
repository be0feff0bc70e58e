import GRDB

/// A token sequence that many requests to a model begin with: a system prompt, a few examples, a document.
public struct Prompt: Sendable, Codable {
    public let model: String
    public let name: String
    /// The SHA-256 of the tokens.
    public let digest: ContentDigest
    public let tokens: Int
    /// Seconds since 1970.
    public let created: Int
    /// Requests that began with it, since it was registered.
    public let accesses: Int
    public let lastAccess: Int
    /// What warming reckons with: the uses of the past, each halved for every day that has passed. Registering it counts as
    /// one, so that a prompt is warm when it is first used.
    public let expectedUses: Double
}
