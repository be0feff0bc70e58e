import Foundation
import Support

/// A state that threads change, and wait for. A wait also ends when its work is cancelled.
///
/// Sendable because the state is accessed only under the condition's lock.
final class AwaitedState<State: Sendable>: @unchecked Sendable {
    private let condition = NSCondition()
    private var state: State

    init(_ state: State) { self.state = state }

    /// Changes the state, and wakes all threads that wait for it.
    func change<Result>(_ body: (inout State) -> Result) -> Result {
        condition.lock()
        defer { condition.unlock() }
        condition.broadcast()
        return body(&state)
    }

    /// Waits until `body` returns a value. It is called with the lock held, again after each change.
    ///
    /// - Throws: `CancellationError` once the work is cancelled.
    func wait<Result>(_ work: Work, until body: (inout State) -> Result?) throws -> Result {
        try work.check()
        if let result = attempt(body) { return result }
        // With the lock held: a thread that has found the work not cancelled waits by then.
        let handler = work.onCancel { [self] in change { _ in } }
        defer { withExtendedLifetime(handler) {} }
        condition.lock()
        defer { condition.unlock() }
        while true {
            try work.check()
            if let result = body(&state) { return result }
            condition.wait()
        }
    }

    private func attempt<Result>(_ body: (inout State) -> Result?) -> Result? {
        condition.lock()
        defer { condition.unlock() }
        return body(&state)
    }
}
