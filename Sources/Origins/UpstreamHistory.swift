import Support
import Synchronization
import WeightStore

/// What an upstream has refused, and when refs are compared with it again: for a server and a mount in front of it.
///
/// Many requests for a mistyped name are one request to the upstream, and a ref is compared with it once in an interval,
/// however many requests use it.
package final class UpstreamHistory: Sendable {
    private struct Key: Hashable {
        let model: ByteText
        let revision: ByteText

        init(_ model: String, _ revision: String) {
            self.model = ByteText(model)
            self.revision = ByteText(revision)
        }
    }

    private struct Refusal {
        let error: FetchError
        let end: ContinuousClock.Instant
    }

    private struct State {
        var refusals: [Key: Refusal] = [:]
        /// The times of the next comparisons of refs.
        var due: [Key: ContinuousClock.Instant] = [:]
    }

    /// The time for which a refusal is remembered.
    private static let refusalTime = Duration.seconds(5)
    /// The longest time between a comparison that failed and the next one.
    private static let retryTime = Duration.seconds(10)

    private let interval: Duration?
    private let mostNames: Int
    private let state = Mutex(State())

    /// - Parameters:
    ///   - interval: the time after which a ref is compared again; nil if refs are not compared.
    ///   - mostNames: the most names that are remembered, of each kind.
    package init(interval: Duration?, mostNames: Int = 4096) {
        self.interval = interval
        self.mostNames = mostNames
    }

    // MARK: Refusals

    /// The answer of the upstream, if it has denied a revision, or did not have it, a moment ago.
    package func refusal(of revision: String, model: String) -> FetchError? {
        let key = Key(model, revision)
        return state.withLock { state in
            guard let refusal = state.refusals[key] else { return nil }
            if refusal.end > .now { return refusal.error }
            state.refusals[key] = nil
            return nil
        }
    }

    /// Remembers an error of a pull if it is the upstream's answer that it does not have, or denies, the revision.
    package func note(_ error: FetchError, of revision: String, model: String) {
        switch error {
        case .notFound, .unauthorized: break
        default: return
        }
        let refusal = Refusal(error: error, end: .now + Self.refusalTime)
        state.withLock { state in
            Self.makeRoom(in: &state.refusals, mostNames) { $0.end }
            state.refusals[Key(model, revision)] = refusal
        }
    }

    // MARK: Comparisons

    /// Whether a ref is to be compared with the upstream's, and by this caller: the next comparison is due after the interval.
    ///
    /// - Parameter age: the time since the ref was set in the store, if it was: a pull, an import or a person has then said
    ///   what it names.
    package func isDue(_ ref: String, of model: String, age: Duration?) -> Bool {
        guard let interval else { return false }
        let (key, now) = (Key(model, ref), ContinuousClock.now)
        return state.withLock { state in
            if let due = state.due[key] {
                guard due <= now else { return false }
            } else if let age, age < interval {
                Self.setDue(key, now + (interval - age), in: &state, mostNames)
                return false
            }
            Self.setDue(key, now + interval, in: &state, mostNames)
            return true
        }
    }

    /// Records that a ref was just pulled, or compared.
    package func noteCurrent(_ ref: String, of model: String) {
        guard let interval else { return }
        state.withLock { Self.setDue(Key(model, ref), .now + interval, in: &$0, mostNames) }
    }

    /// Records that a comparison has failed: the next one is due sooner.
    package func noteFailure(_ ref: String, of model: String) {
        guard let interval else { return }
        state.withLock { Self.setDue(Key(model, ref), .now + min(interval, Self.retryTime), in: &$0, mostNames) }
    }

    private static func setDue(_ key: Key, _ time: ContinuousClock.Instant, in state: inout State, _ most: Int) {
        makeRoom(in: &state.due, most) { $0 }
        state.due[key] = time
    }

    /// Removes what is over if there are too many entries, and all of them if that is not enough.
    private static func makeRoom<Value>(
        in entries: inout [Key: Value], _ most: Int, end: (Value) -> ContinuousClock.Instant
    ) {
        guard entries.count >= most else { return }
        let now = ContinuousClock.now
        entries = entries.filter { end($0.value) > now }
        if entries.count >= most { entries = [:] }
    }
}
