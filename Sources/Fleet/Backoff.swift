import Glibc
import WeightStore

/// Exponential backoff with jitter: each pause is up to twice as long as the one before, with a random part, so that
/// writers that lost together do not retry together. A cancelled work ends a pause within 50 ms.
struct Backoff {
    private let longestSeconds: Double
    private var seconds: Double

    init(firstSeconds: Double, longestSeconds: Double) {
        seconds = firstSeconds
        self.longestSeconds = longestSeconds
    }

    /// Waits.
    ///
    /// - Throws: `CancellationError` if the work is cancelled.
    mutating func wait(_ work: Work) throws {
        let end = ContinuousClock.now + .seconds(.random(in: 0.5...1) * seconds)
        seconds = min(seconds * 2, longestSeconds)
        repeat {
            try work.check()
            usleep(UInt32(min(max((end - .now) / .microseconds(1), 1), 50_000)))
        } while ContinuousClock.now < end
        try work.check()
    }
}

/// The attempts of one change by compare-and-swap. Each lost attempt is another writer's success, so the limit is
/// reached only by a fleet with very many writers, or by an object store that answers wrongly.
struct ChangeAttempts {
    /// The maximal number of attempts of one change.
    static let limit = 50

    private let what: String
    private var failures = 0
    private var backoff: Backoff

    /// - Parameter what: names the object in the error.
    init(_ what: String, longestPauseSeconds: Double = 3) {
        self.what = what
        backoff = Backoff(firstSeconds: min(0.02, longestPauseSeconds), longestSeconds: longestPauseSeconds)
    }

    /// Waits before the next attempt, after one that another writer won.
    ///
    /// - Throws: ``FleetError/busy(what:holder:)`` after the last attempt; `CancellationError`.
    mutating func lost(_ work: Work) throws {
        failures += 1
        guard failures < Self.limit else {
            throw FleetError.busy(
                what: what, holder: "other writers changed it \(failures) times in a row; nothing was changed")
        }
        try backoff.wait(work)
    }
}
