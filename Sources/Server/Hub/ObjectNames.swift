import Foundation
import Synchronization
import WeightStore
import WireFormats
import enum Crypto.Insecure

/// A file as the Hub stores it: in git under git's SHA-1, or in LFS under its SHA-256, with a pointer in git.
struct HubFile: Sendable {
    let entry: FileEntry
    /// The SHA-1 of the git object: the file, or its pointer.
    let objectID: String
    /// The text of the pointer; nil for a file in git.
    let pointer: String?

    var isLFS: Bool { pointer != nil }
    var pointerBytes: Int? { pointer?.utf8.count }

    /// The name of the file in the client's cache.
    var tag: String { isLFS ? entry.digest.hex : objectID }
}

/// Computes the names of files in git. The SHA-1 of a small file is computed on the first request, and cached.
final class ObjectNames: Sendable {
    /// The Hub stores larger files in LFS.
    private static let gitBytes = 10_000_000
    /// The most cached names.
    private static let kept = 1 << 17

    /// The suffixes that the Hub's default `.gitattributes` puts into LFS at any size.
    private static let suffixes: Set<String> = [
        "7z", "arrow", "bin", "bz2", "ckpt", "ftz", "gguf", "gz", "h5", "joblib", "mlmodel", "model", "msgpack", "npy",
        "npz", "onnx", "ot", "parquet", "pb", "pickle", "pkl", "pt", "pth", "rar", "safetensors", "tar", "tflite",
        "tgz",
        "wasm", "xz", "zip", "zst",
    ]

    private let names = Mutex<[ContentDigest: String]>([:])

    /// The reason why the name of a file cannot be computed without a fetch.
    enum Gap {
        /// Some of its bytes are not stored.
        case absent
        /// The error of a read of a blob that is missing or damaged.
        case lost(StorageError)
    }

    /// Computes and caches the name of a file. Blocks, but waits for no origin.
    ///
    /// - Returns: nil if the name is known now.
    func gap(_ entry: FileEntry, of revision: Revision) throws -> Gap? {
        do {
            _ = try file(entry, of: revision)
            return nil
        } catch HubError.unavailable {
            return .absent
        } catch let error as StorageError where error.lostBlob != nil {
            return .lost(error)
        }
    }

    /// Reads the file if it is small and its name is not cached. Blocks, but waits for no origin.
    ///
    /// - Parameter fetched: its bytes; nil for those in the store.
    /// - Throws: ``HubError/unavailable(_:)`` if it must be read and is not stored.
    func file(_ entry: FileEntry, of revision: Revision, reading fetched: StoredBytes? = nil) throws -> HubFile {
        if Self.isLFS(entry) {
            let pointer =
                "version https://git-lfs.github.com/spec/v1\noid sha256:\(entry.digest)\nsize \(entry.bytes)\n"
            var hasher = GitHasher(bytes: pointer.utf8.count)
            Array(pointer.utf8).withUnsafeBytes { hasher.update($0) }
            return HubFile(entry: entry, objectID: hasher.finish(), pointer: pointer)
        }
        if let name = names.withLock({ $0[entry.digest] }) {
            return HubFile(entry: entry, objectID: name, pointer: nil)
        }
        guard let stored = try fetched ?? revision.storedBytes(of: entry, in: 0..<entry.bytes) else {
            throw HubError.unavailable("some of the bytes are not in the store")
        }
        var hasher = GitHasher(bytes: entry.bytes)
        var buffer = [UInt8](repeating: 0, count: min(entry.bytes, Pieces.bytes))
        for offset in stride(from: 0, to: entry.bytes, by: Pieces.bytes) {
            buffer.removeLast(max(buffer.count - (entry.bytes - offset), 0))
            _ = try buffer.withUnsafeMutableBytes { try stored.read(at: offset, into: $0) }
            buffer.withUnsafeBytes { hasher.update($0) }
        }
        let name = hasher.finish()
        names.withLock { names in
            if names.count >= Self.kept { names = [:] }
            names[entry.digest] = name
        }
        return HubFile(entry: entry, objectID: name, pointer: nil)
    }

    static func isLFS(_ entry: FileEntry) -> Bool {
        if entry.bytes > gitBytes || entry.format != "other" { return true }
        let name = entry.path.split(separator: "/").last ?? ""
        let suffix = name.split(separator: ".", omittingEmptySubsequences: false).dropFirst().last
        return suffix.map { suffixes.contains(String($0)) } ?? false
    }

    /// An opaque name for a folder, from its contents.
    static func folder(_ entries: some Sequence<FileEntry>) -> String {
        var hasher = Insecure.SHA1()
        for entry in entries { hasher.update(data: Data("\(entry.path)\0\(entry.digest)\n".utf8)) }
        return Hex.encode(hasher.finalize())
    }
}
