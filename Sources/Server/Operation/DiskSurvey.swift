import Dispatch
import Logging
import Synchronization
import WeightStore

/// The parts of the stored bytes that can be evicted, are in use, pinned or only here: a sum over all shards. It is computed
/// in the background while it is requested, at most once a minute, and for at most a hundredth of the time.
final class DiskSurvey: Sendable {
    struct Result: Sendable {
        let gauge: DiskGauge
        /// When it was made, in seconds since 1970.
        let time: Int
    }

    private struct State {
        var last: Result?
        var isRunning = false
        var due = ContinuousClock.now
    }

    /// The shortest time between two surveys.
    private static let interval = Duration.seconds(60)
    /// How long the first request waits for the first survey.
    private static let firstWait = DispatchTimeInterval.seconds(2)

    private let store: Store
    private let logger: Logger
    private let queue = DispatchQueue(label: "weightstore.survey")
    private let running = DispatchGroup()
    private let state = Mutex(State())

    init(_ store: Store, logger: Logger) {
        self.store = store
        self.logger = logger
    }

    /// The last survey. Begins another one if it is due. Blocks for the first one, but not longer than `wait`; later
    /// ones are not waited for.
    ///
    /// - Parameter wait: how long to wait for the first survey.
    /// - Returns: nil if there is none yet.
    func latest(waiting wait: DispatchTimeInterval = firstWait) -> Result? {
        let (last, begins) = state.withLock { state in
            let begins = !state.isRunning && state.due <= .now
            if begins { state.isRunning = true }
            return (state.last, begins)
        }
        if begins {
            running.enter()
            queue.async { [self] in
                survey()
                running.leave()
            }
        }
        if let last { return last }
        _ = running.wait(timeout: .now() + wait)
        return state.withLock { $0.last }
    }

    private func survey() {
        let start = ContinuousClock.now
        var result: Result?
        do {
            result = Result(gauge: try store.diskGauge(), time: StoreClock.now)
        } catch {
            logger.warning("the bytes that can be evicted could not be summed: \(error)")
        }
        let end = ContinuousClock.now
        state.withLock { [result] state in
            state.last = result ?? state.last
            state.isRunning = false
            state.due = end + max(Self.interval, (end - start) * 100)
        }
    }
}
