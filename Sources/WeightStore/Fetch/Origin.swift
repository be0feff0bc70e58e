import Files
import Storage
import Support

/// A source of missing shards: a directory, a hub, an object store, a peer.
///
/// The store does not trust an origin: it hashes the bytes, and accepts them only if the digest is the shard's.
public protocol Origin: Sendable {
    /// The URL, as in the catalog.
    var url: String { get }

    /// The directory of this machine from which the origin reads, if it does; the default is nil.
    ///
    /// A move out of the directory would remove the origin's files: one that the import also names as origin is
    /// refused, and the origin is checked again after other moves. Its checks have time to read all files.
    var localDirectory: String? { get }

    /// Fetches a shard's bytes. Blocks. The store calls it on its own threads, several at once.
    ///
    /// - Parameters:
    ///   - request: identifies the shard by its digest, and by the file that contains it: use either.
    ///   - work: to be checked while no bytes arrive: when it is cancelled, throw `CancellationError`. The caller
    ///     counts the bytes.
    ///   - body: receives runs of the shard's bytes, preferably in order and of a few MiB. Bytes that no run covers are
    ///     zero. Its errors must be rethrown.
    /// - Throws: errors of the origin; the store then tries the next one.
    func fetch(
        _ request: ShardRequest, _ work: Work, _ body: (_ shardOffset: Int, UnsafeRawBufferPointer) throws -> Void
    ) throws

    /// Checks whether the origin holds a revision. Blocks.
    ///
    /// The bytes of a revision are deleted only if each of its holders has an origin that was seen to hold it, so the
    /// answer must not be a guess. The default compares what a hub lists, what a manifest names, or a few shards.
    ///
    /// - Parameters:
    ///   - request: the files and shards of the revision.
    ///   - work: ends the call when it is cancelled, also after a time limit.
    /// - Returns: whether the origin holds it.
    /// - Throws: errors that leave the question open; ``FetchError/notFound(what:url:status:)`` and errors about
    ///   digests count as the answer that it does not.
    func check(_ request: OriginCheckRequest, _ work: Work) throws -> OriginCheckResult
}

extension Origin {
    /// nil: most origins are not on this machine.
    public var localDirectory: String? { nil }

    /// The local directory with links resolved; nil if there is none.
    var resolvedDirectory: String? { localDirectory.flatMap { try? FileSystem.resolve($0) } }
}

/// A shard to fetch, and a file that contains its bytes.
public struct ShardRequest: Sendable, Equatable {
    /// Bytes of the file that are bytes of the shard. Between two pieces of a pack there are up to 63 zero bytes.
    public struct Piece: Sendable, Equatable {
        /// The offset in the file, in bytes.
        public let fileOffset: Int
        /// The offset in the shard, in bytes.
        public let shardOffset: Int
        /// The number of bytes.
        public let length: Int

        /// A piece of a shard.
        public init(fileOffset: Int, shardOffset: Int, length: Int) {
            self.fileOffset = fileOffset
            self.shardOffset = shardOffset
            self.length = length
        }
    }

    /// The SHA-256 of the shard.
    public let digest: ContentDigest
    /// The shard's size.
    public let bytes: Int
    /// `org/name`.
    public let model: String
    /// The revision: the hub's commit, or the first 40 digits of the manifest's digest.
    public let commit: String
    /// The path of the file in the revision.
    public let path: String
    /// Sorted by shard offset.
    public let pieces: [Piece]
    /// The number of bytes at the front of the shard that are stored already and need not be fetched.
    public internal(set) var start = 0
    /// The end of the bytes to fetch: those behind are not needed.
    public internal(set) var end: Int
    /// The size of the file, in bytes; nil if it is unknown.
    public internal(set) var fileBytes: Int?

    /// A request for a whole shard.
    public init(digest: ContentDigest, bytes: Int, model: String, commit: String, path: String, pieces: [Piece]) {
        self.digest = digest
        self.bytes = bytes
        self.model = model
        self.commit = commit
        self.path = path
        self.pieces = pieces
        end = bytes
    }

    /// The pieces, without the bytes before ``start`` and behind ``end``.
    public var missing: [Piece] {
        pieces.compactMap { piece in
            let here = max(start - piece.shardOffset, 0)
            let length = min(piece.length, end - piece.shardOffset)
            guard here < length else { return nil }
            return Piece(
                fileOffset: piece.fileOffset + here, shardOffset: piece.shardOffset + here, length: length - here)
        }
    }

    func only(_ range: Range<Int>) -> ShardRequest {
        var request = self
        (request.start, request.end) = (range.lowerBound, range.upperBound)
        return request
    }

    func from(_ start: Int) -> ShardRequest {
        var request = self
        request.start = start
        return request
    }
}
