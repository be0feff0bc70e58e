import Synchronization

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
}

extension FetchMetrics {
    func write(to text: inout Exposition) {
        text.add("weightstore_fetches_running", .gauge, "Fetches for clients in progress.", running.value)
        text.add("weightstore_fetches_waiting", .gauge, "Fetches that wait for others of their model.", waiting.value)
        text.add(
            "weightstore_fetches_cancelled_total", .counter, "Fetches whose clients disconnected.", cancelled.value)
        text.add(
            "weightstore_fetches_refused_total", .counter, "Fetches refused because too many waited.", refused.value)
        text.add(
            "weightstore_upstream_revalidations_total", .counter, "Comparisons of refs with the upstream.",
            [("unchanged", unchanged), ("moved", moved), ("failed", failed)].map { ([("result", $0.0)], $0.1.value) })
        text.add(
            "weightstore_upstream_stale_requests_total", .counter,
            "Requests answered from a ref that could not be compared with the upstream.", stale.value)
        text.add(
            "weightstore_upstream_remembered_total", .counter,
            "Requests answered with a refusal that the upstream had sent shortly before.", remembered.value)
    }
}
