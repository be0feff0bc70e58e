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

    /// The path of the file with links resolved; it must be inside of the directory.
    private func place(of request: ShardRequest) throws -> String {
        let base = try resolve(root, request)
        let snapshot = "\(base)/snapshots/\(request.commit)"
        let path = try resolve((FileSystem.exists(snapshot) ? snapshot : base) + "/" + request.path, request)
        guard path.hasPrefix(base == "/" ? base : base + "/") else {
            throw failure(request, "\(path) is outside of \(base)")
        }
        return path
    }

    private func resolve(_ path: String, _ request: ShardRequest) throws -> String {
        do {
            return try FileSystem.resolve(path)
        } catch {
            throw failure(request, "\(error)")
        }
    }

    private func failure(_ request: ShardRequest, _ reason: String) -> StoreError {
        .originFailed(origin: url, digest: request.digest, reason: reason)
    }
}
