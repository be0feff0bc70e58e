import CWeightStoreHeader
import Dispatch
import Support
import Synchronization
import WeightStore

/// The value behind C's handle of a lease that was begun. Releasing it cancels the lease, unless it was returned.
final class PendingLeaseHandle: HandleValue {
    static let kind = "pending lease"

    /// The result, which may arrive after the handle was released.
    private final class Outcome: Sendable {
        private struct State {
            var result: Result<Lease, any Error>?
            /// Whether the loading task holds nothing any more, so that releasing the lease ends it.
            var hasEnded = false
            var waiting: [DispatchSemaphore] = []
        }

        private let state = Mutex(State())

        func keep(_ result: Result<Lease, any Error>) { state.withLock { $0.result = result } }

        /// - Returns: the status for the caller.
        func end() -> weightstore_status {
            let (failure, waiting) = state.withLock { state -> ((any Error)?, [DispatchSemaphore]) in
                state.hasEnded = true
                defer { state.waiting = [] }
                if case .failure(let error) = state.result { return (error, state.waiting) }
                return (nil, state.waiting)
            }
            for signal in waiting { signal.signal() }
            return failure.map { weightstore_status($0) } ?? WEIGHTSTORE_OK
        }

        /// - Parameter signal: is signalled at the end.
        /// - Returns: false if the lease has ended.
        func willSignal(_ signal: DispatchSemaphore) -> Bool {
            state.withLock { state in
                if !state.hasEnded { state.waiting.append(signal) }
                return !state.hasEnded
            }
        }

        func forget(_ signal: DispatchSemaphore) { state.withLock { $0.waiting.removeAll { $0 === signal } } }

        /// - Returns: false if the lease has not ended.
        /// - Throws: the error of the lease.
        func check() throws -> Bool {
            let (hasEnded, result) = state.withLock { ($0.hasEnded, $0.result) }
            if hasEnded, case .failure(let error) = result { throw error }
            return hasEnded
        }

        /// The lease, which has succeeded.
        ///
        /// - Throws: ``CallError`` if it was returned already.
        func retrieve() throws -> Lease {
            let result = state.withLock { state -> Result<Lease, any Error>? in
                guard state.hasEnded else { return nil }
                defer { state.result = nil }
                return state.result
            }
            guard let result else { throw CallError.argument("the lease was returned already") }
            return try result.get()
        }
    }

    let revision: RevisionHandle
    private let pending: PendingLease
    private let outcome = Outcome()

    /// - Parameters:
    ///   - work: cancels the lease.
    ///   - completion: reports its end.
    init(_ pending: PendingLease, of revision: RevisionHandle, within work: WorkHandle?, _ completion: LeaseCompletion)
    {
        self.pending = pending
        self.revision = revision
        let handler = work?.work.onCancel { pending.cancel() }
        let outcome = outcome
        let load = Task {
            do {
                outcome.keep(.success(try await pending.value()))
            } catch {
                outcome.keep(.failure(CurrentWork.reason(for: error, in: work)))
            }
        }
        Task {
            await load.value
            withExtendedLifetime(handler) {}
            completion.report(outcome.end())
        }
    }

    deinit { pending.cancel() }

    func cancel() { pending.cancel() }

    /// The lease, which has succeeded, once.
    ///
    /// - Throws: ``CallError`` if it was returned already.
    func retrieve() throws -> Lease { try outcome.retrieve() }

    /// Waits until the lease has succeeded. It can be waited for by several threads, and again.
    ///
    /// - Parameters:
    ///   - milliseconds: the longest wait; negative for no limit.
    ///   - work: ends the wait.
    /// - Throws: the error of the lease; ``CallError/timedOut``; `CancellationError` of `work`.
    func wait(milliseconds: Int64, within work: Work?) throws {
        let signal = DispatchSemaphore(value: 0)
        if milliseconds != 0, outcome.willSignal(signal) {
            let handler = work?.onCancel { signal.signal() }
            if milliseconds < 0 {
                signal.wait()
            } else {
                let most = Int(min(milliseconds, WorkHandle.mostMilliseconds))
                _ = signal.wait(timeout: .now() + .milliseconds(most))
            }
            withExtendedLifetime(handler) {}
            outcome.forget(signal)
        }
        if try outcome.check() { return }
        try work?.check()
        throw CallError.timedOut
    }
}
