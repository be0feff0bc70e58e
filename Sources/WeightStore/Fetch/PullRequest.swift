import Crypto
import Dispatch
import Storage
import Support
import Synchronization

/// The revision to pull, and its options.
public struct PullRequest: Sendable {
    /// `org/name`.
    public var model: String
    /// A branch, a tag or a commit of a hub; the digest of a revision in an object store or at a peer.
    public var revision: String
    /// The bytes to fetch now. The others are fetched when they are first used.
    public var selection = FetchSelection()
    /// Whether a file that breaks a rule of its format is kept without tensors; otherwise the pull is refused.
    public var opaque = false
    /// The URL of the origin; nil means the model's own origins, the nearest first.
    public var origin: String?

    /// A request for all bytes of a revision.
    ///
    /// - Parameter name: `org/name@revision`; `org/name` alone means the revision `main`.
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` for the name of a model.
    public init(_ name: String) throws {
        let parts = name.byteParts("@", maxSplits: 1)
        model = try ModelName.check(parts.first ?? name)
        revision = parts.dropFirst().first { !$0.isEmpty } ?? "main"
    }
}

/// The result of a pull.
public struct PullSummary: Sendable, Codable {
    /// `org/name`.
    public let model: String
    /// 1, 2, 3 … per model.
    public let version: Int?
    /// The SHA-256 of the manifest; of the provisional one while the revision is not complete.
    public let digest: ContentDigest
    /// The hub's commit, or the first 40 digits of the manifest's digest.
    public let commit: String
    /// The URL of the origin.
    public let origin: String
    /// The number of files.
    public let files: Int
    /// Bytes of all files.
    public let bytes: Int
    /// Bytes that were fetched.
    public let fetched: Int
    /// Whether all bytes of the revision are in the store.
    public let complete: Bool
    /// Unusual files, with what does not work with them. Files that the store held before are not read again.
    public var warnings: [FileWarning] = []
    /// The refs that named another revision before, with the name of that revision.
    public var movedRefs: [String: String] = [:]

    /// `org/name@~3`, or with a digest while the revision has no version.
    public var name: String { RevisionName.text(model, version: version, digest: digest) }
}
