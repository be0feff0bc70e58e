import Synchronization

/// A value that is created at its first use.
package final class OnDemand<Value: Sendable>: Sendable {
    @usableFromInline package let value = Mutex<Value?>(nil)

    @inlinable package init() {}

    /// The value, or nil before its first use.
    package var known: Value? { value.withLock { $0 } }

    /// The value, created by `make` at the first call.
    ///
    /// Inlinable because every call of the C interface passes through it.
    @inlinable package func get(_ make: () throws -> Value) rethrows -> Value {
        try value.withLock { value in
            if let value { return value }
            let made = try make()
            value = made
            return made
        }
    }
}
