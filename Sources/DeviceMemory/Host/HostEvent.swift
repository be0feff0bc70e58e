import Dispatch
import Synchronization

/// An event of the host device. After a second recording it represents the latest mark; a thread that waits for an
/// earlier mark is woken by that one, as in CUDA.
final class HostEvent: Sendable {
    private struct State {
        /// Marks are numbered from 1.
        var recorded = 0
        var completed = 0
        var waiting: [(mark: Int, signal: DispatchSemaphore)] = []
    }

    private let state = Mutex(State())

    /// The latest mark.
    var mark: Int { state.withLock { $0.recorded } }

    var isComplete: Bool { state.withLock { $0.completed >= $0.recorded } }

    func record() -> Int {
        state.withLock { state in
            state.recorded += 1
            return state.recorded
        }
    }

    func complete(_ mark: Int) {
        let woken = state.withLock { state in
            state.completed = max(state.completed, mark)
            let woken = state.waiting.filter { $0.mark <= mark }.map(\.signal)
            state.waiting.removeAll { $0.mark <= mark }
            return woken
        }
        for signal in woken { signal.signal() }
    }

    func wait(for mark: Int) {
        let signal = state.withLock { state -> DispatchSemaphore? in
            guard state.completed < mark else { return nil }
            let signal = DispatchSemaphore(value: 0)
            state.waiting.append((mark, signal))
            return signal
        }
        signal?.wait()
    }
}
