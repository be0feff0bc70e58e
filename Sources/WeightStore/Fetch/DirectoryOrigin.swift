import Crypto
import Files
import Foundation
import Glibc
import Storage
import Support

/// An origin that is a directory with a model's original files, or a Hugging Face cache of the model: `file:///…`.
public struct DirectoryOrigin: Origin {
    /// The `file:` URL, as in the catalog.
    public let url: String
    private let root: String

    /// The size of one read.
    private static let bufferBytes = 4 << 20

    /// An origin for a `file:` URL; the directory need not exist yet.
    ///
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` unless it is a `file:` URL without a host.
    public init(_ url: String) throws {
        guard let parsed = URL(string: url), parsed.isFileURL, (parsed.host() ?? "").isEmpty else {
            throw StorageError.invalid(what: "origin", value: url, reason: "must be file:// and an absolute path")
        }
        self.url = url
        root = parsed.path(percentEncoded: false)
    }

    /// The directory of the URL.
    public var localDirectory: String? { root }

    /// Reads the shard's ranges from its file.
    ///
    /// - Throws: ``StoreError/originFailed(origin:digest:reason:)``, ``FileError``, and errors of `body`.
    public func fetch(
        _ request: ShardRequest, _ work: Work, _ body: (_ shardOffset: Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let file = try FileDescriptor(try place(of: request), O_RDONLY | O_NONBLOCK)
        guard try file.status().isFile else { throw failure(request, "\(file.path) is not a regular file") }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferBytes, alignment: 4096)
        defer { buffer.deallocate() }
        for piece in request.missing {
            var done = 0
            while done < piece.length {
                let room = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(piece.length - done))
                guard try file.read(at: piece.fileOffset + done, into: room) == room.count else {
                    throw failure(request, "\(file.path) is shorter than \(piece.fileOffset + piece.length) bytes")
                }
                try body(piece.shardOffset + done, UnsafeRawBufferPointer(room))
                done += room.count
            }
        }
    }

    /// Compares each file with the revision's: its size, and its digest if the store has read the file in its present
    /// state (device, inode, size and times). Other files are read: whole if they are small or the request is thorough,
    /// otherwise a few shards of each. A file that was read whole is remembered.
    ///
    /// So a directory that changed in place is not taken for an older version of itself.
    ///
    /// - Throws: ``FileError`` if the directory cannot be read; `CancellationError`.
    public func check(_ request: OriginCheckRequest, _ work: Work) throws -> OriginCheckResult {
        let base = try FileSystem.resolve(root)
        for file in request.files {
            try work.check()
            let path: String
            do {
                path = try place(of: file.path, commit: request.commit, in: base)
            } catch FileError.system(_, let path, let code) where code == ENOENT || code == ENOTDIR {
                return .lacks(reason: "\(path) does not exist")
            }
            guard let status = try FileSystem.status(path), status.isFile else {
                return .lacks(reason: "\(path) is not a regular file")
            }
            guard status.bytes == file.bytes else {
                return .lacks(reason: "\(path) has \(status.bytes) bytes, expected \(file.bytes)")
            }
            let found: ContentDigest?
            if let known = try request.remembered(status) {
                found = known
            } else if request.isThorough || file.bytes <= Self.wholeBytes {
                found = try hash(path, request, work)
            } else {
                found = nil
                for shard in request.sample where shard.path == file.path {
                    if let reason = try difference(of: shard, work) { return .lacks(reason: reason) }
                }
            }
            if let found, found != file.digest {
                return .lacks(reason: "\(path) has SHA-256 \(found.short), expected \(file.digest.short)")
            }
        }
        return .holds
    }

    /// Files up to this size are always read whole.
    private static let wholeBytes = 64 << 20
    /// Nanoseconds, well above the tick of the clock that sets file times: a file that changed more recently is not
    /// remembered, because a further change could leave the same times.
    private static let clockTick: Int64 = 100_000_000

    private func hash(_ path: String, _ request: OriginCheckRequest, _ work: Work) throws -> ContentDigest {
        let file = try FileDescriptor(path, O_RDONLY | O_NONBLOCK)
        let before = try file.status()
        let start = StoreClock.nanoseconds
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferBytes, alignment: 4096)
        defer { buffer.deallocate() }
        var hasher = SHA256()
        var offset = 0
        while true {
            try work.check()
            let count = try file.read(at: offset, into: buffer)
            hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer.prefix(count)))
            offset += count
            if count < buffer.count { break }
        }
        let digest = ContentDigest(hasher.finalize())
        if before == (try file.status()), before.isOlder(than: Self.clockTick, at: Int64(start)) {
            try request.remember(before, digest)
        }
        return digest
    }

    /// The path of the file with links resolved; it must be inside of the directory.
    private func place(of request: ShardRequest) throws -> String {
        do {
            return try place(of: request.path, commit: request.commit, in: try FileSystem.resolve(root))
        } catch {
            throw failure(request, "\(error)")
        }
    }

    private func place(of path: String, commit: String, in base: String) throws -> String {
        let snapshot = "\(base)/snapshots/\(commit)"
        let path = try FileSystem.resolve((FileSystem.exists(snapshot) ? snapshot : base) + "/" + path)
        guard path.hasBytePrefix(base == "/" ? base : base + "/") else {
            throw StorageError.invalid(what: "path", value: path, reason: "outside of \(base)")
        }
        return path
    }

    private func failure(_ request: ShardRequest, _ reason: String) -> StoreError {
        .originFailed(origin: url, digest: request.digest, reason: reason)
    }
}
