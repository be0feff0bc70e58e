import Storage
import Support

/// An origin that knows models by name, and gives any range of their files: a hub.
///
/// It publishes digests of whole files at most. What a shard's digest is shows when its bytes have come.
public protocol ModelOrigin: Origin {
    /// Finds a revision, and lists its files. Blocks.
    ///
    /// - Parameters:
    ///   - revision: a branch, a tag or a commit.
    ///   - work: ends the call when it is cancelled.
    func listing(of model: String, at revision: String, _ work: Work) throws -> RemoteRevision

    /// Fills memory with the bytes of a file that begin at `offset`. Blocks, and tries again as often as it makes sense.
    ///
    /// - Parameter work: counts bytes as they arrive, and ends the call when it is cancelled.
    func read(_ file: RemoteFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ work: Work) throws
}

/// An origin that holds revision manifests and shards under their digests: an object store, or another store.
public protocol ManifestOrigin: Origin {
    /// The manifest of a revision. Blocks. The caller checks its digest.
    ///
    /// - Parameter work: ends the call when it is cancelled.
    func manifest(_ digest: ContentDigest, _ work: Work) throws -> [UInt8]
}

/// A revision, as a hub lists it.
public struct RemoteRevision: Sendable {
    public let model: String
    /// 40 hexadecimal digits.
    public let commit: String
    public let files: [RemoteFile]

    public init(model: String, commit: String, files: [RemoteFile]) {
        self.model = model
        self.commit = commit
        self.files = files
    }
}

/// A file of a revision, as a hub lists it.
public struct RemoteFile: Sendable, Hashable {
    public let model: String
    public let commit: String
    /// In the revision: relative, `/` between the parts.
    public let path: String
    public let bytes: Int
    /// The SHA-256 of the whole file, if it is published.
    public let digest: ContentDigest?
    /// The name of git's blob, 40 hexadecimal digits: what is published of files that are not in LFS.
    public let gitObject: String?

    public init(model: String, commit: String, path: String, bytes: Int, digest: ContentDigest?, gitObject: String?) {
        self.model = model
        self.commit = commit
        self.path = path
        self.bytes = bytes
        self.digest = digest
        self.gitObject = gitObject
    }

    /// What errors call it.
    var name: String { "\(model)@\(commit.prefix(12)) \(path)" }
}
