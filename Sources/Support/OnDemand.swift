import Synchronization

/// Something that is made at its first use.
package final class OnDemand<Value: Sendable>: Sendable {
    @usableFromInline package let value = Mutex<Value?>(nil)

    @inlinable package init() {}

    /// Nil if nobody has used it.
    package var known: Value? { value.withLock { $0 } }

    /// Inlinable: it is in the way of every call of the C interface.
    @inlinable package func get(_ make: () throws -> Value) rethrows -> Value {
        try value.withLock { value in
            if let value { return value }
            let made = try make()
            value = made
            return made
        }
    }
}
