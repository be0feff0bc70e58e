import Storage
import Support

/// Where missing shards come from: a directory, a hub, an object store, a peer.
///
/// An origin is trusted with nothing: what it gives is hashed, and taken only if it is the shard.
public protocol Origin: Sendable {
    /// As it stands in the catalog.
    var url: String { get }

    /// Gets a shard's bytes. Blocks; called on threads of our own, several at once.
    ///
    /// - Parameters:
    ///   - request: says what the shard is, by its digest and by the file it is a part of: serve it by either.
    ///   - work: check it while nothing arrives; when it is cancelled, the fetch ends with `CancellationError`. The caller counts the
    ///     bytes.
    ///   - body: is given runs of the shard's bytes, best in order and of a few MiB. What no run covers is zero. Whatever it
    ///     throws goes through.
    func fetch(
        _ request: ShardRequest, _ work: Work, _ body: (_ shardOffset: Int, UnsafeRawBufferPointer) throws -> Void
    ) throws
}

/// A shard that is wanted, and one place where its bytes are.
public struct ShardRequest: Sendable, Equatable {
    /// Bytes of the file that are bytes of the shard. Between the pieces of a pack there are up to 63 zero bytes.
    public struct Piece: Sendable, Equatable {
        public let fileOffset: Int
        public let shardOffset: Int
        public let length: Int

        public init(fileOffset: Int, shardOffset: Int, length: Int) {
            self.fileOffset = fileOffset
            self.shardOffset = shardOffset
            self.length = length
        }
    }

    public let digest: ContentDigest
    public let bytes: Int
    /// `org/name`.
    public let model: String
    /// The revision: the hub's commit, or the first 40 digits of the manifest's digest.
    public let commit: String
    /// The file, by its path in the revision.
    public let path: String
    /// In the order of the shard.
    public let pieces: [Piece]
    /// The shard's bytes in front of this are here already, and need not travel.
    public internal(set) var start = 0

    public init(digest: ContentDigest, bytes: Int, model: String, commit: String, path: String, pieces: [Piece]) {
        self.digest = digest
        self.bytes = bytes
        self.model = model
        self.commit = commit
        self.path = path
        self.pieces = pieces
    }

    /// The pieces, as far as they have to travel.
    public var missing: [Piece] {
        pieces.compactMap { piece in
            let here = max(start - piece.shardOffset, 0)
            guard here < piece.length else { return nil }
            return Piece(
                fileOffset: piece.fileOffset + here, shardOffset: piece.shardOffset + here, length: piece.length - here)
        }
    }

    func from(_ start: Int) -> ShardRequest {
        var request = self
        request.start = start
        return request
    }
}
