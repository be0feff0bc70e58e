import GRDB
import Glibc

/// `partial/`: one file for each shard that is on its way from an origin, written front to back, so that its size says
/// how much of it is here. After a broken connection or kill -9 the next fetch goes on behind that.
///
/// Named after the boot, the file (its digest) and the place in it, so that every process finds the same one. The one
/// that has it locked fetches; others wait, and then find the shard. No sync is needed on the way: a process that dies
/// loses nothing of what it has written, and what was written before the machine went down is not trusted, because its
/// boot had another name.
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

    /// Takes over what is there of a shard, or begins it.
    ///
    /// - Returns: nil if somebody else is at it.
    func open(_ path: String) throws(StoreError) -> StagedFile? {
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

    /// Keeps bytes of a file that have come with its header, as the fronts of shards that are not wanted yet: so they need
    /// not travel again.
    func keep(_ prefix: [UInt8], of file: FetchFile) throws {
        let places = Dictionary(grouping: PendingFile.places(file.plan), by: \.extent.shard)
        for ordinal in file.wanted {
            guard let places = places[ordinal], places[0].offset < prefix.count,
                // One that is gathered is there as a whole, or not at all.
                places.count == 1 || places.allSatisfy({ $0.offset + $0.extent.length <= prefix.count }),
                let staged = try open(path(of: file.key, at: places[0].offset)), try staged.count() == 0
            else { continue }
            let end = min(places[0].offset + places[0].extent.length, prefix.count)
            var front = Array(prefix[places[0].offset..<end])
            if places.count > 1 {
                front = [UInt8](repeating: 0, count: file.plan.shards[ordinal].bytes)
                for (offset, extent) in places {
                    front.replaceSubrange(
                        extent.shardOffset..<extent.shardOffset + extent.length, with: prefix[offset..<offset + extent.length])
                }
            }
            try front.withUnsafeBytes { try staged.write($0, at: 0) }
        }
    }

    /// Removes what nobody went on with.
    ///
    /// - Returns: files and bytes.
    func collect(olderThanSeconds age: Int, dryRun: Bool) throws(StoreError) -> (files: Int, bytes: Int) {
        var collected = (files: 0, bytes: 0)
        for name in try FileSystem.entries(path) {
            let path = "\(path)/\(name)"
            guard let file = try FileDescriptor.openIfThere(path), try file.tryLock() else { continue }
            let status = try file.status()
            guard !name.hasPrefix(Self.boot) || Clock.nanoseconds - status.modified > Int64(age) * 1_000_000_000 else {
                continue
            }
            collected.files += 1
            collected.bytes += status.bytes
            if !dryRun { try FileSystem.remove(path) }
        }
        return collected
    }
}
