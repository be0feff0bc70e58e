import Synchronization

/// A value that is made at its first use: most commands ask no server, and need not begin what that takes.
final class Lazy<Value: Sendable>: Sendable {
    private let make: @Sendable () -> Value
    private let state = Mutex<Value?>(nil)

    init(_ make: @escaping @Sendable () -> Value) { self.make = make }

    var value: Value {
        state.withLock { known in
            if let known { return known }
            let value = make()
            known = value
            return value
        }
    }

    /// Nil if nobody has used it.
    var valueIfMade: Value? { state.withLock { $0 } }
}
