import Dispatch
import Storage
import Support
import Synchronization

/// The eviction above the high watermarks that no call waits for: after a fetch, and every ``interval`` seconds while a
/// store is open that can be written.
///
/// A store may be above its quota without a fetch in this process: the quota was lowered, an eviction freed too little
/// because a lease or an origin without an answer kept its shards, or another process ended before it evicted. A process
/// that ends sooner than the first check is not affected.
final class BackgroundEviction: Sendable {
    /// The seconds between two checks.
    static let interval = 10
    /// The seconds after which an eviction is tried again that left the store above its high watermark.
    static let retrySeconds = 300

    /// An eviction that freed too little, or was not possible.
    private struct Failure {
        /// Nil if the quota could not be read.
        let quota: Quota?
        let moment: ContinuousClock.Instant
    }

    let queue = DispatchQueue(label: "weightstore.evict")
    let isRunning = Atomic<Bool>(false)
    let hasWarned = Atomic<Bool>(false)
    /// Cancelling it ends the evictions.
    let work: Work
    private let check = Mutex<(@Sendable () -> Void)?>(nil)
    private let failures = Mutex<[QuotaKind: Failure]>([:])
    /// Dispatch's objects are safe to use from any thread.
    nonisolated(unsafe) private let timer: any DispatchSourceTimer

    /// - Parameter parent: cancelling it ends the evictions, too.
    init(within parent: Work) {
        work = Work(within: parent)
        timer = DispatchSource.makeTimerSource(queue: queue)
        timer.schedule(
            deadline: .now() + .seconds(Self.interval), repeating: .seconds(Self.interval), leeway: .seconds(1))
        timer.setEventHandler { [weak self] in
            // Called without the lock: the check may release the store, and with it this value.
            let check = self?.check.withLock { $0 }
            check?()
        }
        timer.resume()
    }

    deinit { timer.cancel() }

    /// Calls `check` every `interval` seconds, on the queue.
    func start(_ check: @escaping @Sendable () -> Void) { self.check.withLock { $0 = check } }

    /// Ends the eviction that is running, waits until it has ended, and begins no other. Not to be called on the queue.
    func stop() {
        timer.cancel()
        work.cancel()
        queue.sync {}
    }

    /// Whether an eviction may free enough: none failed recently under this quota.
    ///
    /// - Parameter quota: nil if it cannot be read. Then the result says whether that is to be logged.
    func isDue(_ kind: QuotaKind, _ quota: Quota?) -> Bool {
        failures.withLock { failures in
            guard let failure = failures[kind], failure.quota == quota else { return true }
            return ContinuousClock.now - failure.moment >= .seconds(Self.retrySeconds)
        }
    }

    /// Records the end of an eviction.
    ///
    /// - Parameters:
    ///   - quota: nil if it could not be read.
    ///   - isEnough: whether the store is no longer above the high watermark.
    func note(_ kind: QuotaKind, _ quota: Quota?, isEnough: Bool) {
        failures.withLock { $0[kind] = isEnough ? nil : Failure(quota: quota, moment: .now) }
    }
}
