import Crypto
import Files
import GRDB
import Glibc
import Storage
import Support

/// Removes the source files of moves.
///
/// A file is unlinked only if its row in `move_file` has a digest, the move's revision holds a file with that digest
/// whose blobs are there, and the file on disk is the one that was read: inode, size and times are compared right before
/// the unlink. If only the times differ, the file is hashed. Its row is deleted after its directory was synced, so an
/// interruption at any point leaves rows from which the next run continues.
///
/// The comparisons and unlinks run under the write lock, in slices, because a removal of the revision must not come
/// between them.
struct SourceRemover {
    let store: Store
    /// The locations of the removed files.
    private(set) var removed: [String] = []
    /// Files that were not removed.
    private(set) var skipped: [SkippedFile] = []
    /// The directories of origins, with links resolved; nil for an origin without one.
    private var directories: [ByteText: String?] = [:]

    private static let slice = 64

    init(store: Store) {
        self.store = store
    }

    /// Removes the stored files of a move.
    ///
    /// A file that changed since it was read stays, and from then on counts as one that the move has not stored.
    ///
    /// - Parameters:
    ///   - used: real paths that must stay, because files of the source that are not stored yet are links to them.
    ///   - isCurrent: whether this run has read the files, so that a change of one is known to be a change of this
    ///     source.
    mutating func remove(_ move: MoveTable.Move, used: Set<ByteText> = [], isCurrent: Bool) throws {
        let stored = move.files.filter { $0.digest != nil && !used.contains(ByteText($0.location)) }
        // Links before their targets: a target without links is found again by its row, a link without target is not.
        let ordered = try stored.map { (file: $0, status: try FileSystem.status($0.location, following: false)) }
            .sorted { $0.status?.isLink == true && $1.status?.isLink != true }
        var hashed: [ByteText: FileStatus] = [:]
        for (file, status) in ordered {
            if let status, try hasDigest(file, status) { hashed[ByteText(file.location)] = status }
        }
        // The change times of inodes of which this run has removed another name.
        var relinked: [Int64: Int64] = [:]
        var gone: [String] = []
        var changed: [MoveTable.File] = []
        var rest = ordered.map(\.file)[...]
        while !rest.isEmpty {
            let slice = rest.prefix(Self.slice)
            rest = rest.dropFirst(slice.count)
            try store.catalog.write { db in
                // Without its row, the move was removed together with its revision.
                guard let revision = try MoveTable.revision(of: move.id, db) else { return }
                try forgetOrigins(of: slice, db)
                for file in slice {
                    guard let status = try FileSystem.status(file.location, following: false) else {
                        gone.append(file.location)
                        continue
                    }
                    var isSame = file.isUnchanged(status) || hashed[ByteText(file.location)] == status
                    if let time = relinked[file.inode] {
                        isSame =
                            isSame
                            || file.isSameFile(status) && file.modified == status.modified
                                && time == status.changed
                    }
                    if !isSame {
                        changed.append(file)
                    } else if try isSafe(file, in: revision, db) {
                        try unlink(file.location, status, &relinked)
                        gone.append(file.location)
                        removed.append(file.location)
                    } else {
                        skipped.append(
                            SkippedFile(path: file.location, reason: "not removed: some of its bytes are not stored")
                        )
                    }
                }
            }
        }
        try sync(gone)
        for file in changed {
            skipped.append(SkippedFile(path: file.location, reason: "not removed: it changed after it was read"))
        }
        try store.catalog.write { db in
            guard try MoveTable.revision(of: move.id, db) != nil else { return }
            for file in changed {
                let status = isCurrent ? try FileSystem.status(file.location, following: false) : nil
                try MoveTable.save(file.unstored(status), of: move.id, db)
            }
            try MoveTable.remove(gone, of: move.id, db)
        }
    }

    /// An origin that a removal changes no longer counts as checked: until it is checked again, no eviction relies on it.
    ///
    /// Another process may check an origin between two slices, so each slice forgets the checks that it makes outdated.
    private mutating func forgetOrigins(of files: ArraySlice<MoveTable.File>, _ db: Database) throws {
        for url in try OriginTable.checkedURLs(db) {
            guard let root = directory(of: url) else { continue }
            if files.contains(where: { SourceBounds.contains(root, $0.location) }) {
                try OriginTable.forgetChecks(of: url, db)
            }
        }
    }

    /// The directory of an origin, which is resolved once.
    private mutating func directory(of url: String) -> String? {
        if let known = directories[ByteText(url)] { return known }
        // A directory that cannot be resolved is not there, so nothing of it is removed.
        let directory = (try? store.origins.origin(url))?.resolvedDirectory
        directories[ByteText(url)] = .some(directory)
        return directory
    }

    /// Hashes a file of which only the times differ from those in its row.
    private func hasDigest(_ file: MoveTable.File, _ status: FileStatus) throws -> Bool {
        guard !file.isUnchanged(status), status.isFile, file.isSameFile(status), let digest = file.digest else {
            return false
        }
        // A change right after the hashing must show in the times.
        if !status.isOlder(than: FileIngest.clockTick, at: StoreClock.nanoseconds) {
            usleep(UInt32(FileIngest.clockTick / 1000))
        }
        let source = try FileSource(file.location)
        guard source.status == status else { return false }
        var hasher = SHA256()
        let buffer = Buffer(bytes: BufferPool.bufferBytes)
        var offset = 0
        while offset < source.count {
            let room = buffer.writableBytes(min(buffer.capacity, source.count - offset))
            try source.read(at: offset, into: room)
            hasher.update(bufferPointer: UnsafeRawBufferPointer(room))
            offset += room.count
        }
        try source.checkUnchanged()
        return ContentDigest(hasher.finalize()) == digest
    }

    /// Whether the revision holds the file, and can give its bytes.
    private func isSafe(_ file: MoveTable.File, in revision: Int64, _ db: Database) throws -> Bool {
        guard let digest = file.digest, let stored = try RevisionTable.file(digest, of: revision, db) else {
            return false
        }
        return try ShardTable.all(ofFile: stored, db).allSatisfy { shard in
            switch shard.state {
            case .present:
                try FileSystem.status(store.blobs.path(shard.digest)).map { $0.isFile && $0.bytes == shard.bytes }
                    ?? false
            // An evicted shard is in an origin, and this file may be a part of that origin.
            case .evicted, .quarantined, .missing: false
            }
        }
    }

    private func unlink(_ path: String, _ status: FileStatus, _ relinked: inout [Int64: Int64]) throws {
        guard status.isFile, status.links > 1 else {
            try FileSystem.remove(path)
            return
        }
        // Removing one of several names changes the inode's change time.
        let file = try FileDescriptor(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW)
        try FileSystem.remove(path)
        let after = try file.status()
        if after.inode == status.inode, after.bytes == status.bytes, after.modified == status.modified {
            relinked[after.inode] = after.changed
        }
    }

    /// Makes the removals durable.
    private func sync(_ locations: [String]) throws {
        for directory in Set(locations.map { ByteText(FileSystem.parent(of: $0)) })
        where FileSystem.exists(directory.text) {
            try FileSystem.syncDirectory(directory.text)
        }
    }
}
