import Files
import Foundation
import Glibc
import Storage
import Support

/// A directory with a model's original files, or a Hugging Face cache of it, as `file:///…`.
public struct DirectoryOrigin: Origin {
    public let url: String
    private let root: String

    /// Bytes that are read at a time.
    private static let bufferBytes = 4 << 20

    /// - Throws: ``StorageError/invalid(what:value:reason:)`` unless it is a `file:` URL without a host.
    public init(_ url: String) throws {
        guard let parsed = URL(string: url), parsed.isFileURL, (parsed.host() ?? "").isEmpty else {
            throw StorageError.invalid(what: "origin", value: url, reason: "file:/// and an absolute path are expected")
        }
        self.url = url
        root = parsed.path(percentEncoded: false)
    }

    public func fetch(
        _ request: ShardRequest, _ work: Work, _ body: (_ shardOffset: Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let file = try FileDescriptor(try place(of: request), O_RDONLY | O_NONBLOCK)
        guard try file.status().isFile else { throw failure(request, "\(file.path) is no regular file") }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferBytes, alignment: 4096)
        defer { buffer.deallocate() }
        for piece in request.missing {
            var done = 0
            while done < piece.length {
                let room = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(piece.length - done))
                guard try file.read(at: piece.fileOffset + done, into: room) == room.count else {
                    throw failure(request, "\(file.path) is shorter than it was")
                }
                try body(piece.shardOffset + done, UnsafeRawBufferPointer(room))
                done += room.count
            }
        }
    }

    /// The file, which must lie in the directory, links resolved.
    private func place(of request: ShardRequest) throws -> String {
        let base = try resolve(root, request)
        let snapshot = "\(base)/snapshots/\(request.commit)"
        let path = try resolve((FileSystem.exists(snapshot) ? snapshot : base) + "/" + request.path, request)
        guard path.hasPrefix(base == "/" ? base : base + "/") else {
            throw failure(request, "\(path) lies outside of it")
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
