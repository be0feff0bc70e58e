import Synchronization

/// Whether the client of a connection still waits for its response.
final class ClientPresence: Sendable {
    private struct State {
        var isGone = false
        var handlers: [Int: @Sendable () -> Void] = [:]
        var lastNumber = 0
    }

    private let state = Mutex(State())

    var isGone: Bool { state.withLock { $0.isGone } }

    /// Calls the handler once, when the client leaves; immediately if it has left.
    ///
    /// - Returns: the number for ``remove(_:)``.
    func onLeave(_ handler: @escaping @Sendable () -> Void) -> Int {
        let (number, isGone) = state.withLock { state in
            state.lastNumber += 1
            if !state.isGone { state.handlers[state.lastNumber] = handler }
            return (state.lastNumber, state.isGone)
        }
        if isGone { handler() }
        return number
    }

    func remove(_ number: Int) { state.withLock { $0.handlers[number] = nil } }

    func leave() {
        let handlers = state.withLock { state in
            state.isGone = true
            defer { state.handlers = [:] }
            return Array(state.handlers.values)
        }
        for handler in handlers { handler() }
    }
}
