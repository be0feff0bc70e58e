import Files
import Glibc
import Support

/// The blobs of a store: `blobs/ab/abcdef…`, one file for each shard, manifest and record, read-only.
///
/// A blob is never changed and never truncated, so a mapping stays valid, even after the blob is removed. The names of
/// manifests and records end in `.manifest` and `.record`: a rebuild trusts their contents, and an imported file,
/// whatever its bytes, never gets such a name.
///
/// Beside the 256 directories lies the marker `.store` (`StoreMarker`).
///
/// A file in `blobs/` without a row is garbage *while the write lock is held*: files are added (`install`) and removed
/// (`DeletionAuthority`) only under the lock: added before the commit that inserts their row, removed after the commit
/// that deletes it.
package struct BlobDirectory: Sendable {
    /// The content of a blob; the raw value is the suffix of its file name.
    package enum Kind: String, Sendable, CaseIterable {
        case shard = ""
        case manifest = ".manifest"
        case record = ".record"
    }

    /// The name of a blob.
    package struct Name: Hashable, Sendable {
        package let digest: ContentDigest
        package let kind: Kind

        package init(digest: ContentDigest, kind: Kind) {
            self.digest = digest
            self.kind = kind
        }

        /// Parses the name of a file: 64 lower-case digits, and the suffix of the kind.
        init?(file name: String) {
            var name = name
            guard let parsed = name.withUTF8({ Name(file: $0) }) else { return nil }
            self = parsed
        }

        /// As above, for a name as bytes.
        init?(file name: UnsafeBufferPointer<UInt8>) {
            let digits = UnsafeBufferPointer(rebasing: name.prefix(2 * ContentDigest.byteCount))
            let suffix = name.dropFirst(2 * ContentDigest.byteCount)
            guard let digest = ContentDigest(lowerCase: digits),
                let kind = Kind.allCases.first(where: { suffix.elementsEqual($0.rawValue.utf8) })
            else { return nil }
            self.init(digest: digest, kind: kind)
        }

        /// The name of its directory.
        fileprivate var directory: String { BlobDirectory.fanOut[digest.firstByte] }
    }

    package let root: String

    package init(root: String) {
        self.root = root
    }

    /// The path of the directory of a blob.
    package func directory(_ digest: ContentDigest) -> String { directory(digest.firstByte) }

    private func directory(_ byte: Int) -> String { "\(root)/\(Self.fanOut[byte])" }

    /// The path of a blob.
    package func path(_ digest: ContentDigest, _ kind: Kind = .shard) -> String {
        "\(root)/\(Self.fanOut[digest.firstByte])/\(digest.hex)\(kind.rawValue)"
    }

    /// The names of the possible directories, `00` to `ff`.
    package static let fanOut: [String] = (0..<256).map { byte in
        let digits = Array("0123456789abcdef")
        return String([digits[byte >> 4], digits[byte & 15]])
    }

    /// The contents of one of the directories: the blobs, and the names of other files.
    package func contents(_ directory: String) throws -> (blobs: [Name], unknownFiles: [String]) {
        var blobs: [Name] = []
        let entries = try FileSystem.listing("\(root)/\(directory)")
        var unknownFiles = entries.undecodable
        for name in entries.names {
            if let blob = Name(file: name), blob.directory == directory {
                blobs.append(blob)
            } else {
                unknownFiles.append(name)
            }
        }
        return (blobs, unknownFiles)
    }

    /// The blobs in one of the directories, and their sizes in bytes, in no particular order.
    package func sizes(_ directory: String) throws -> [(name: Name, bytes: Int)] {
        try FileSystem.sizes(in: "\(root)/\(directory)") { text in
            Name(file: text).flatMap { $0.directory == directory ? $0 : nil }
        }
    }

    /// Renames staged, synced files to their final paths, durably. Call it only under the write lock, before the commit
    /// of the transaction that inserts their rows.
    ///
    /// An existing file without a row remains from a crash and may be incomplete (a rename can survive a power cut that
    /// its data does not), so it is replaced. A directory in its place is moved to `quarantine/`.
    ///
    /// The directories are synced at the same time, after all renames, and `root` before them if one of them is new.
    ///
    /// - Parameter durable: whether to sync the directories. False only for blobs that may be lost.
    package func install(_ staged: [(file: StagedFile, name: Name)], durable: Bool = true) throws {
        let directories = Set(staged.map(\.name.digest.firstByte)).map { directory($0) }
        let missing = directories.filter { !FileSystem.exists($0) }
        for directory in missing { try StoreFile.createDirectoryUnsynced(directory) }
        // Before a rename can fail: the next attempt finds the directories, and does not sync their parent.
        if !missing.isEmpty { try FileSystem.syncDirectory(root) }
        for (file, name) in staged { try rename(file, to: name) }
        if durable { try ParallelWork.run(directories) { try FileSystem.syncDirectory($0) } }
    }

    /// - Throws: ``FileError/notRegular(path:found:)`` if the path has a directory that cannot be moved.
    private func rename(_ file: StagedFile, to name: Name) throws {
        let path = path(name.digest, name.kind)
        do {
            try file.rename(to: path)
        } catch FileError.system(_, _, EISDIR) {
            // A rename replaces every other foreign entry. A directory may have contents, which are not the store's.
            do {
                try moveToQuarantine(name)
            } catch let error as FileError {
                if try FileSystem.isAbsent(path) { throw error }
                throw FileError.notRegular(path: path, found: "a directory")
            }
            try file.rename(to: path)
        }
    }

    /// Moves a damaged blob, or what is in its place, to `quarantine/`, durably. Call it under the write lock. An earlier
    /// file of the blob stays there.
    package func moveToQuarantine(_ name: Name) throws {
        let quarantine = FileSystem.parent(of: root) + "/quarantine"
        var target = "\(quarantine)/\(name.digest)\(name.kind.rawValue)"
        if try !FileSystem.isAbsent(target) { target += ".\(StoreClock.nanoseconds)" }
        try FileSystem.rename(path(name.digest, name.kind), to: target)
        try FileSystem.syncDirectory(quarantine)
        try FileSystem.syncDirectory(directory(name.digest))
    }
}
