import Files
import GRDB
import Glibc
import Synchronization

/// Records each access to a shard of weights, for the simulator. It is off unless an operator turns it on.
///
/// `accesses.csv` has a line for each access: `time,id,size`: the time in seconds since 1970, the id of the shard's
/// row, the size in bytes. When the file is full, it is renamed to `accesses.1.csv`, replacing the previous one. Up to
/// `capacity` accesses are buffered in memory until they are written; further ones are not recorded.
package final class AccessRecorder: Sendable {
    private enum Shard: Sendable {
        case row(Int64)
        case digest(ContentDigest)
    }

    private struct Access: Sendable {
        /// Nanoseconds since 1970.
        let time: Int64
        let shard: Shard
    }

    /// The largest size of each of the two files, in bytes.
    static let fileBytes = 32 << 20
    /// The most accesses in memory.
    package static let capacity = 1 << 18
    private static let setting = "accesses.record"

    /// The path of the files, without `.csv` and `.1.csv`.
    package let path: String
    private let on = Atomic<Bool>(false)
    private let accesses = Mutex<[Access]>([])

    /// - Parameter directory: the store's.
    package init(_ directory: String) { path = directory + "/accesses" }

    /// Whether accesses are recorded.
    package var isOn: Bool {
        get { on.load(ordering: .relaxed) }
        set { on.store(newValue, ordering: .relaxed) }
    }

    /// Reads the setting.
    package static func isOn(_ db: Database) throws -> Bool { try SettingTable.get(setting, db) ?? false }
    /// Writes the setting.
    package static func set(_ on: Bool, _ db: Database) throws { try SettingTable.set(setting, on ? true : nil, db) }

    /// The paths of the existing files, the older first.
    package static func files(in directory: String) -> [String] {
        ["\(directory)/accesses.1.csv", "\(directory)/accesses.csv"].filter(FileSystem.exists)
    }

    /// Records an access to each shard.
    package func record(rows: some Sequence<Int64>) { add(rows.map { .row($0) }) }
    /// Records an access to each shard.
    package func record(digests: some Sequence<ContentDigest>) { add(digests.map { .digest($0) }) }

    private func add(_ shards: [Shard]) {
        let now = StoreClock.nanoseconds
        accesses.withLock { accesses in
            let free = Self.capacity - accesses.count
            accesses += shards.prefix(max(free, 0)).map { Access(time: now, shard: $0) }
        }
    }

    /// Appends the recorded accesses to the file.
    package func flush(_ catalog: Catalog) throws {
        let taken = accesses.withLock { accesses in
            defer { accesses = [] }
            return accesses
        }
        if taken.isEmpty { return }
        let text = try catalog.read { db in try Self.lines(taken, db) }
        // The lock ensures that only one process at a time renames the full file.
        let lock = try StoreFile.open(path + ".lock", O_RDWR)
        guard try lock.lock(LockWait(within: AccessLog.lockTimeout)) else {
            // The next flush writes them.
            accesses.withLock { $0 = Array((taken + $0).prefix(Self.capacity)) }
            return
        }
        if let status = try FileSystem.status(path + ".csv"), status.bytes + text.utf8.count > Self.fileBytes {
            try FileSystem.rename(path + ".csv", to: path + ".1.csv")
        }
        let file = try StoreFile.open(path + ".csv", O_WRONLY)
        let end = try file.status().bytes
        try Array(text.utf8).withUnsafeBytes { bytes in try file.write(bytes, at: end) }
    }

    private static func lines(_ accesses: [Access], _ db: Database) throws -> String {
        let byRow = try db.cachedStatement(sql: "SELECT id, bytes FROM shard WHERE id = ? AND kind <> 'kv'")
        let byDigest = try db.cachedStatement(sql: "SELECT id, bytes FROM shard WHERE digest = ? AND kind <> 'kv'")
        var rows: [Int64: Row?] = [:]
        var digests: [ContentDigest: Row?] = [:]
        var text = ""
        for access in accesses {
            let row: Row?
            switch access.shard {
            case .row(let id):
                if let known = rows[id] {
                    row = known
                } else {
                    row = try Row.fetchOne(byRow, arguments: [id])
                    rows[id] = .some(row)
                }
            case .digest(let digest):
                if let known = digests[digest] {
                    row = known
                } else {
                    row = try Row.fetchOne(byDigest, arguments: [digest])
                    digests[digest] = .some(row)
                }
            }
            // A shard that was removed since then has no row, and is excluded from the simulation.
            guard let row else { continue }
            let micros = String(access.time / 1000)
            let (id, bytes): (Int64, Int) = try (row.value("id"), row.size("bytes"))
            text += "\(micros.dropLast(6)).\(micros.suffix(6)),\(id),\(bytes)\n"
        }
        return text
    }
}
