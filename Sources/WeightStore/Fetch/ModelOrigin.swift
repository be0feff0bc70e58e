import Storage
import Support

/// An origin that finds models by name and returns any range of their files, such as a hub.
///
/// It publishes digests of whole files at most: the digest of a shard is known only when its bytes have arrived.
public protocol ModelOrigin: Origin {
    /// Finds a revision, and lists its files. Blocks.
    ///
    /// - Parameters:
    ///   - model: `org/name`.
    ///   - revision: a branch, a tag or a commit.
    ///   - work: ends the call when it is cancelled.
    /// - Throws: ``FetchError``, `CancellationError`.
    func listing(of model: String, at revision: String, _ work: Work) throws -> RemoteRevision

    /// Fills `buffer` with the bytes of a file from `offset`. Blocks. The origin decides how often it retries.
    ///
    /// - Parameters:
    ///   - file: the file, as the listing named it.
    ///   - offset: the position in the file of the first byte.
    ///   - buffer: where the bytes are written; all of it is filled.
    ///   - work: counts bytes as they arrive, and ends the call when it is cancelled.
    /// - Throws: ``FetchError``, `CancellationError`.
    func read(_ file: RemoteFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ work: Work) throws
}

/// An origin that holds revision manifests and shards under their digests: an object store, or another store.
public protocol ManifestOrigin: Origin {
    /// The manifest of a revision. Blocks. The caller checks its digest.
    ///
    /// - Parameters:
    ///   - digest: the digest of the manifest.
    ///   - work: ends the call when it is cancelled.
    /// - Throws: ``FetchError``, `CancellationError`.
    func manifest(_ digest: ContentDigest, _ work: Work) throws -> [UInt8]
}

/// A revision in the listing of a hub.
public struct RemoteRevision: Sendable {
    /// `org/name`.
    public let model: String
    /// 40 hexadecimal digits.
    public let commit: String
    /// All files of the revision.
    public let files: [RemoteFile]

    /// A revision with its files.
    public init(model: String, commit: String, files: [RemoteFile]) {
        self.model = model
        self.commit = commit
        self.files = files
    }
}

/// A file of a revision in the listing of a hub.
public struct RemoteFile: Sendable, Hashable {
    /// `org/name`.
    public let model: String
    /// 40 hexadecimal digits.
    public let commit: String
    /// The path in the revision: relative, separated by `/`.
    public let path: String
    /// The file's size.
    public let bytes: Int
    /// The SHA-256 of the whole file; nil if it is not published.
    public let digest: ContentDigest?
    /// The id of the git blob, 40 hexadecimal digits: published for files that are not in LFS.
    public let gitObject: String?

    /// A file with its published digests.
    public init(model: String, commit: String, path: String, bytes: Int, digest: ContentDigest?, gitObject: String?) {
        self.model = model
        self.commit = commit
        self.path = path
        self.bytes = bytes
        self.digest = digest
        self.gitObject = gitObject
    }

    /// The name in error messages.
    var name: String { "\(model)@\(commit.prefix(12)) \(path)" }
}
