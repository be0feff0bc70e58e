import Crypto
import Dispatch
import GRDB
import Storage
import Synchronization

/// What to pull.
public struct PullRequest: Sendable {
    /// `org/name`.
    public var model: String
    /// A branch, a tag or a commit of a hub; the digest of a revision in an object store or at a peer.
    public var revision: String
    /// What is to travel now. The rest is known, and travels when it is first used.
    public var selection = FetchSelection()
    /// Where from; nil means the model's own origins, the nearest first.
    public var origin: String?

    /// - Parameter name: `org/name`, or `org/name@revision`; without, it is `main`.
    public init(_ name: String) throws {
        let parts = name.split(separator: "@", maxSplits: 1).map(String.init)
        model = try ModelName.check(parts.first ?? name)
        revision = parts.dropFirst().first ?? "main"
    }
}

extension PullRequest {
    /// A model's origins, one of them `url`.
    static func origins(of model: String, with url: String, _ db: Database) throws -> [String] {
        let known = try OriginTable.urls(ofModel: model, db)
        return known.contains(url) ? known : known + [url]
    }
}

/// What a pull did.
public struct PullSummary: Sendable, Codable {
    public let model: String
    public let version: Int?
    public let digest: ContentDigest
    public let commit: String
    public let origin: String
    public let files: Int
    /// Bytes of all files.
    public let bytes: Int
    /// Bytes that came over the wire.
    public let fetched: Int
    /// Whether the last byte of the revision is here.
    public let complete: Bool
}
