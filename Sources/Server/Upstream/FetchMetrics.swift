import Synchronization
import WeightStore

/// The counters of fetches for clients, and of the refs behind an upstream.
final class FetchMetrics: Sendable {
    /// A number that several threads change.
    final class Counter: Sendable {
        private let number = Atomic<Int>(0)
        var value: Int { number.load(ordering: .relaxed) }
        func add(_ change: Int) { number.add(change, ordering: .relaxed) }
    }

    /// Fetches in progress.
    let running = Counter()
    /// Fetches that wait because their model, or the server, has as many as it may.
    let waiting = Counter()
    /// Fetches that ended because no client waited any more.
    let cancelled = Counter()
    /// Fetches that did not begin because too many waited.
    let refused = Counter()
    /// Requests answered with what the upstream had reported shortly before.
    let remembered = Counter()
    /// Revalidations of refs that found the same commit.
    let unchanged = Counter()
    /// Revalidations that found another commit.
    let moved = Counter()
    /// Revalidations that the upstream did not answer.
    let failed = Counter()
    /// Requests answered from a ref that could not be revalidated.
    let stale = Counter()

    private enum Upstream: UInt8, AtomicRepresentable {
        case unknown, up, down
    }

    private let upstream = Atomic<Upstream>(.unknown)

    /// Notes whether the upstream has answered a request: a refusal is an answer.
    ///
    /// - Parameter error: how the request failed; nil if it did not. One of this store says nothing of the upstream.
    func noteUpstream(_ error: (any Error)? = nil) {
        guard let error else { return upstream.store(.up, ordering: .relaxed) }
        guard case .fetch(let failure) = StoreError(error).cause else { return }
        upstream.store(failure.isOutage ? .down : .up, ordering: .relaxed)
    }

    func write(to text: inout Exposition) {
        text.add(.fetchesRunning, running.value)
        text.add(.fetchesWaiting, waiting.value)
        text.add(.fetchesCancelled, cancelled.value)
        text.add(.fetchesRefused, refused.value)
        let state = upstream.load(ordering: .relaxed)
        if state != .unknown { text.add(.upstreamUp, state == .up ? 1 : 0) }
        for (result, counter) in [("unchanged", unchanged), ("moved", moved), ("failed", failed)] {
            text.add(.revalidations, counter.value, result)
        }
        text.add(.staleRequests, stale.value)
        text.add(.rememberedRefusals, remembered.value)
    }
}

extension FetchError {
    /// Whether an origin did not answer, or only with an error of its own.
    fileprivate var isOutage: Bool {
        switch self {
        case .stalled, .disconnected, .untrusted: true
        case .refused(_, let status, _, _): status >= 500
        default: false
        }
    }
}
