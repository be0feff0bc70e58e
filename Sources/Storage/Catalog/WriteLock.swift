import Files
import Glibc

/// `write.lock`: held over every commit and every checkpoint of every process.
///
/// SQLite 3.7.0 to 3.51.2 can corrupt a WAL database when a checkpoint starts while another connection's commit
/// resets the log (fixed in 3.51.3, 3.50.7, 3.44.6; Debian 12's 3.40.1 has no fix). Under one lock the two never meet.
/// It also orders the renames into `blobs/` and the removals from it against the rows that speak of them.
package final class WriteLock: Sendable {
    private let file: FileDescriptor

    package init(_ path: String) throws {
        file = try FileDescriptor(path, O_RDWR | O_CREAT)
    }

    /// Waits for the lock. Not for two threads at once: the catalog's one writer connection sees to that.
    ///
    /// - Parameter patience: how long; nil means as long as it takes.
    /// - Throws: ``StorageError/busy(what:holder:)`` when the patience is at its end.
    package func withLock<Result>(within patience: Duration? = nil, _ body: () throws -> Result) throws -> Result {
        if let patience {
            let end = ContinuousClock.now + patience
            while try !file.tryLock() {
                guard ContinuousClock.now < end else {
                    throw StorageError.busy(what: file.path, holder: "another process")
                }
                usleep(2000)
            }
        } else {
            try file.lock()
        }
        defer { file.unlock() }
        return try body()
    }
}
