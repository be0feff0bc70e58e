import Files
import GRDB
import Glibc
import Storage

/// `partial/`: one file for each shard that is on its way from an origin, written front to back, so that its size says
/// how much of it is here. After a broken connection or kill -9 the next fetch goes on behind that.
///
/// Named after the boot, the file (its digest) and the place in it, so that every process finds the same one. The one
/// that has it locked fetches; others wait, and then find the shard. No sync is needed on the way: a process that dies
/// loses nothing of what it has written, and what was written before the machine went down is not trusted, because its
/// boot had another name.
///
/// Beside them, the fronts of files that came with their headers.
struct PartialShards: Sendable {
    let path: String

    /// - Parameter store: the store's directory.
    init(store: String) { path = store + "/partial" }

    private static let boot: String = {
        // Without it, nothing of another process is trusted.
        let id = (try? FileSystem.read("/proc/sys/kernel/random/boot_id")).map { String(decoding: $0, as: UTF8.self) }
        return String((id ?? "\(getpid())").filter { $0.isHexDigit }.prefix(12))
    }()

    func path(of file: String, at offset: Int) -> String { "\(path)/\(Self.boot)-\(file)-\(offset)" }

    /// Takes over what is there of a shard that is known by its digest, or begins it.
    ///
    /// The caller has the shard's lock: nobody else is at it, but a collection may look at it for a moment.
    func open(_ digest: ContentDigest) throws -> StagedFile {
        while true {
            if let file = try open(path(of: "shard-\(digest)", at: 0)) { return file }
            usleep(1000)
        }
    }

    /// Takes over what is there of a shard, or begins it.
    ///
    /// - Returns: nil if somebody else is at it.
    func open(_ path: String) throws -> StagedFile? {
        try FileSystem.createDirectory(self.path)
        while true {
            let file = try FileDescriptor(path, O_RDONLY | O_CREAT)
            guard try file.tryLock() else { return nil }
            // Between the open and the lock it may have been removed.
            guard try FileSystem.status(path)?.inode == file.status().inode else { continue }
            if try file.status().links == 1 { return try StagedFile(keeping: file) }
            // It is a blob by now, and whoever made it one was killed before the name went.
            try FileSystem.remove(path)
        }
    }

    /// Keeps the bytes at the front of a file that have come with its header, for shards that are wanted later.
    ///
    /// - Parameters:
    ///   - file: what names it, ``FetchFile/key``.
    ///   - staged: where to write them first.
    func keep(front bytes: [UInt8], of file: String, staged: StagedFile) throws {
        try FileSystem.createDirectory(path)
        try bytes.withUnsafeBytes { try staged.write($0, at: 0) }
        // Not synced: of another boot, it is not trusted.
        try FileSystem.rename(staged.path, to: frontPath(of: file))
    }

    /// The bytes at the front of a file that were kept.
    func front(of file: String) throws -> [UInt8] {
        let path = frontPath(of: file)
        return try FileSystem.exists(path) ? FileSystem.read(path) : []
    }

    func removeFront(of file: String) throws { try FileSystem.remove(frontPath(of: file)) }

    private func frontPath(of file: String) -> String { "\(path)/\(Self.boot)-\(file)-front" }

    /// Removes what nobody went on with.
    ///
    /// - Returns: files and bytes.
    func collect(olderThanSeconds age: Int, dryRun: Bool) throws -> (files: Int, bytes: Int) {
        var collected = (files: 0, bytes: 0)
        for name in try FileSystem.entries(path) {
            let path = "\(path)/\(name)"
            guard let file = try FileDescriptor.openIfThere(path), try file.tryLock() else { continue }
            let status = try file.status()
            guard !name.hasPrefix(Self.boot) || StoreClock.nanoseconds - status.modified > Int64(age) * 1_000_000_000
            else {
                continue
            }
            collected.files += 1
            collected.bytes += status.bytes
            if !dryRun { try FileSystem.remove(path) }
        }
        return collected
    }
}
