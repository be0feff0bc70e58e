import GRDB

/// A token sequence that many requests to a model begin with: a system prompt, a few examples, a document.
public struct Prompt: Sendable, Codable {
    /// The name of the model.
    public let model: String
    /// The name of the prompt, unique in its model.
    public let name: String
    /// The SHA-256 of the tokens.
    public let digest: ContentDigest
    /// The number of tokens.
    public let tokens: Int
    /// The time of registration, in seconds since 1970.
    public let created: Int
    /// The number of requests that began with it since it was registered.
    public let accesses: Int
    /// The time of the last such request, in seconds since 1970.
    public let lastAccess: Int
    /// The estimate that warm-up uses: the past uses, each halved for every day since. The registration counts as one
    /// use, so that a prompt is warm before its first use.
    public let expectedUses: Double
}
