import Synchronization

/// A dictionary behind a lock.
package final class SharedTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let table: Mutex<[Key: Value]>

    package init(_ table: [Key: Value] = [:]) { self.table = Mutex(table) }

    package subscript(key: Key) -> Value? {
        get { table.withLock { $0[key] } }
        set { table.withLock { $0[key] = newValue } }
    }

    package var keys: [Key] { table.withLock { Array($0.keys) } }

    package func removeAll() { table.withLock { $0 = [:] } }
}
