import Glibc

/// The blobs of a store: `blobs/ab/abcdef…`, one file for each shard, manifest and record, mode 0444.
///
/// A blob is never changed and never truncated, so what is mapped stays what it was, even after its removal.
/// Manifests and records end in `.manifest` and `.record`: a rebuild trusts what they say about models, and no
/// imported file, whatever its bytes, can pass for one.
///
/// A file in `blobs/` that no row knows is garbage *while the write lock is held*: files come in (`install`) and go
/// (`Catalog.sweep`) only under it, on the right side of the transaction that makes or forgets their row.
struct BlobDirectory: Sendable {
    enum Kind: String, Sendable, CaseIterable {
        case shard = ""
        case manifest = ".manifest"
        case record = ".record"
    }

    struct Name: Hashable, Sendable {
        let digest: Digest
        let kind: Kind
    }

    let root: String

    func directory(_ digest: Digest) -> String { "\(root)/\(digest.hex.prefix(2))" }

    func path(_ digest: Digest, _ kind: Kind = .shard) -> String {
        let hex = digest.hex
        return "\(root)/\(hex.prefix(2))/\(hex)\(kind.rawValue)"
    }

    /// The directories `00` to `ff`, in order, as far as they exist.
    static let fanOut: [String] = (0..<256).map { byte in
        let digits = Array("0123456789abcdef")
        return String([digits[byte >> 4], digits[byte & 15]])
    }

    /// What lies in one of the directories: blobs by their names, and whatever else is there.
    func contents(_ directory: String) throws(StoreError) -> (blobs: [Name], strangers: [String]) {
        var blobs: [Name] = []
        var strangers: [String] = []
        for name in try FileSystem.entries("\(root)/\(directory)") {
            let stem = name.prefix(2 * Digest.byteCount)
            if let digest = Digest(hex: stem), digest.hex == stem, stem.hasPrefix(directory),
                let kind = Kind(rawValue: String(name.dropFirst(stem.count)))
            {
                blobs.append(Name(digest: digest, kind: kind))
            } else {
                strangers.append(name)
            }
        }
        return (blobs, strangers)
    }

    /// Moves staged, synced files to their places and makes that durable. Only under the write lock, before the
    /// transaction that makes their rows.
    ///
    /// A file that is there without a row is what a crash left; it may be torn (a rename can survive a power cut that
    /// its data did not), so it is replaced, never trusted.
    ///
    /// - Parameter durable: whether to wait for the directories. Only what may be lost goes without.
    func install(_ staged: [(path: String, name: Name)], durable: Bool = true) throws(StoreError) {
        var directories: Set<String> = []
        for (path, name) in staged {
            let directory = directory(name.digest)
            if directories.insert(directory).inserted { try FileSystem.createDirectory(directory) }
            try FileSystem.rename(path, to: self.path(name.digest, name.kind))
        }
        if !durable { return }
        for directory in directories { try FileSystem.syncDirectory(directory) }
    }
}
