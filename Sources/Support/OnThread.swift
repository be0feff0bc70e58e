/// Runs blocking work on a new thread, because Swift's cooperative threads must not block.
///
/// What `body` captured is released before the call returns.
package func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        do {
            try startThread {
                Result(catching: body)
            } then: {
                continuation.resume(with: $0)
            }
        } catch {
            continuation.resume(throwing: error)
        }
    }
}
