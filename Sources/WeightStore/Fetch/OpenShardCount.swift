import Support

/// The number of shards that a fetch has begun and that are neither committed nor given up: each has two open files, its
/// partial file and the lock of it. An origin may be faster than the disk, so a fetch waits while there are many.
final class OpenShardCount: Sendable {
    private struct State {
        var count = 0
        var hasStopped = false
    }

    private let state = AwaitedState(State())

    func add() { state.change { $0.count += 1 } }

    func subtract(_ shards: Int) { state.change { $0.count -= shards } }

    /// Ends all waits, now and later.
    func stop() { state.change { $0.hasStopped = true } }

    /// Waits until the number is at most `limit`, or ``stop()`` is called.
    ///
    /// - Throws: `CancellationError` once the work is cancelled.
    func wait(untilAtMost limit: Int, _ work: Work) throws {
        try state.wait(work) { $0.count <= limit || $0.hasStopped ? () : nil }
    }
}
