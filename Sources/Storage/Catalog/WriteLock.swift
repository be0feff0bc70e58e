import Files
import Glibc
import Support

/// `write.lock`: held over every commit and every checkpoint of every process.
///
/// SQLite 3.7.0 to 3.51.2 can corrupt a WAL database when a checkpoint starts while another connection's commit
/// resets the log (fixed in 3.51.3, 3.50.7, 3.44.6; Debian 12's 3.40.1 has no fix). Under one lock the two cannot
/// overlap. The lock also orders the renames into `blobs/` and the removals from it with the changes of their rows.
///
/// The file holds the commit counter (`CommitCounter`): 20 decimal digits and a line feed. It is written under the lock,
/// without a sync; a counter that lags behind the catalog's is harmless.
///
/// Lines after the counter are digests of records that a change of models is installing or replacing (`ModelChange`):
/// 64 hexadecimal digits and a line feed each. They are synced before the first record is installed, and cleared when
/// the replaced records are deleted. Remaining lines name the records that an interrupted change has left, for the next
/// change.
package final class WriteLock: Sendable {
    private let file: FileDescriptor

    /// Opens the lock file, creating it if necessary.
    package init(_ path: String) throws {
        file = try StoreFile.open(path, O_RDWR)
    }

    private static let digits = 20
    /// The size of the counter's line, in bytes.
    private static let counterBytes = digits + 1
    /// The most bytes of lines with records that are read.
    private static let mostPendingBytes = 1 << 24

    /// The commit counter of the file: the number of the last commit that was noted in it.
    ///
    /// - Returns: 0 for a file that holds none, as programs of schema 8 or older leave it.
    package func commits() throws -> Int {
        var bytes = [UInt8](repeating: 0, count: Self.digits)
        let count = try bytes.withUnsafeMutableBytes { try file.read(at: 0, into: $0) }
        return Int(decimal: bytes.prefix(count)) ?? 0
    }

    /// Notes a commit. Call it only under the lock.
    func note(_ commits: Int) throws {
        let number = String(commits)
        let text = String(repeating: "0", count: max(Self.digits - number.utf8.count, 0)) + number + "\n"
        try Array(text.utf8).withUnsafeBytes { try file.write($0, at: 0) }
    }

    /// The records that a change noted and did not clear.
    func pendingRecords() throws -> [ContentDigest] {
        let count = min(try file.status().bytes - Self.counterBytes, Self.mostPendingBytes)
        guard count > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: count)
        let read = try bytes.withUnsafeMutableBytes { try file.read(at: Self.counterBytes, into: $0) }
        // A line that a power cut has torn is not a digest.
        return bytes.prefix(read).split(separator: UInt8(ascii: "\n"))
            .compactMap { ContentDigest(hex: String(decoding: $0, as: UTF8.self)) }
    }

    /// Notes the records that a change installs or replaces, durably; none when the change is over. Call it only under
    /// the lock, or while no process has the store open.
    package func notePending(_ records: [ContentDigest]) throws {
        let lines = Array(records.map { $0.hex + "\n" }.joined().utf8)
        let size = Self.counterBytes + lines.count
        if records.isEmpty, try file.status().bytes <= size { return }
        try lines.withUnsafeBytes { try file.write($0, at: Self.counterBytes) }
        try file.truncate(to: size)
        if !records.isEmpty { try file.sync() }
    }

    /// Runs `body` under the lock. Must not be called by two threads at once, which the catalog's single writer
    /// connection guarantees.
    ///
    /// - Parameter wait: how long to wait for the lock.
    /// - Throws: ``StorageError/busy(what:holder:)`` after its timeout; `CancellationError`; errors of `body`.
    package func withLock<Result>(_ wait: LockWait, _ body: () throws -> Result) throws -> Result {
        guard try file.lock(wait) else {
            throw StorageError.busy(what: file.path, holder: LockWait.text(LockHolder.all(of: file.path)))
        }
        defer { file.unlock() }
        return try body()
    }
}
