import Files
import GRDB
import Glibc
import Storage
import Support

/// A revision, as an origin must hold it.
public struct OriginCheckRequest: Sendable {
    /// A file of the revision.
    public struct File: Sendable, Equatable {
        /// The path in the revision.
        public let path: String
        /// The file's size.
        public let bytes: Int
        /// The SHA-256 of the file.
        public let digest: ContentDigest
    }

    /// A shard of the revision.
    public struct Shard: Sendable, Equatable {
        /// The SHA-256 of the shard.
        public let digest: ContentDigest
        /// The shard's size.
        public let bytes: Int
    }

    /// `org/name`.
    public let model: String
    /// The hub's commit, or the first 40 digits of the manifest's digest.
    public let commit: String
    /// The SHA-256 of the manifest.
    public let digest: ContentDigest
    /// All files.
    public let files: [File]
    /// All shards that the store knows, each once.
    public let shards: [Shard]
    /// A few shards of each file, for an origin whose bytes must be read to be compared.
    public let sample: [ShardRequest]

    /// Whether files that are not remembered are compared whole, and not by a sample.
    var isThorough = false
    /// The digest of a file outside of the store that was read in exactly this state; nil if it was not.
    var remembered: @Sendable (FileStatus) throws -> ContentDigest? = { _ in nil }
    /// Remembers the digest of a file outside of the store.
    var remember: @Sendable (FileStatus, ContentDigest) throws -> Void = { _, _ in }

    /// The most sampled shards of a file.
    static let samplesPerFile = 3
    /// The most sampled shards in all.
    static let mostSamples = 96

    /// Bytes of all files.
    var bytes: Int { files.saturatingSum(\.bytes) }
}

/// The result of a check whether an origin holds a revision.
public enum OriginCheckResult: Sendable, Equatable {
    /// The origin holds the revision.
    case holds
    /// The origin does not hold the revision, or holds other bytes.
    case lacks(reason: String)
}

extension Origin {
    /// Fetches the smallest sampled shards, and compares them with their digests.
    public func check(_ request: OriginCheckRequest, _ work: Work) throws -> OriginCheckResult {
        try checkSample(request, work)
    }

    /// Fetches the smallest sampled shards, and compares them with their digests.
    func checkSample(_ request: OriginCheckRequest, _ work: Work) throws -> OriginCheckResult {
        for shard in request.sample.sorted(by: { $0.bytes < $1.bytes }).prefix(OriginCheckRequest.samplesPerFile) {
            if let reason = try difference(of: shard, work) { return .lacks(reason: reason) }
        }
        return .holds
    }

    /// Fetches a shard and compares it with its digest.
    ///
    /// - Returns: nil if it is equal.
    func difference(of shard: ShardRequest, _ work: Work) throws -> String? {
        // Bytes that no run covers are zero.
        guard let zeros = calloc(max(shard.bytes, 1), 1) else {
            throw FileError.system(operation: "calloc", path: shard.path, code: ENOMEM)
        }
        defer { free(zeros) }
        let memory = UnsafeMutableRawBufferPointer(start: zeros, count: max(shard.bytes, 1))
        try fetch(shard, work) { offset, run in
            try work.check()
            guard offset >= 0, run.count <= shard.bytes - offset else {
                throw StoreError.originDiffers(
                    origin: url, digest: shard.digest, found: "more than \(shard.bytes) bytes")
            }
            UnsafeMutableRawBufferPointer(rebasing: memory[offset..<offset + run.count]).copyMemory(from: run)
        }
        let found = ContentDigest(of: UnsafeRawBufferPointer(rebasing: memory[0..<shard.bytes]))
        return found == shard.digest
            ? nil : "\(shard.path): shard \(shard.digest.short) has SHA-256 \(found.short) there"
    }
}

extension ModelOrigin {
    /// Compares the listing of the revision's commit with its files: paths, sizes, and the published digests.
    public func check(_ request: OriginCheckRequest, _ work: Work) throws -> OriginCheckResult {
        let listing = try listing(of: request.model, at: request.commit, work)
        let there = Dictionary(listing.files.map { ($0.path, $0) }) { first, _ in first }
        for file in request.files {
            guard let remote = there[file.path] else { return .lacks(reason: "it has no file \(file.path)") }
            guard remote.bytes == file.bytes else {
                return .lacks(reason: "\(file.path) has \(remote.bytes) bytes there, expected \(file.bytes)")
            }
            if let digest = remote.digest, digest != file.digest {
                return .lacks(reason: "\(file.path) has SHA-256 \(digest.short) there, expected \(file.digest.short)")
            }
        }
        return .holds
    }
}

extension ManifestOrigin {
    /// Compares the manifest with its digest, and fetches the smallest sampled shards.
    public func check(_ request: OriginCheckRequest, _ work: Work) throws -> OriginCheckResult {
        let text = try manifest(request.digest, work)
        let found = text.withUnsafeBytes { ContentDigest(of: $0) }
        guard found == request.digest else {
            return .lacks(reason: "the manifest has SHA-256 \(found.short) there, expected \(request.digest.short)")
        }
        return try checkSample(request, work)
    }
}

// MARK: Requests

extension OriginCheckRequest {
    /// The request for a revision that is about to be committed.
    init(_ manifest: Manifest, digest: ContentDigest, model: String) {
        self.model = model
        self.digest = digest
        let commit = manifest.commit ?? String(digest.hex.prefix(40))
        self.commit = commit
        files = manifest.files.map { File(path: $0.path, bytes: $0.content.bytes, digest: $0.content.digest) }
        var seen: Set<ContentDigest> = []
        shards = manifest.files.flatMap(\.content.shards).filter { seen.insert($0.digest).inserted }
            .map { Shard(digest: $0.digest, bytes: $0.bytes) }
        var sample: [ShardRequest] = []
        for file in manifest.files where sample.count < Self.mostSamples {
            let content = file.content
            for number in Self.sample(of: content.shards.count) {
                var offset = 0
                var pieces: [ShardRequest.Piece] = []
                for extent in content.extents {
                    if extent.shard == number {
                        pieces.append(
                            .init(fileOffset: offset, shardOffset: extent.shardOffset, length: extent.length))
                    }
                    offset += extent.length
                }
                let shard = content.shards[number]
                sample.append(
                    ShardRequest(
                        digest: shard.digest, bytes: shard.bytes, model: model, commit: commit, path: file.path,
                        pieces: pieces.sorted { $0.shardOffset < $1.shardOffset }))
            }
        }
        self.sample = sample
    }

    /// The request for a revision of the catalog.
    init(_ revision: RevisionRow, _ db: Database) throws {
        model = revision.modelName
        digest = revision.digest
        let commit = try RevisionTable.commit(of: revision.id, db) ?? String(revision.digest.hex.prefix(40))
        self.commit = commit
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT revision_file.path, file.id, file.bytes, file.digest
                    FROM revision_file JOIN file ON file.id = revision_file.file_id
                    WHERE revision_file.revision_id = ?
                    ORDER BY revision_file.path
                    """), arguments: [revision.id])
        files = try rows.map { try File(path: $0.path("path"), bytes: $0.size("bytes"), digest: $0.value("digest")) }
        shards = try Row.mapAll(
            db.cachedStatement(
                sql: """
                    SELECT digest, bytes FROM shard
                    WHERE id IN (
                      SELECT extent.shard_id
                      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
                      WHERE revision_file.revision_id = ?)
                    """), arguments: [revision.id]
        ) { try Shard(digest: $0.value("digest"), bytes: $0.size("bytes")) }
        var sample: [ShardRequest] = []
        for row in rows where sample.count < Self.mostSamples {
            let file: Int64 = try row.value("id")
            let shards = try ExtentTable.shards(of: file, db).sorted()
            for number in Self.sample(of: shards.count) {
                guard let shard = try ShardTable.find(id: shards[number], db) else { continue }
                let pieces = try ExtentTable.pieces(of: shard, in: file, db)
                sample.append(
                    ShardRequest(
                        digest: shard.digest, bytes: shard.bytes, model: model, commit: commit,
                        path: try row.path("path"),
                        pieces: pieces.map {
                            .init(fileOffset: $0.fileOffset, shardOffset: $0.shardOffset, length: $0.length)
                        }))
            }
        }
        self.sample = sample
    }

    /// The numbers of the sampled shards of a file: the first, the last, and one in between.
    private static func sample(of count: Int) -> [Int] {
        count <= samplesPerFile ? Array(0..<count) : [0, count / 2, count - 1]
    }
}
