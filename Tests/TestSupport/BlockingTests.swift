// `swift build --static-swift-stdlib` compiles this target, too, and has no Testing.
#if canImport(Testing)
    import Foundation
    import Support
    import Synchronization
    import Testing

    /// Tests that may block their thread: they wait for programs, servers and disks.
    ///
    /// The cooperative pool has one thread per core. Two tests that wait there stop every task of the process, servers of
    /// other tests included. So such tests run on threads of their own, a few at a time; `Task {}` of theirs stays on the
    /// pool.
    package struct BlockingTests: SuiteTrait, TestTrait, TestScoping {
        package let isRecursive = true
        /// Whether the tests wait for one of the slots.
        fileprivate let takesSlot: Bool

        package func provideScope(
            for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
        ) async throws {
            if takesSlot { await Self.slots.acquire() }
            let start = ContinuousClock.now
            defer {
                Self.times?.append(test, .now - start)
                if takesSlot { Self.slots.release() }
            }
            try await withTaskExecutorPreference(BlockingExecutor.shared) { try await function() }
        }

        /// Few tests at once: a test of which each step waits behind hundreds of others would see its connections time out.
        private static let slots = Slots(6)
        /// The times that Swift Testing reports include the wait for a slot.
        private static let times = ProcessInfo.processInfo.environment["WEIGHTSTORE_TEST_TIMES"].map(TestTimes.init)
    }

    /// The file that gets a line for each test: its seconds, its suite and its name.
    private final class TestTimes: Sendable {
        private let file: Mutex<UnsafeMutablePointer<FILE>?>

        init(_ path: String) { file = Mutex(fopen(path, "a")) }

        func append(_ test: Test, _ duration: Duration) {
            file.withLock { file in
                guard let file else { return }
                fputs("\(duration / .seconds(1))\t\(test.id)\t\(test.displayName ?? test.name)\n", file)
                fflush(file)
            }
        }
    }

    extension Trait where Self == BlockingTests {
        /// The suite's tests may block their thread.
        package static var blocking: Self { Self(takesSlot: true) }

        /// As ``blocking``, for a long serialized suite: one of its tests runs at a time, beside the slots. In the slots' line
        /// each of them would wait behind all other tests once more, and the last ones would run alone at the end.
        package static var blockingInTurn: Self { Self(takesSlot: false) }
    }

    /// A number of slots; tasks wait for a free one in order.
    private final class Slots: Sendable {
        private let state: Mutex<(free: Int, waiting: [CheckedContinuation<Void, Never>])>

        init(_ count: Int) { state = Mutex((count, [])) }

        func acquire() async {
            await withCheckedContinuation { continuation in
                let isFree = state.withLock { state in
                    if state.free > 0 {
                        state.free -= 1
                        return true
                    }
                    state.waiting.append(continuation)
                    return false
                }
                if isFree { continuation.resume() }
            }
        }

        func release() {
            let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
                if state.waiting.isEmpty {
                    state.free += 1
                    return nil
                }
                return state.waiting.removeFirst()
            }
            next?.resume()
        }
    }

    /// Runs tasks on threads that may block.
    private final class BlockingExecutor: TaskExecutor {
        // Without threads no test can run.
        static let shared = try! BlockingExecutor()

        private let threads: WorkerThreads

        /// More threads than tests run at once, since a test may have tasks within it.
        private init() throws { threads = try WorkerThreads(count: 32) }

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            let executor = asUnownedTaskExecutor()
            threads.submit { job.runSynchronously(on: executor) }
        }
    }
#endif
