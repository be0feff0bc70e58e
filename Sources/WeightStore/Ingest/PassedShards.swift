import Dispatch
import Synchronization

/// The shards all of whose bytes were passed to their pipelines, and that are not written yet. Their memory counts as
/// in use until then.
final class PassedShards: Sendable {
    private struct State {
        var passed: Set<Int> = []
        /// Those that failed before all bytes were passed.
        var ended: Set<Int> = []
    }

    private let state = Mutex(State())
    private let group = DispatchGroup()

    /// Call it before the last bytes of a shard are passed.
    func add(_ ordinal: Int) {
        state.withLock { state in
            guard state.ended.remove(ordinal) == nil else { return }
            state.passed.insert(ordinal)
            group.enter()
        }
    }

    /// Call it when a shard is written or has failed.
    func end(_ ordinal: Int) {
        state.withLock { state in
            if state.passed.remove(ordinal) != nil { group.leave() } else { state.ended.insert(ordinal) }
        }
    }

    /// Waits until all passed shards are written.
    func wait() { group.wait() }
}
