import Glibc
import Support

/// How a wait for a lock ends, and where it is reported.
///
/// A wait ends with the lock, with the cancellation of a work, or after `timeout`. It polls, because a thread that is
/// blocked in `flock` does not notice a cancellation. After two seconds, and then every minute, the report names the
/// processes that hold the lock. A wait for another thread of this process is not reported.
package struct LockWait: Sendable {
    /// The longest wait; nil means no limit.
    package var timeout: Duration?
    private var works: [Work] = []
    private let report: (@Sendable (String) -> Void)?

    /// The time after which a wait is reported.
    package static let reportedAfter = Duration.seconds(2)
    private static let reportInterval = Duration.seconds(60)

    /// - Parameters:
    ///   - work: cancelling it ends the wait.
    ///   - report: receives a sentence.
    package init(_ work: Work? = nil, within timeout: Duration? = nil, report: (@Sendable (String) -> Void)? = nil) {
        self.timeout = timeout
        self.report = report
        works = [work].compactMap(\.self)
    }

    /// The same wait, which also ends when `work` is cancelled.
    package func until(_ work: Work?) -> LockWait {
        var wait = self
        if let work { wait.works.append(work) }
        return wait
    }

    /// The same wait with a limit.
    package func within(_ timeout: Duration?) -> LockWait {
        var wait = self
        wait.timeout = timeout
        return wait
    }

    /// Throws `CancellationError` if one of the works is cancelled.
    package func check() throws(CancellationError) { for work in works { try work.check() } }

    /// Waits until `attempt` returns true. The first attempt is made even if a work is cancelled.
    ///
    /// - Parameters:
    ///   - path: the locked file, for the report.
    ///   - holders: the processes that hold the lock now.
    ///   - attempt: tries the lock, without waiting.
    /// - Returns: false after `timeout`.
    /// - Throws: `CancellationError`, and what `attempt` throws.
    package func wait(for path: String, _ holders: () -> [LockHolder], _ attempt: () throws -> Bool) throws -> Bool {
        let start = ContinuousClock.now
        var nextReport = start + Self.reportedAfter
        while try !attempt() {
            try check()
            let now = ContinuousClock.now
            if let timeout, now - start >= timeout { return false }
            if let report, now >= nextReport {
                let holders = holders()
                if holders.isEmpty || holders.contains(where: { $0.process != getpid() }) {
                    report("\(path): waiting for its lock, held by \(Self.text(holders)).")
                }
                nextReport = now + Self.reportInterval
            }
            // Short at first: most locks are held for a commit.
            usleep(now - start < .milliseconds(20) ? 500 : now - start < Self.reportedAfter ? 1000 : 10_000)
        }
        return true
    }

    /// The holders as words of a sentence.
    package static func text(_ holders: [LockHolder]) -> String {
        holders.isEmpty
            ? "a process that cannot be seen from here" : holders.map(\.description).joined(separator: ", ")
    }
}

extension FileDescriptor {
    /// Locks the file as soon as it is free.
    ///
    /// - Returns: false after the timeout of `wait`.
    /// - Throws: `CancellationError`, ``FileError``.
    package borrowing func lock(shared: Bool = false, _ wait: LockWait) throws -> Bool {
        if try tryLock(shared: shared) { return true }
        // A closure cannot capture a borrowed value, only its parts.
        let (raw, path) = (raw, path)
        let locked = try wait.wait(for: path) {
            LockHolder.all(of: path)
        } _: {
            try FileDescriptor.tryLock(raw, path, shared: shared)
        }
        if locked { noteLock() }
        return locked
    }
}
