import Files
import GRDB
import Glibc
import Storage
import Support

/// The folder `partial/`: one file for each shard that is being fetched from an origin. It is written front to back, so
/// its size is the number of valid bytes, and after a broken connection or `kill -9` the next fetch resumes there.
///
/// A file is named after the boot id, the model file (its digest) and the offset in it, so that all processes find the
/// same one. The process that has locked it fetches; others wait, and then find the shard. The files are not synced: a
/// process that dies loses none of its writes, and after a crash of the machine the boot id differs, so files of the
/// earlier boot are not used. A file whose sync has failed is removed.
///
/// The folder also keeps the fronts of files that were fetched with their headers.
struct PartialShards: Sendable {
    let path: String

    /// - Parameter store: the store's directory.
    init(store: String) { path = store + "/partial" }

    private static let boot: String = {
        // Without a boot id, no process uses files of another one.
        let id = (try? FileSystem.read("/proc/sys/kernel/random/boot_id", limit: 4096)).map {
            String(decoding: $0, as: UTF8.self)
        }
        return String(
            (id ?? "\(getpid())").utf8.filter { Hex.value($0) != nil }.prefix(12).map { Character(UnicodeScalar($0)) })
    }()

    private static let timeout = Duration.seconds(10)

    /// The partial file of a shard with a known digest.
    func path(of digest: ContentDigest) -> String { path(of: "shard-\(digest)", at: 0) }

    func path(of file: String, at offset: Int) -> String { "\(path)/\(Self.boot)-\(file)-\(offset)" }

    /// Opens the partial file of a shard with a known digest, or creates it.
    ///
    /// The caller holds the shard's lock, so only a garbage collection can have the file locked, for a moment.
    ///
    /// - Throws: ``StorageError/busy(what:holder:)`` if it is locked for 10 seconds; `CancellationError`.
    func open(_ digest: ContentDigest, _ wait: LockWait) throws -> StagedFile {
        let path = path(of: digest)
        var opened: StagedFile?
        _ = try wait.within(Self.timeout).wait(for: path) {
            LockHolder.all(of: path)
        } _: {
            opened = try open(path)
            return opened != nil
        }
        guard let opened else { throw StorageError.busy(what: path, holder: LockWait.text(LockHolder.all(of: path))) }
        return opened
    }

    /// Waits until another fetch releases a partial file.
    func wait(for path: String, _ wait: LockWait) throws {
        _ = try wait.wait(for: path) {
            LockHolder.all(of: path)
        } _: {
            // It was removed after its commit.
            guard let file = try FileDescriptor.openIfPresent(path) else { return true }
            return try file.tryLock(shared: true)
        }
    }

    /// Whether a fetch has a partial file open.
    func isInUse(_ path: String) throws -> Bool {
        guard let file = try FileDescriptor.openRegularIfPresent(path) else { return false }
        return try !file.tryLock(shared: true)
    }

    /// Opens and locks a partial file, or creates it.
    ///
    /// - Returns: nil if another fetch or a garbage collection has it locked.
    func open(_ path: String) throws -> StagedFile? {
        try StoreFile.createDirectory(self.path)
        while true {
            let file = try StoreFile.open(path, O_RDONLY)
            guard try file.tryLock() else { return nil }
            // It may have been removed between the open and the lock.
            guard try FileSystem.status(path)?.inode == file.status().inode else { continue }
            let status = try file.status()
            if status.links == 1, status.isOwned { return try StagedFile(keeping: file) }
            // It is also a blob: the process that linked it died before it removed this name. Or it is another user's, and
            // only its owner can make it read-only.
            try FileSystem.remove(path)
        }
    }

    /// Keeps the bytes at the front of a file that were fetched with its header, for shards that are fetched later.
    ///
    /// - Parameters:
    ///   - file: ``FetchFile/key``.
    ///   - staged: the temporary file to write them to.
    func keep(front bytes: [UInt8], of file: String, staged: StagedFile) throws {
        try StoreFile.createDirectory(path)
        try bytes.withUnsafeBytes { try staged.write($0, at: 0) }
        // Not synced: after a crash of the machine the boot id differs, and the file is not used.
        try staged.rename(to: frontPath(of: file))
    }

    /// The kept bytes at the front of a file; empty if there are none.
    func front(of file: String) throws -> [UInt8] {
        guard let front = try FileDescriptor.openRegularIfPresent(frontPath(of: file)) else { return [] }
        return try front.readAll(limit: RemoteSource.maximumPrefix)
    }

    func removeFront(of file: String) throws { try FileSystem.remove(frontPath(of: file)) }

    private func frontPath(of file: String) -> String { "\(path)/\(Self.boot)-\(file)-front" }

    /// Removes files that are not in use and are older than `age`, or of an earlier boot.
    ///
    /// - Returns: the number of files, and their bytes; the paths of what is no file of a fetch.
    func collect(olderThanSeconds age: Int, dryRun: Bool) throws -> (files: Int, bytes: Int, unknown: [String]) {
        let entries = try FileSystem.listing(path)
        var collected = (files: 0, bytes: 0, unknown: entries.undecodable.map { "\(path)/\($0)" })
        for name in entries.names {
            let path = "\(path)/\(name)"
            guard let file = try FileDescriptor.openRegularIfPresent(path) else {
                if FileSystem.exists(path) { collected.unknown.append(path) }
                continue
            }
            guard try file.tryLock() else { continue }
            let status = try file.status()
            let limit = Int64(age).multiplied(saturating: 1_000_000_000)
            let isOlder = StoreClock.nanoseconds.subtracting(saturating: status.modified) > limit
            guard !name.hasBytePrefix(Self.boot) || isOlder else { continue }
            collected.files += 1
            collected.bytes = collected.bytes.adding(saturating: status.bytes)
            if !dryRun { try FileSystem.remove(path) }
        }
        return collected
    }
}
