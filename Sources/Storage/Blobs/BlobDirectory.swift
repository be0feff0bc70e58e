import Files
import Glibc

/// The blobs of a store: `blobs/ab/abcdef…`, one file for each shard, manifest and record, mode 0444.
///
/// A blob is never changed and never truncated, so what is mapped stays what it was, even after its removal.
/// Manifests and records end in `.manifest` and `.record`: a rebuild trusts what they say about models, and no
/// imported file, whatever its bytes, can pass for one.
///
/// A file in `blobs/` that no row knows is garbage *while the write lock is held*: files come in (`install`) and go
/// (`Catalog.sweep`) only under it, on the right side of the transaction that makes or forgets their row.
package struct BlobDirectory: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        case shard = ""
        case manifest = ".manifest"
        case record = ".record"
    }

    package struct Name: Hashable, Sendable {
        package let digest: ContentDigest
        package let kind: Kind

        package init(digest: ContentDigest, kind: Kind) {
            self.digest = digest
            self.kind = kind
        }
    }

    package let root: String

    package init(root: String) {
        self.root = root
    }

    package func directory(_ digest: ContentDigest) -> String { "\(root)/\(digest.hex.prefix(2))" }

    package func path(_ digest: ContentDigest, _ kind: Kind = .shard) -> String {
        let hex = digest.hex
        return "\(root)/\(hex.prefix(2))/\(hex)\(kind.rawValue)"
    }

    /// The directories `00` to `ff`, in order, as far as they exist.
    package static let fanOut: [String] = (0..<256).map { byte in
        let digits = Array("0123456789abcdef")
        return String([digits[byte >> 4], digits[byte & 15]])
    }

    /// What lies in one of the directories: blobs by their names, and whatever else is there.
    package func contents(_ directory: String) throws -> (blobs: [Name], strangers: [String]) {
        var blobs: [Name] = []
        var strangers: [String] = []
        for name in try FileSystem.entries("\(root)/\(directory)") {
            let stem = name.prefix(2 * ContentDigest.byteCount)
            if let digest = ContentDigest(hex: stem), digest.hex == stem, stem.hasPrefix(directory),
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
    package func install(_ staged: [(path: String, name: Name)], durable: Bool = true) throws {
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
