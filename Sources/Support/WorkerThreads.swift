import Dispatch
import Synchronization

/// Dedicated threads that serve one first-in, first-out queue: for blocking work, which Swift's cooperative threads
/// must not run.
///
/// After the value is released, the threads finish the submitted work and end.
package final class WorkerThreads: Sendable {
    /// One piece of work.
    package typealias Job = @Sendable () -> Void

    private let count: Int
    private let queue = Queue()

    /// Starts `count` threads.
    ///
    /// - Throws: ``SupportError/noThread(code:)`` if the system cannot start them.
    package init(count: Int) throws(SupportError) {
        self.count = count
        for _ in 0..<count { try startThread { [queue] in queue.run() } }
    }

    deinit {
        for _ in 0..<count { queue.append(nil) }
    }

    /// Appends work to the queue; returns at once.
    package func submit(_ work: @escaping Job) {
        queue.append(work)
    }

    private final class Queue: Sendable {
        private struct State {
            var items: [Job?] = []
            var taken = 0
        }

        private let state = Mutex(State())
        private let ready = DispatchSemaphore(value: 0)

        /// - Parameter work: nil ends the thread that receives it.
        func append(_ work: Job?) {
            state.withLock { $0.items.append(work) }
            ready.signal()
        }

        func run() {
            while let work = next() { work() }
        }

        private func next() -> Job? {
            ready.wait()
            return state.withLock { state in
                let work = state.items[state.taken]
                state.items[state.taken] = nil
                state.taken += 1
                if state.taken * 2 > state.items.count {
                    state.items.removeFirst(state.taken)
                    state.taken = 0
                }
                return work
            }
        }
    }
}
