import Dispatch
import Glibc
import Synchronization

/// Threads of our own that take work from one queue, first in, first out: the place to block, which Swift's own
/// threads are not.
///
/// When the value goes, the threads do what was submitted, and end.
package final class WorkerThreads: Sendable {
    package typealias Work = @Sendable () -> Void

    private let count: Int
    private let queue = Queue()

    /// - Throws: ``DeviceError/system(operation:code:)`` if the system gives no more threads.
    package init(count: Int) throws(DeviceError) {
        self.count = count
        for _ in 0..<count {
            var thread = pthread_t()
            let argument = Unmanaged.passRetained(queue)
            let code = pthread_create(
                &thread, nil,
                { argument in
                    Unmanaged<Queue>.fromOpaque(argument!).takeRetainedValue().run()
                    return nil
                }, argument.toOpaque())
            guard code == 0 else {
                argument.release()
                throw .system(operation: "pthread_create", code: code)
            }
            pthread_detach(thread)
        }
    }

    deinit {
        for _ in 0..<count { queue.append(nil) }
    }

    package func submit(_ work: @escaping Work) {
        queue.append(work)
    }

    private final class Queue: Sendable {
        private struct State {
            var items: [Work?] = []
            var taken = 0
        }

        private let state = Mutex(State())
        private let ready = DispatchSemaphore(value: 0)

        /// - Parameter work: nil ends the thread that takes it.
        func append(_ work: Work?) {
            state.withLock { $0.items.append(work) }
            ready.signal()
        }

        func run() {
            while let work = next() { work() }
        }

        private func next() -> Work? {
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
