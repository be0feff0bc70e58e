/// Where missing shards come from: a hub, an object store, a peer, a directory.
public protocol Origin: Sendable {
    /// What errors and the catalog call it; without secrets.
    var url: String { get }

    /// Hands over all bytes of a shard, in order. Blocks; called on threads of our own.
    ///
    /// - Parameter body: is told where in the shard the bytes begin. They are only valid during the call.
    /// - Throws: whatever keeps the shard from being had. The caller checks its digest.
    func fetch(_ request: ShardRequest, _ body: (_ shardOffset: Int, UnsafeRawBufferPointer) throws -> Void) throws
}

/// A shard that is asked of an origin: by its digest, and by the places of its bytes in the files of a revision, for
/// origins that know files alone.
public struct ShardRequest: Sendable {
    /// A run of a file's bytes in the shard.
    public struct Piece: Sendable, Hashable {
        /// The file's path in the revision.
        public let file: String
        public let fileOffset: Int
        public let shardOffset: Int
        public let length: Int

        public init(file: String, fileOffset: Int, shardOffset: Int, length: Int) {
            self.file = file
            self.fileOffset = fileOffset
            self.shardOffset = shardOffset
            self.length = length
        }
    }

    public let digest: Digest
    public let bytes: Int
    public let model: String
    /// The hub's commit of the revision.
    public let commit: String
    /// In order of the shard's offsets. What lies between them is zero.
    public let pieces: [Piece]

    public init(digest: Digest, bytes: Int, model: String, commit: String, pieces: [Piece]) {
        self.digest = digest
        self.bytes = bytes
        self.model = model
        self.commit = commit
        self.pieces = pieces
    }
}
