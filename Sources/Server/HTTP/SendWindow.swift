import Synchronization

/// Limits the unsent bytes of a connection: those passed to the framework that the kernel has not accepted yet.
///
/// The framework's own back-pressure counts only bytes that have reached the event loop; while the loop is busy, a
/// sender could pass a whole file.
final class SendWindow: Sendable {
    /// The connection is closed.
    struct Closed: Error {}

    /// The most unsent bytes, besides one piece.
    private static let bytes = Pieces.bytes

    private struct State {
        var unsent = 0
        var isClosed = false
        /// The task that waits until at most `limit` bytes are unsent.
        var waiter: (limit: Int, continuation: CheckedContinuation<Void, any Error>)?
    }

    private let state = Mutex(State())

    /// Waits until there is room, and reserves it. One task at a time: the responses of a connection are sequential.
    ///
    /// - Throws: ``Closed``, `CancellationError`.
    func reserve(_ count: Int) async throws { try await wait(adding: count, until: Self.bytes + count) }

    /// Waits until the kernel has accepted all bytes. A server that stops closes its connections after their responses,
    /// and the framework then drops the bytes that it still holds.
    ///
    /// - Throws: ``Closed``, `CancellationError`.
    func drain() async throws { try await wait(adding: 0, until: 0) }

    private func wait(adding count: Int, until limit: Int) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome: Result<Void, any Error>? = state.withLock { state in
                    state.unsent += count
                    if state.isClosed { return .failure(Closed()) }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if state.unsent <= limit { return .success(()) }
                    state.waiter = (limit, continuation)
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            resume(throwing: CancellationError()) { _ in true }
        }
    }

    /// Releases the room of bytes that the kernel has accepted. Some can belong to an earlier response, for which no
    /// room was reserved.
    func release(_ count: Int) {
        resume { state in
            state.unsent = max(state.unsent - count, 0)
            return state.waiter.map { state.unsent <= $0.limit } ?? false
        }
    }

    func close() {
        resume(throwing: Closed()) { state in
            state.isClosed = true
            return true
        }
    }

    private func resume(throwing error: (any Error)? = nil, if change: (inout State) -> Bool) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            guard change(&state) else { return nil }
            defer { state.waiter = nil }
            return state.waiter?.continuation
        }
        if let error { waiter?.resume(throwing: error) } else { waiter?.resume() }
    }
}
